"""A few altered files of every format; `make fuzz` reads thousands."""

from pathlib import Path

import pytest

from gotd_assets.corpus.reading import columnar
from gotd_assets_tests.fuzz.readers import FORMATS, MEMORY_MIB, read_altered


@pytest.mark.parametrize("name", FORMATS)
def test_altered_files_give_documents_or_a_sentence(tmp_path: Path, name: str) -> None:
    found = {read_altered(name, seed, tmp_path) for seed in range(10)}
    # Of one small block that is packed whole nothing is left.
    assert "read" in found or name.endswith((".bz2", ".xz"))


def test_the_process_that_reads_columns_takes_no_gigabyte(tmp_path: Path) -> None:
    for seed in range(10, 18):
        read_altered("a.arrow", seed, tmp_path)
        read_altered("a.parquet", seed, tmp_path)
    assert columnar._IDLE
    for reader in columnar._IDLE:
        status = Path(f"/proc/{reader._process.pid}/status").read_text(encoding="utf-8")
        (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        assert peak < MEMORY_MIB * 1024
