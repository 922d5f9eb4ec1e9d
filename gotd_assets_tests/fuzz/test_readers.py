"""A few altered files of every format; `make fuzz` reads thousands."""

from pathlib import Path

import pytest

from gotd_assets_tests.fuzz.readers import FORMATS, MEMORY_MIB, peak_mib, read_altered


@pytest.mark.parametrize("name", FORMATS)
def test_altered_files_give_documents_or_a_sentence(tmp_path: Path, name: str) -> None:
    found = {read_altered(name, seed, tmp_path) for seed in range(15)}
    assert "read" in found


def test_no_process_that_reads_takes_a_gigabyte(tmp_path: Path) -> None:
    for seed in range(15, 30):
        read_altered("a.arrow", seed, tmp_path)
        read_altered("a.parquet", seed, tmp_path)
    children_only = peak_mib()
    assert children_only < 4 * MEMORY_MIB
