"""Records copied out of the user's files: every byte, in the order that is asked for."""

import csv
import gzip
import json
from pathlib import Path

import datasets
import polars as pl
import pyarrow as pa
import pytest

from gotd_assets.corpus.files.paths import find_files
from gotd_assets.corpus.originals import copy_originals
from gotd_assets.errors import InputError

LINES = [
    b'{"text": "one",  "n": 1.50}\n',
    b"\n",
    '{"n": 2, "text": "zw\u00f6lf \\u00e9"}\r\n'.encode(),
    b'{"text": "three"}',
]


def places(folder: Path, pattern: str, *wanted: tuple[str, int]):
    files = {file.name: file for file in find_files(Path(pattern), "auto", folder, "sources 'a'").files}
    return [(files[name], row) for name, row in wanted]


def test_lines_keep_every_byte(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"".join(LINES))
    with gzip.open(tmp_path / "b.jsonl.gz", "wb") as file:
        file.write(b"\xef\xbb\xbf" + b"".join(LINES))
    chosen = places(tmp_path, "*.jsonl*", ("b.jsonl.gz", 3), ("a.jsonl", 4), ("a.jsonl", 1), ("b.jsonl.gz", 1))
    (path,) = copy_originals(chosen, tmp_path / "out", "web")
    assert path.name == "web.jsonl"
    assert path.read_bytes() == LINES[2] + LINES[3] + b"\n" + LINES[0] + LINES[0]


def test_rows_of_csv_keep_quotes_and_line_ends_below_their_header(tmp_path: Path) -> None:
    content = b'id,"text"\r\n1,"a, b"\r\n2,"two\nlines ""quoted"""\r\n3,plain\r\n'
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "b.csv").write_bytes(b"text;other\n")
    (tmp_path / "c.csv").write_bytes(b"body,n\nx,1\n")
    chosen = places(tmp_path, "*.csv", ("a.csv", 3), ("a.csv", 2), ("c.csv", 1))
    first, second = copy_originals(chosen, tmp_path / "out", "web")
    assert first.read_bytes() == b'id,"text"\r\n3,plain\r\n2,"two\nlines ""quoted"""\r\n'
    assert second.read_bytes() == b"body,n\nx,1\n"
    with first.open(newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == ["plain", 'two\nlines "quoted"']


def test_elements_of_an_array_keep_every_byte(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[ {"n": 1.0,\n "t": "[x]"} , {"n":2}, {"n": 3} ]', encoding="utf-8")
    (path,) = copy_originals(places(tmp_path, "a.json", ("a.json", 3), ("a.json", 1)), tmp_path / "out", "web")
    assert path.read_text(encoding="utf-8") == '[\n{"n": 3},\n{"n": 1.0,\n "t": "[x]"}\n]\n'
    assert [record["n"] for record in json.loads(path.read_text(encoding="utf-8"))] == [3, 1.0]


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_tables_keep_columns_and_types(form: str, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"text": [f"t{n}" for n in range(3000)], "n": pl.Series(range(3000), dtype=pl.Int16), "l": [[1]] * 3000}
    )
    write = frame.write_parquet if form == "parquet" else frame.write_ipc
    write(tmp_path / f"a.{form}", **({"row_group_size": 700} if form == "parquet" else {}))
    frame.head(5).write_parquet(tmp_path / "b.parquet")
    chosen = places(tmp_path, f"a.{form}", (f"a.{form}", 2999), (f"a.{form}", 1), (f"a.{form}", 1500))
    (path,) = copy_originals(chosen, tmp_path / "out", "web")
    read = pl.read_parquet(path) if form == "parquet" else pl.read_ipc(path)
    assert read.schema == frame.schema
    assert read.to_dicts() == frame[[2998, 0, 1499]].to_dicts()


def test_a_saved_dataset_comes_as_one(tmp_path: Path) -> None:
    made = datasets.Dataset.from_dict({"text": [f"t{n}" for n in range(40)], "label": [n % 2 for n in range(40)]})
    made = made.cast_column("label", datasets.ClassLabel(names=["no", "yes"]))
    made.save_to_disk(tmp_path / "saved", num_shards=2)
    files = find_files(Path("saved"), "auto", tmp_path, "sources 'a'").files
    chosen = [(files[1], 3), (files[0], 1)]
    (folder,) = copy_originals(chosen, tmp_path / "out", "web")
    read = datasets.load_from_disk(str(folder))
    assert read.features == made.features
    assert read["text"] == ["t22", "t0"]


def test_whole_texts_are_copied_in_order(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.txt").write_bytes(name.encode() * 3 + b"\r\n")
    written = copy_originals(places(tmp_path, "*.txt", ("c.txt", 1), ("a.txt", 1)), tmp_path / "out", "web")
    assert [path.name for path in written] == ["1-c.txt", "2-a.txt"]
    assert written[0].read_bytes() == b"ccc\r\n"


def test_what_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES[0])
    pa.ipc.new_file(str(tmp_path / "a.arrow"), pa.schema([("text", pa.string())])).close()
    for name in ("a.jsonl", "a.arrow"):
        with pytest.raises(InputError, match=f"{name} has no record 7: it changed since"):
            copy_originals(places(tmp_path, name, (name, 7)), tmp_path / "out", "web")
