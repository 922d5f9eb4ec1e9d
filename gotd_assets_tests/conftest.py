"""What holds for all tests: each worker's share of the processor, and a folder for what they have in common."""

import os
import shutil
import tempfile

from gotd_assets_tests.once import FOLDER_VARIABLE

_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ

# Read when the libraries are loaded, which they are after this. Tests that are about threads say how many.
if _IS_WORKER:
    _SHARE = str(max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))
    for _name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(_name, _SHARE)


def pytest_configure() -> None:
    if not _IS_WORKER:
        os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="gotd-tests-")


def pytest_unconfigure() -> None:
    if not _IS_WORKER:
        shutil.rmtree(os.environ.pop(FOLDER_VARIABLE))
