"""A first look at files: fields, which is the text, about how many records; whatever the format."""

import csv
import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from gotd_assets.corpus.look import look
from gotd_assets.errors import InputError

RECORDS = [
    {"id": number, "title": f"t{number}", "story": f"a long story of number {number} " * 4} for number in range(3000)
]


def as_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS), encoding="utf-8")


def as_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "title", "story"])
        writer.writeheader()
        writer.writerows({**record, "story": f"{record['story']},\nand on"} for record in RECORDS)


def as_parquet(path: Path) -> None:
    pl.DataFrame(RECORDS).write_parquet(path)


def as_json(path: Path) -> None:
    path.write_text(json.dumps(RECORDS), encoding="utf-8")


def as_arrow(path: Path) -> None:
    pl.DataFrame(RECORDS).write_ipc(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.jsonl", as_jsonl), ("a.csv", as_csv), ("a.parquet", as_parquet), ("a.json", as_json), ("a.arrow", as_arrow)],
)
def test_the_longest_field_is_the_text_and_the_count_is_about_right(name: str, write, tmp_path: Path) -> None:
    write(tmp_path / name)
    found = look(tmp_path / name, "pool")
    assert found.field == "story"
    assert found.fields == ("id", "title", "story")
    assert found.records == pytest.approx(3000, rel=0.05)
    assert found.texts[0].startswith("a long story of number 0")


def test_files_are_counted_together_and_a_usual_name_wins(tmp_path: Path) -> None:
    for number in range(3):
        lines = [json.dumps({"body": "short", "html": "<p>much longer</p>" * 9}) + "\n" for _ in range(50)]
        (tmp_path / f"{number}.jsonl").write_text("".join(lines), encoding="utf-8")
    found = look(tmp_path / "*.jsonl", "pool")
    assert (found.files, found.records, found.field) == (3, 150, "body")


def test_whole_texts_are_a_record_each_and_packed_files_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for number in range(5):
        (tmp_path / "texts" / f"{number}.txt").write_text("a text", encoding="utf-8")
    assert look(tmp_path / "texts", "pool").records == 5
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(record) + "\n" for record in RECORDS[:70])
    assert look(tmp_path / "a.jsonl.gz", "pool").records == 70


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(InputError, match=r"pool: .*a\.parquet cannot be read as parquet"):
        look(tmp_path / "a.parquet", "pool")
    with pytest.raises(InputError, match="matches no file"):
        look(tmp_path / "b.jsonl", "pool")
