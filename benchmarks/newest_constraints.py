"""constraints.txt from what pip would install today: `python -m benchmarks.newest_constraints` (`make constraints`).

Nothing is installed: pip resolves the package with its extras and groups and reports the versions. torch stays what is
installed: whether the newest has a wheel for processors alone is up to the registry, and the others bring gigabytes of CUDA.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
# The extra `gpu` provides the same module as faiss-cpu, so the two cannot be resolved together.
_EXTRAS = "harness,openvino,ray,remote,storage"
_GROUPS = ("dev", "browser", "bench")


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        report, kept = Path(folder) / "report.json", Path(folder) / "kept.txt"
        kept.write_text(f"torch=={version('torch').partition('+')[0]}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        groups = [part for group in _GROUPS for part in ("--group", group)]
        wanted = [*groups, "--constraint", str(kept), "--report", str(report), f".[{_EXTRAS}]"]
        subprocess.run([*command, *wanted], cwd=REPOSITORY, check=True)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    # Without local versions such as +cpu, which depend on the registry.
    versions = {
        entry["metadata"]["name"]: entry["metadata"]["version"].partition("+")[0]
        for entry in found
        if entry["metadata"]["name"] != "gotd-assets"
    }
    lines = [f"{name}=={version}" for name, version in sorted(versions.items(), key=lambda pair: pair[0].lower())]
    (REPOSITORY / "constraints.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"constraints.txt: {len(lines)} packages; run make test-all on them")


if __name__ == "__main__":
    main()
