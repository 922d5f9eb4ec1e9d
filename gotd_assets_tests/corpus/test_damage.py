"""Damaged and odd files: what can be read is kept, the rest is counted, nothing aborts the files beside it."""

import bz2
import gzip
import json
import lzma
import random
from pathlib import Path

import polars as pl
import pytest
import zstandard

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.duplicates.search import find_duplicates
from gotd_assets.corpus.report import ReadReport
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.errors import InputError
from gotd_assets.settings.texts import DuplicateSettings, PreparationSettings, SourceSettings

COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress}


def read(tmp_path: Path, **entry: object) -> tuple[ReadReport, list[str]]:
    out = tmp_path / "out"
    source = SourceSettings.model_validate({"name": "s", **entry})
    report = read_documents(source, PreparationSettings(), tmp_path, out)
    return report, scan_documents(out).collect()["text"].to_list()


@pytest.fixture(scope="module")
def texts() -> list[str]:
    generator = random.Random(0)
    return [f"{generator.getrandbits(64):x} word number {n}" for n in range(60_000)]


def lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


@pytest.mark.parametrize("ending", COMPRESS)
def test_an_archive_that_breaks_off_gives_what_came_before(tmp_path: Path, texts: list[str], ending: str) -> None:
    data = COMPRESS[ending](lines(texts))
    (tmp_path / f"data.jsonl.{ending}").write_bytes(data[: len(data) * 9 // 10])
    report, found = read(tmp_path, path=f"data.jsonl.{ending}")
    assert found == texts[: report.kept]
    # bzip2 packs blocks of 900 kB; one that is cut is lost whole.
    assert report.kept > 30_000
    assert report.quarantined_by_reason == {"file damaged or cut off": 1}


@pytest.mark.parametrize("ending", COMPRESS)
def test_an_archive_with_altered_bytes_does_not_stop_the_next_file(
    tmp_path: Path, texts: list[str], ending: str
) -> None:
    data = bytearray(COMPRESS[ending](lines(texts)))
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(byte ^ 0xFF for byte in data[middle : middle + 64])
    (tmp_path / f"1.jsonl.{ending}").write_bytes(data)
    (tmp_path / "2.jsonl").write_bytes(lines(["the next file"]))
    report, found = read(tmp_path, path="*.jsonl*")
    assert found[-1] == "the next file"
    assert report.quarantined_by_reason["file damaged or cut off"] == 1


def test_a_cut_off_arrow_file_is_counted_and_the_next_is_read(tmp_path: Path) -> None:
    pl.DataFrame({"text": [f"text {n}" for n in range(100)]}).write_ipc(tmp_path / "1.arrow")
    data = (tmp_path / "1.arrow").read_bytes()
    (tmp_path / "1.arrow").write_bytes(data[: len(data) // 2])
    pl.DataFrame({"text": ["the next file"]}).write_ipc(tmp_path / "2.arrow")
    report, found = read(tmp_path, path="*.arrow")
    assert found == ["the next file"]
    assert report.quarantined_by_reason == {"file damaged or cut off": 1}


@pytest.mark.parametrize("name", ["data.arrow.gz", "data.parquet.zst"])
def test_columnar_files_in_an_archive_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(InputError, match=r"is a compressed (arrow|parquet) file.*: unpack it first"):
        read(tmp_path, path=name)


def test_byte_order_mark_windows_line_ends_and_no_line_end_at_last(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\r\n{"text": "two"}')
    report, found = read(tmp_path, path="data.jsonl")
    assert found == ["one", "two"]
    assert report.quarantined == 0


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet", "txt"])
def test_a_record_of_50_mb_is_set_aside_in_every_format(tmp_path: Path, ending: str) -> None:
    texts = ["before", "x" * 50_000_000, "the text after"]
    match ending:
        case "jsonl":
            (tmp_path / "data.jsonl").write_bytes(lines(texts))
        case "csv":
            pl.DataFrame({"text": texts}).write_csv(tmp_path / "data.csv")
        case "parquet":
            pl.DataFrame({"text": texts}).write_parquet(tmp_path / "data.parquet")
        case "txt":
            for name, text in zip("abc", texts, strict=True):
                (tmp_path / f"{name}.txt").write_text(text)
    report, found = read(tmp_path, path=f"*.{ending}")
    assert found == ["before", "the text after"]
    assert report.quarantined_by_reason == {"record larger than max_record_bytes": 1}
    (bad,) = [json.loads(line) for line in (tmp_path / "out/quarantine.jsonl").read_text().splitlines()]
    assert len(bad["excerpt"]) <= 200


def test_a_large_record_is_read_when_allowed(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(lines(["word " * 4_000_000, "after"]))
    _, found = read(tmp_path, path="data.jsonl", max_record_bytes=50_000_000)
    assert [len(text) for text in found] == [19_999_999, 5]


def test_mixed_types_in_a_field(tmp_path: Path) -> None:
    records = [{"text": value, "n": value} for value in ("words", 3, 2.5, True, ["list"], {"a": 1}, None)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    report, found = read(tmp_path, path="data.jsonl", fields={"keep": ["n"]})
    assert found == ["words"]
    assert report.quarantined == 6


def test_a_column_of_another_type_in_one_file_of_many(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["good"]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"text": [1, 2]}).write_parquet(tmp_path / "2.parquet")
    pl.DataFrame({"text": ["dictionary"]}, schema={"text": pl.Categorical}).write_parquet(tmp_path / "3.parquet")
    report, found = read(tmp_path, path="*.parquet")
    assert found == ["good", "dictionary"]
    assert report.quarantined_by_reason == {"field 'text' is not text": 2}


def test_repeated_texts_far_apart_name_the_first(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(lines([f"document {n % 60_000}" for n in range(70_000)]))
    report, found = read(tmp_path, path="data.jsonl")
    assert len(found) == report.kept == 60_000
    duplicates = pl.read_parquet(tmp_path / "out/duplicates.parquet")
    assert duplicates.height == report.duplicates == 10_000
    assert duplicates.select("origin", "kept_origin").row(0) == ("data.jsonl:60001", "data.jsonl:1")
    assert duplicates.select("origin", "kept_origin").row(-1) == ("data.jsonl:70000", "data.jsonl:10000")


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01", "\ufeff\n"])
def test_empty_texts_are_counted_and_a_source_of_nothing_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.jsonl").write_bytes(lines([text, "a word", text]))
    report, found = read(tmp_path, path="data.jsonl")
    assert found == ["a word"]
    assert (report.too_short, report.read) == (2, 3)
    (tmp_path / "data.jsonl").write_bytes(lines([text]))
    with pytest.raises(InputError, match="not one usable document in 1 record"):
        read(tmp_path, path="data.jsonl")


@pytest.mark.parametrize("text", ["🙂🙂 🎉", "👩‍👩‍👧", "… — !", "\x07\x1b🙂"])
def test_texts_of_emoji_and_signs_alone_are_set_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.jsonl").write_bytes(lines([text, "a word"]))
    report, found = read(tmp_path, path="data.jsonl")
    assert found == ["a word"]
    assert report.quarantined_by_reason == {"the text has no letter and no digit": 1}


def test_many_tiny_documents_are_each_read_and_compared(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text("".join(f'{{"text": "tiny {n % 90_000}"}}\n' for n in range(100_000)))
    report, _ = read(tmp_path, path="data.jsonl")
    assert (report.read, report.kept, report.duplicates) == (100_000, 90_000, 10_000)
    found = find_duplicates({"s": tmp_path / "out"}, DuplicateSettings(), tmp_path / "d.parquet")
    assert (found.exact, found.near) == ({"s": 0}, {"s": 0})


@pytest.mark.slow
def test_ten_million_tiny_documents_stay_within_the_memory_bound(tmp_path: Path) -> None:
    import subprocess
    import sys

    with (tmp_path / "data.jsonl").open("w") as file:
        for start in range(0, 10_000_000, 100_000):
            file.write("".join(f'{{"text": "tiny {n}"}}\n' for n in range(start, start + 100_000)))
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from gotd_assets.corpus.documents import read_documents\n"
        "from gotd_assets.settings.texts import PreparationSettings, SourceSettings\n"
        "root = Path(sys.argv[1])\n"
        "entry = SourceSettings(name='s', path=Path('data.jsonl'))\n"
        "report = read_documents(entry, PreparationSettings(), root, root / 'out')\n"
        "print(report.kept, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    kept, peak_kib = map(int, done.stdout.split())
    assert kept == 10_000_000
    assert peak_kib < 2.5 * 2**20
