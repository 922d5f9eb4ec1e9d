"""The conditions of a process, against what it was started with and what the machine says of itself."""

import json
import os
import platform
import subprocess
import sys

import pytest

PROBE = """
import json, sys
from gotd_assets.artifacts.conditions import current_conditions
from gotd_assets.settings.project import Settings
settings = Settings(
    sources=[{"name": "a", "path": "a"}],
    targets=[{"name": "t", "path": "t"}],
    encoder={"model": "e", "batch_tokens": 128},
    training={"model": "m", "checkpoint_steps": 7},
)
before = current_conditions(settings)
import torch
print(json.dumps([before, current_conditions(settings)]))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_settings_are_those_the_process_was_started_with(threads: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = json.loads(done.stdout)
    assert after["torch_threads"] == after["omp_num_threads"] == str(threads)
    assert after["architecture"] == platform.machine()
    assert after["python"].split() == [platform.python_implementation(), platform.python_version()]
    assert after["accelerator"] == "none"
    assert (after["encoder.batch_tokens"], after["training.checkpoint_steps"]) == ("128", "7")
    # Without torch nothing depends on its threads, and nobody waits for it to load.
    assert set(after) - set(before) == {"torch_threads", "vector_instructions", "accelerator"}
