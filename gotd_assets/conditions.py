"""Under which conditions bytes come out: what can change a result and stands in no artifact's version."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import operator
import os
import platform
import sys
from pathlib import Path

from gotd_assets.settings import Settings

TORCH_THREADS = "torch_threads"
# Left out of versions, so that another device or batch size makes nothing again; last digits may move with them. The
# encoder's content is in versions, where it stood is not.
UNVERSIONED_SETTINGS = (
    "encoder.model",
    "encoder.device",
    "encoder.batch_tokens",
    "transport.device",
    "transport.memory_budget_gb",
    "transport.products",
    "training.device",
    "training.checkpoint_steps",
)
_PACKAGES = (
    "dagster",
    "duckdb",
    "faiss-cpu",
    "faiss-gpu",
    "geomloss",
    "gotd-assets",
    "mlflow",
    "numpy",
    "polars",
    "pyarrow",
    "tokenizers",
    "torch",
    "transformers",
)


def installed_packages() -> dict[str, str]:
    """Version of every installed package whose version can change a result."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def current_conditions(settings: Settings) -> dict[str, str]:
    """The conditions of this process, by name.

    Those of torch (threads, vector instructions, the accelerator in use) are there once it is loaded: what is made
    without it does not depend on them.
    """
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        **_of_torch(),
        **{name: str(operator.attrgetter(name)(settings)) for name in UNVERSIONED_SETTINGS},
    }


def _of_torch() -> dict[str, str]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    return {
        TORCH_THREADS: str(torch.get_num_threads()),
        "vector_instructions": str(torch.backends.cpu.get_cpu_capability()),
        "accelerator": str(torch.cuda.get_device_name()) if torch.cuda.is_initialized() else "none",
    }


@functools.cache
def _processor() -> str:
    """Its model name, as Linux tells it; elsewhere what Python knows."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
