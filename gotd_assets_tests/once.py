"""What is made once for all tests of a run, by the process that needs it first."""

import fcntl
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

# Names the folder for it; set by conftest.py, for all workers.
FOLDER_VARIABLE = "GOTD_TESTS_FOLDER"
_seconds_for_all = 0.0


def processor_seconds() -> float:
    """Processor time of this process and of those that it started and that have ended, without what it made for all."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime - _seconds_for_all


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name`, filled by `make(folder)` unless that was done before in this run; others wait meanwhile.

    It belongs to all tests, so they only read it.
    """
    global _seconds_for_all  # noqa: PLW0603
    everything = Path(os.environ[FOLDER_VARIABLE])
    folder, done = everything / name, everything / f"{name}.made"
    with (everything / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            # Made where it is to stay, as what it holds may name its own place; a first attempt may have failed.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            began = processor_seconds()
            make(folder)
            _seconds_for_all += processor_seconds() - began
            done.touch()
    return folder


def mlflow_database() -> Path:
    """An MLflow database in which nothing is recorded; MLflow takes over a second to make one."""
    return made_once("mlflow", _make_database) / "mlflow.db"


def _make_database(folder: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()).engine.dispose()
