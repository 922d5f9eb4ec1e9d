"""What is in files is told by their content, whatever their time stamps say."""

import os
import time
from pathlib import Path

import pytest

from gotd_assets.corpus.files.content import content_fingerprint
from gotd_assets.settings.texts import SourceSettings


@pytest.mark.parametrize("settled", [False, True])
def test_an_edit_that_keeps_size_and_time_stamp_is_seen(tmp_path: Path, settled: bool) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "first"}\n')
    source = SourceSettings(name="a", path="a.jsonl")
    if settled:
        time.sleep(2.1)  # only then is a checksum remembered
    before = content_fingerprint(source, tmp_path, cache=tmp_path / "cache.json")
    assert (tmp_path / "cache.json").exists() == settled
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    with file.open("r+") as edited:
        edited.write('{"text": "other"}\n')
    os.utime(file, ns=times)
    assert content_fingerprint(source, tmp_path, cache=tmp_path / "cache.json") != before
