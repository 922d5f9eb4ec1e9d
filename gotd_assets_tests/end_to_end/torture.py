"""Whole runs killed at random moments, with changed inputs in between: `python -m gotd_assets_tests.end_to_end.torture`.

Each run is a process forked from this one, which has loaded the libraries and computed nothing, so that a kill costs
seconds: one in four is `gotd run`, the others make the same artifacts by the same stations without Dagster, which takes a
fifth of the time. After a kill the same run is started again or, sometimes, its inputs change before. In the end nothing may be
lost (every current artifact has the bytes of a run that nobody disturbed) and nothing left.

What is drawn follows from the seed and the number of the kill, so that a torture that was itself stopped goes on: give it
the folder that it named.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from gotd_assets_tests.end_to_end.project import environment, make_project, sentences, write_jsonl
from gotd_assets_tests.once import FOLDER_VARIABLE

# Facts of a run, not of its result.
_OF_THE_RUN = frozenset(
    {"mlflow_run_id", "experiment_id", "tracking_uri", "seconds", "model_uri", "run_id", "logged_model_id", "uri"}
)
_VERSION = re.compile(rb"\b[0-9a-f]{32}\b")
_PATIENCE_SECONDS = 600.0
_KILLS_BETWEEN_ENDS = 25


class TortureError(AssertionError):
    """Something was lost or left, or a run that nobody killed failed."""


@dataclasses.dataclass
class Torture:
    """One project under torture.

    Attributes:
        folder: of the project, made if it is not there.
        seed: of everything that is drawn.
        kills: so many processes were killed, by what they were doing: 'run' for `gotd run`, or 'stations'.
        runs: so many ended by themselves.
        whole: seconds that each takes to make everything.
    """

    folder: Path
    seed: int
    kills: dict[str, int] = dataclasses.field(default_factory=lambda: {"run": 0, "stations": 0})
    runs: int = 0
    whole: dict[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self._state.is_file():
            self.kills, self.runs, self.whole = json.loads(self._state.read_text(encoding="utf-8"))
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        make_tortured(self.folder)
        for doing, seed in (("run", 11), ("stations", 12)):
            # Everything from the selection on is made again.
            _set(self.folder, lambda settings, seed=seed: settings["selection"].update(seed=seed))
            started = time.monotonic()
            self._end(doing, run_forked(self.folder, doing))
            self.whole[doing] = time.monotonic() - started
        self._keep()

    def go_on(self, kills: int, tell: Callable[[str], None]) -> None:
        """Kill until there were so many, then let a run end.

        Raises:
            TortureError: a run that nobody killed failed, or left something.
        """
        while (number := sum(self.kills.values())) < kills:
            draw = random.Random(f"{self.seed} {number} {self.runs}")
            if draw.random() < 0.3:
                change(self.folder, draw)
            doing = "run" if draw.random() < 0.25 else "stations"
            # Early moments more often than late ones, as those cost least; most of all a run is at what exists already.
            code = run_forked(self.folder, doing, kill_after=0.01 + 0.6 * self.whole[doing] * draw.random() ** 3)
            if code is None:
                self.kills[doing] += 1
            else:
                self._end(doing, code)
            if code is None and (number + 1) % _KILLS_BETWEEN_ENDS == 0:
                tell(f"{number + 1} kills, {self.runs} runs to their end")
                self._end("stations", run_forked(self.folder, "stations"))
            self._keep()
        self._end("run", run_forked(self.folder, "run"))
        self._keep()

    def left(self) -> list[str]:
        """What the runs left, a phrase each: after everything ended and was cleaned up there is nothing."""
        home = self.folder / ".gotd"
        found = [f"partial: {path.relative_to(home)}" for path in home.rglob(".*.partial")]
        found += [f"scratch: {path.relative_to(home)}" for path in (home / "scratch").rglob("*") if path.is_file()]
        found += [f"lease: {path.name}" for path in (home / "leases").glob("*.lease")]
        return found + self.open_runs("run")

    def open_runs(self, after: str) -> list[str]:
        """Runs that MLflow takes for unfinished and, after `gotd run`, those that Dagster does."""
        home = self.folder / ".gotd"
        found = []
        for database, query in (
            (
                home / "mlflow" / "mlflow.db",
                "SELECT run_uuid, status FROM runs WHERE status NOT IN ('FINISHED', 'FAILED', 'KILLED')",
            ),
            (
                home / "dagster" / "history" / "runs.db",
                "SELECT run_id, status FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')",
            ),
        ):
            if after != "run" and database.name != "mlflow.db":
                continue
            with contextlib.closing(sqlite3.connect(database)) as opened:
                found += [f"{database.name}: {run} is {status}" for run, status in opened.execute(query)]
        return found

    def _end(self, doing: str, code: int | None) -> None:
        """Take note of a run that nobody killed.

        Raises:
            TortureError: it failed, or left a run open.
        """
        self.runs += 1
        if code != 0:
            said = (self.folder / "said.txt").read_text(encoding="utf-8")[-3000:]
            raise TortureError(f"after {sum(self.kills.values())} kills a run ended with {code}:\n{said}")
        if open_runs := self.open_runs(doing):
            raise TortureError(f"after {sum(self.kills.values())} kills and a run to its end: {open_runs}")

    def _keep(self) -> None:
        self._state.write_text(json.dumps([self.kills, self.runs, self.whole]), encoding="utf-8")

    @property
    def _state(self) -> Path:
        return self.folder / "torture.json"


def make_tortured(folder: Path) -> None:
    """A project small enough that a run takes seconds, in which everything that can be continued has something to be."""
    make_project(
        folder,
        sources=[{"name": "news", "path": "data/news*.jsonl"}, {"name": "mixed", "path": "data/mixed.jsonl"}],
        selection={"budget": 8, "methods": ["gotd", "random"], "stability_resamples": 0},
        training={"model": "model", "max_tokens": 32, "learning_rate": 0.01, "checkpoint_steps": 1, "batch_size": 2},
        # What a solve starts from follows from what was there before, and with it the last digits.
        watch={"warm_start": False},
    )


def _set(folder: Path, change_settings: Callable[[dict[str, Any]], None]) -> None:
    settings = yaml.safe_load((folder / "gotd.yaml").read_text(encoding="utf-8"))
    change_settings(settings)
    (folder / "gotd.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def change(folder: Path, draw: random.Random) -> None:
    """Change one of the inputs."""
    kind = draw.choice(("source", "source gone", "target", "budget", "epsilon", "training"))
    data = folder / "data"
    if kind == "source":
        write_jsonl(data / f"news-{draw.randrange(4)}.jsonl", sentences("film", draw.randint(3, 9), draw.randrange(9)))
    elif kind == "source gone":
        (data / f"news-{draw.randrange(4)}.jsonl").unlink(missing_ok=True)
    elif kind == "target":
        write_jsonl(data / "target.jsonl", sentences("film", draw.randint(18, 26), draw.randrange(5)))
    elif kind == "budget":
        _set(folder, lambda settings: settings["selection"].update(budget=draw.randint(6, 9)))
    elif kind == "epsilon":
        _set(folder, lambda settings: settings.update(transport={"epsilon": draw.choice((0.04, 0.05, 0.06))}))
    else:
        _set(folder, lambda settings: settings["training"].update(seed=draw.randrange(3)))


def run_forked(folder: Path, *arguments: str, kill_after: float | None = None) -> int | None:
    """`gotd ARGUMENTS` in a child of this process; its exit code, None if it was killed after so many seconds."""
    child = os.fork()
    if child == 0:
        _become(folder, arguments)
    deadline = time.monotonic() + (_PATIENCE_SECONDS if kill_after is None else kill_after)
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if kill_after is None:
        raise TortureError(f"`gotd {' '.join(arguments)}` does not end: {(folder / 'said.txt').read_text()[-2000:]}")
    # It may have ended in the moment between.
    return None if code == -signal.SIGKILL else code


def _become(folder: Path, arguments: Sequence[str]) -> None:
    """Be `gotd ARGUMENTS`, and end."""
    code = 70
    try:
        with (folder / "said.txt").open("w", encoding="utf-8") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            os.environ.clear()
            os.environ.update(environment(folder))
            os.chdir(folder)
            code = _by_stations() if arguments == ("stations",) else _by_command(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)


def _by_command(arguments: Sequence[str]) -> int:
    from gotd_assets.cli.main import main as gotd

    sys.argv = ["gotd", *arguments]
    try:
        gotd()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _by_stations() -> int:
    from gotd_assets.artifacts.run_lock import alone
    from gotd_assets.errors import GotdError
    from gotd_assets.settings.file import load_project
    from gotd_assets.stations.all import GRAPH
    from gotd_assets.stations.workshop import Workshop

    try:
        project = load_project(Path("gotd.yaml"))
        with alone(project.home):
            workshop = Workshop(project)
            for stage in GRAPH.stages(project.settings, [target.name for target in project.settings.targets]):
                workshop.run(stage)
    except GotdError:
        traceback.print_exc()
        return 2
    return 0


def load_libraries(folder: Path) -> None:
    """Import in this process what a run imports, so that its children need not; a child's run tells what that is."""
    make_tortured(folder)
    listing = folder / "modules.json"
    child = os.fork()
    if child == 0:
        exit_now = os._exit

        def tell_and_exit(code: int) -> None:
            listing.write_text(json.dumps(sorted(sys.modules)), encoding="utf-8")
            exit_now(code)

        os._exit = tell_and_exit  # type: ignore[assignment]
        _become(folder, ["run"])
    os.waitpid(child, 0)
    for name in json.loads(listing.read_text(encoding="utf-8")):
        # Some are made by their packages when they are used.
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def contents(folder: Path) -> dict[str, str]:
    """Checksums of the files of all current artifacts, by their place; facts of the run itself are left out of them."""
    artifacts = folder / ".gotd" / "artifacts"
    found = {}
    for pointer in sorted(artifacts.rglob("CURRENT")):
        version = pointer.parent / pointer.read_text(encoding="utf-8").strip()
        for file in sorted(path for path in version.rglob("*") if path.is_file() and path.name != "manifest.json"):
            found[str(file.relative_to(artifacts))] = _content(file)
    return found


def _content(file: Path) -> str:
    content = file.read_bytes()
    if file.suffix == ".json":
        content = json.dumps(_stripped(json.loads(content)), sort_keys=True).encode()
    elif file.suffix == ".md":
        # It names runs in MLflow.
        content = _VERSION.sub(b"", content)
    elif file.name == "potentials.safetensors":
        end = 8 + struct.unpack("<Q", content[:8])[0]
        said = json.loads(content[8:end])["__metadata__"]["potentials"]
        content = json.dumps(_stripped(json.loads(said)), sort_keys=True).encode() + content[end:]
    return hashlib.sha256(content).hexdigest()


def _stripped(value: object) -> object:
    if isinstance(value, dict):
        return {key: _stripped(inner) for key, inner in value.items() if key not in _OF_THE_RUN}
    return [_stripped(inner) for inner in value] if isinstance(value, list) else value


def undisturbed(folder: Path, beside: Path) -> dict[str, str]:
    """What a run that nobody disturbs makes of the same inputs in another place."""
    make_tortured(beside)
    shutil.rmtree(beside / "data")
    shutil.copytree(folder / "data", beside / "data")
    shutil.copyfile(folder / "gotd.yaml", beside / "gotd.yaml")
    if run_forked(beside, "run") != 0:
        raise TortureError(f"the undisturbed run failed: {(beside / 'said.txt').read_text(encoding='utf-8')[-2000:]}")
    return contents(beside)


def torture(folder: Path, beside: Path, *, kills: int, seed: int, tell: Callable[[str], None]) -> Torture:
    """Torture the project in `folder` by so many kills; `beside` is for what is made undisturbed.

    Raises:
        TortureError: something was lost or left.
    """
    tortured = Torture(folder, seed)
    tortured.go_on(kills, tell)
    for command in (("gc", "--delete", "--older-than", "0"), ("verify",)):
        if (code := run_forked(folder, *command)) != 0:
            said = (folder / "said.txt").read_text(encoding="utf-8")
            raise TortureError(f"`gotd {' '.join(command)}` ended with {code}: {said[-2000:]}")
    if left := tortured.left():
        raise TortureError("left: " + "; ".join(left))
    expected, found = undisturbed(folder, beside), contents(folder)
    lost = [name for name in expected if name not in found]
    other = [name for name in expected if name in found and found[name] != expected[name]]
    extra = [name for name in found if name not in expected]
    if lost or other or extra:
        raise TortureError(f"lost: {lost}; other bytes: {other}; too many: {extra}")
    return tortured


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--folder", type=Path, help="go on there; by default a new one")
    given = parser.parse_args()
    memory = Path("/dev/shm")  # noqa: S108 - a kill is of processes; whoever wants the disk in it names a folder there
    folder = given.folder or Path(tempfile.mkdtemp(prefix="gotd-torture-", dir=memory if memory.is_dir() else None))
    print(f"seed {given.seed}, folder {folder}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gotd-torture-once-") as once:
        os.environ[FOLDER_VARIABLE] = once
        load_libraries(Path(once) / "project")
        _torture(folder, given.kills, given.seed, started)


def _torture(folder: Path, kills: int, seed: int, started: float) -> None:
    shutil.rmtree(folder / "beside", ignore_errors=True)
    print(f"libraries loaded in {time.monotonic() - started:.0f} s", flush=True)
    done = torture(
        folder / "project", folder / "beside", kills=kills, seed=seed, tell=lambda line: print(line, flush=True)
    )
    minutes = (time.monotonic() - started) / 60
    killed = f"{sum(done.kills.values())} kills ({done.kills['run']} of them of `gotd run`)"
    print(f"{killed}, {done.runs} runs to their end in {minutes:.1f} minutes: nothing lost, nothing left")
    shutil.rmtree(folder)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
