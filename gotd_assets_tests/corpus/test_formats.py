import bz2
import csv
import gzip
import json
import lzma
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.files.content import content_fingerprint
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.corpus.texts.clean import cut_at_words, strip_markup
from gotd_assets.errors import InputError
from gotd_assets.settings.texts import PreparationSettings, SourceSettings

TEXTS = [f"text number {i}, with a word" for i in range(20)]
RECORDS = [{"text": text, "lang": "en" if i % 2 else "de"} for i, text in enumerate(TEXTS)]
JSONL = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()


def read(tmp_path: Path, preparation: PreparationSettings | None = None, **entry: object):
    out = tmp_path / "out"
    out.mkdir()
    settings = SourceSettings.model_validate({"name": "s", **entry})
    report = read_documents(settings, preparation or PreparationSettings(), tmp_path, out)
    return report.as_summary(), scan_documents(out).collect()


def write_csv(path: Path, delimiter: str) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "lang"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(RECORDS)


WRITERS = {
    "a.jsonl": lambda path: path.write_bytes(JSONL),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(JSONL)),
    "a.jsonl.zst": lambda path: path.write_bytes(zstandard.compress(JSONL)),
    "a.jsonl.bz2": lambda path: path.write_bytes(bz2.compress(JSONL)),
    "a.jsonl.xz": lambda path: path.write_bytes(lzma.compress(JSONL)),
    "a.json": lambda path: path.write_text(json.dumps(RECORDS)),
    "a.csv": lambda path: write_csv(path, ","),
    "a.tsv": lambda path: write_csv(path, "\t"),
    "a.parquet": lambda path: pl.DataFrame(RECORDS).write_parquet(path),
    "a.arrow": lambda path: pl.DataFrame(RECORDS).write_ipc(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_texts_and_fields(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    summary, documents = read(tmp_path, path=name, fields={"keep": ["lang"]}, filter="lang = 'en'")
    assert documents["text"].to_list() == TEXTS[1::2]
    assert documents["lang"].unique().to_list() == ["en"]
    assert (summary["read"], summary["filtered"]) == (20, 10)


def test_truncated_gzip_keeps_what_could_be_read_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(JSONL)[:-8])
    summary, documents = read(tmp_path, path="a.jsonl.gz")
    assert documents.height > 0
    assert summary["quarantined_by_reason"] == {"file damaged or cut off": 1}


def test_corrupt_parquet_footer_is_counted_and_other_files_are_read(tmp_path: Path) -> None:
    pl.DataFrame(RECORDS).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-6])
    summary, documents = read(tmp_path, path="*.parquet")
    assert documents.height == 20
    assert summary["quarantined_by_reason"] == {"file damaged or cut off": 1}


def test_huge_record_emoji_and_control_characters_are_set_aside(tmp_path: Path) -> None:
    huge, rest = json.dumps({"text": "x" * 5000}), [{"text": "🙂🙂"}, {"text": "\x01\x02"}, {"text": "fine"}]
    (tmp_path / "a.jsonl").write_text("\n".join([huge, *map(json.dumps, rest)]))
    summary, documents = read(tmp_path, path="a.jsonl", max_record_bytes=2048)
    assert documents["text"].to_list() == ["fine"]
    assert summary["quarantined"] == 2
    assert summary["too_short"] == 1


def test_limit_shows_what_was_left_unread(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(JSONL)
    summary, documents = read(tmp_path, path="a.jsonl", limit=5)
    assert (documents.height, summary["unread"]) == (5, 15)


@pytest.mark.parametrize("sql", ["lang in (select * from read_csv('/etc/passwd'))", "read_csv('x')", "lang ="])
def test_filter_is_confined_to_the_records_fields(tmp_path: Path, sql: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(JSONL)
    with pytest.raises(InputError, match="filter"):
        read(tmp_path, path="a.jsonl", filter=sql)


def test_dotted_field_and_html(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"meta": {"body": "<p>a &amp; b</p><script>x</script>"}}\n')
    _, documents = read(tmp_path, PreparationSettings(strip_html=True), path="a.jsonl", fields={"text": "meta.body"})
    assert documents["text"].to_list() == ["a & b"]
    assert strip_markup("if a < b and c > d") == "if a < b and c > d"


@given(st.text(alphabet="ab \n", max_size=300), st.integers(16, 60))
def test_pieces_are_short_enough_and_lose_no_word_character(text: str, size: int) -> None:
    text = text.strip()
    pieces = cut_at_words(text, size)
    assert all(0 < len(piece) <= size for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sources 's'\.path 'data/\*\.jsonl' matches no file"):
        read(tmp_path, path="data/*.jsonl")
    (tmp_path / "e.jsonl").touch()
    with pytest.raises(InputError, match="is empty"):
        content_fingerprint(SourceSettings(name="s", path=Path("e.jsonl")), tmp_path, cache=tmp_path / "c.json")
