"""A step of a benchmark as a process of its own, with its time and memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).parents[1]
MIB = 2**20
SECONDS_BETWEEN_LOOKS = 0.05


def measured(module: str, home: Path, *step: str) -> dict[str, Any]:
    """Run `python -m MODULE --step … --scratch HOME`: what it prints last, which is JSON and says its seconds, and what it took.

    `processor_seconds` are of it and its children, start included; `peak_mib` is that of their resident memory together,
    and `processes` how many they were at most.
    """
    print(f"{' '.join(step)} …", flush=True)
    used = _processor_seconds()
    command = [sys.executable, "-m", module, "--step", *step, "--scratch", str(home)]
    with tempfile.TemporaryFile("w+") as output, subprocess.Popen(command, cwd=REPOSITORY, stdout=output) as process:
        tree = psutil.Process(process.pid)
        peak = most = 0
        while process.poll() is None:
            resident = [size for size in map(_resident, [tree, *_children(tree)]) if size]
            peak, most = max(peak, sum(resident)), max(most, len(resident))
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if process.returncode:
            raise SystemExit(f"{' '.join(step)} failed with exit code {process.returncode}")
        output.seek(0)
        report: dict[str, Any] = json.loads(output.read().splitlines()[-1])
    used = _processor_seconds() - used
    print(f"  {report['seconds']:.1f} s, {used:.1f} of processors, peak {peak / MIB:,.0f} MiB", flush=True)
    return {**report, "processor_seconds": round(used, 1), "peak_mib": round(peak / MIB), "processes": most}


def _processor_seconds() -> float:
    """Of all processes that ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
