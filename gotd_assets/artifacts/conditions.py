"""Under which conditions bytes come out: what can change a result and stands in no artifact's version."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from gotd_assets.settings.project import Settings
from gotd_assets.settings.section import Section, unversioned

TORCH_THREADS = "torch_threads"
# Sections whose marked settings may move last digits: devices, batch sizes, what is cached.
_SECTIONS = ("encoder", "transport", "training", "toxicity")
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


@functools.cache
def installed_packages() -> Mapping[str, str]:
    """Version of every installed package whose version can change a result, as this process found them."""
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
        **unversioned_settings(settings),
    }


def unversioned_settings(settings: Settings) -> dict[str, str]:
    """Settings that stand in no version, by path: another device or batch size makes nothing again."""
    found = {}
    for name in _SECTIONS:
        section: Section | None = getattr(settings, name)
        if section is None:
            continue
        for field in unversioned(type(section)):
            value = getattr(section, field)
            if not isinstance(value, Section):
                found[f"{name}.{field}"] = str(value)
    return found


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
