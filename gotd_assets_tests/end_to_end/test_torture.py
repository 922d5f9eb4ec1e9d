"""The torture itself, short: `make torture` kills some hundred times more often."""

import subprocess
import sys
from pathlib import Path

import pytest

from gotd_assets_tests.end_to_end.project import REPOSITORY, environment


@pytest.mark.slow
def test_runs_that_are_killed_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gotd_assets_tests.end_to_end.torture"),
            *("--kills", "5", "--seed", "7", "--folder", str(tmp_path / "tortured")),
        ],
        cwd=REPOSITORY,
        env={**environment(tmp_path), "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "5 kills" in done.stdout
    assert "nothing lost, nothing left" in done.stdout
