"""What holds for all tests: each worker's share of the processor, what they have in common, and how long one may take."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from gotd_assets_tests.once import FOLDER_VARIABLE, processor_seconds

# Of a test that is not marked slow, with what is made for it alone; processors differ by a factor of two.
MOST_SECONDS = 40
# A file system in memory: databases that wait for a disk at every commit take most of a small run's time.
_MEMORY = Path("/dev/shm")  # noqa: S108
_LEAST_FREE = 4 << 30
_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
_STARTED = pytest.StashKey[tuple[float, float]]()

# Read when the libraries are loaded, which they are after this. Tests that are about threads say how many.
if _IS_WORKER:
    _SHARE = str(max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))
    for _name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(_name, _SHARE)
    # Threads that wait for work while other workers have some leave the processor to them.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# `make test-all` asks for the other with --hypothesis-profile. No deadline: other programs use the machine too.
hypothesis.settings.register_profile("full", max_examples=200, deadline=None)
hypothesis.settings.register_profile("fast", max_examples=25, deadline=None)
hypothesis.settings.load_profile("fast")


def pytest_configure() -> None:
    if not _IS_WORKER:
        fits = "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _LEAST_FREE
        folder = tempfile.mkdtemp(prefix="gotd-tests-", dir=_MEMORY if fits else None)
        os.environ[FOLDER_VARIABLE] = folder
        if fits:
            # With all that processes leave when they are killed.
            os.environ["TMPDIR"] = tempfile.tempdir = folder


def pytest_unconfigure() -> None:
    if not _IS_WORKER:
        # A process that was killed a moment ago may still be writing.
        shutil.rmtree(os.environ.pop(FOLDER_VARIABLE), ignore_errors=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    item.stash[_STARTED] = processor_seconds(), time.monotonic()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that took too long and is not marked slow.

    The processor's time counts where the clock's is longer, as other programs use the machine too; with many cores it
    is the clock's.
    """
    result = yield
    if item.get_closest_marker("slow") is None and item.get_closest_marker("ui") is None:
        used, waited = processor_seconds() - item.stash[_STARTED][0], time.monotonic() - item.stash[_STARTED][1]
        if min(used, waited) > MOST_SECONDS:
            pytest.fail(
                f"took {min(used, waited):.0f} s; over {MOST_SECONDS} s it has to be marked slow", pytrace=False
            )
    return result
