"""Values come as they stand in the file, or the record is set aside with the reason; never another value."""

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.errors import InputError
from gotd_assets.settings.texts import PreparationSettings, SourceSettings


def read(folder: Path, **entry: object) -> tuple[dict[str, object], pl.DataFrame]:
    source = SourceSettings.model_validate({"name": "s", **entry})
    report = read_documents(source, PreparationSettings(), folder, folder / "out")
    return report.as_summary(), scan_documents(folder / "out").collect()


@pytest.mark.parametrize("form", ["jsonl", "json"])
@pytest.mark.parametrize(
    "value", ["18446744073709551617", "10000000000000000000000", "-" + "9" * 40, "12345678901234567890"]
)
def test_integers_of_any_size_are_kept_as_they_are(tmp_path: Path, form: str, value: str) -> None:
    line = f'{{"text": "a word", "n": {value}, "in": {{"n": {value}}}}}'
    (tmp_path / f"a.{form}").write_text(f"[{line}]" if form == "json" else line + "\n")
    _, documents = read(tmp_path, path=f"a.{form}", fields={"keep": ["n", "in"]})
    assert documents["n"].to_list() == [value]
    assert json.loads(documents["in"].item()) == {"n": int(value)}


def test_nan_and_infinity_are_values_and_half_a_character_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "one", "n": NaN}\n{"text": "two", "n": -Infinity}\n{"text": "half \\ud83d"}\n{"text": "four", "x": "\\udc00"}\n'
    )
    summary, documents = read(tmp_path, path="a.jsonl", fields={"keep": ["n"]})
    assert documents["text"].to_list() == ["one", "two", "four"]
    assert documents["n"].to_list() == ["NaN", "-Infinity", None]
    assert summary["quarantined_by_reason"] == {"field 'text' holds half a character (a lone surrogate)": 1}


def test_json_that_is_none_stays_malformed(tmp_path: Path) -> None:
    bad = [
        "{",
        "{'text': 'a'}",
        '{"text": "a"} x',
        '{"text": "a",}',
        "[" * 5000,
        '{"text": "a", "n": ' + "1" * 5000 + "}",
    ]
    (tmp_path / "a.jsonl").write_text("\n".join([*bad, '{"text": "a word"}']))
    summary, documents = read(tmp_path, path="a.jsonl")
    assert documents.height == 1
    assert summary["quarantined"] == len(bad)


def test_a_field_that_stands_twice_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "a", "text": "b"}\n{"text": "sound", "other": 1, "other": 2}\n{"type": "text", "text": "too"}\n'
    )
    summary, documents = read(tmp_path, path="a.jsonl")
    assert documents["text"].to_list() == ["sound", "too"]
    assert summary["quarantined_by_reason"] == {"field 'text' is there twice": 1}


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "arrow"])
def test_a_column_that_is_there_twice_is_refused_by_name_if_it_is_wanted(tmp_path: Path, ending: str) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["text", "text", "note"])
    match ending:
        case "csv" | "tsv":
            mark = "," if ending == "csv" else "\t"
            (tmp_path / f"a.{ending}").write_text(f"text{mark}text{mark}note\na{mark}b{mark}c\n")
        case "parquet":
            pq.write_table(table, tmp_path / "a.parquet")
        case "arrow":
            with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
    with pytest.raises(InputError, match=rf"a\.{ending}: 2 columns are called 'text'"):
        read(tmp_path, path=f"a.{ending}")
    _, documents = read(tmp_path, path=f"a.{ending}", fields={"text": "note"})
    assert documents["text"].to_list() == ["c"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize("text", ["plain words", "Привет, мир", "γειά σου κόσμε"])
@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv"])
def test_utf_16_is_never_taken_for_text(tmp_path: Path, encoding: str, text: str, ending: str) -> None:
    lines = {"txt": text, "jsonl": f'{{"text": "{text}"}}', "csv": f'text\n"{text}"'}[ending]
    (tmp_path / f"a.{ending}").write_bytes("\n".join([lines] * 50).encode(encoding))
    (tmp_path / f"b.{ending}").write_text(lines)
    summary, documents = read(tmp_path, path=f"*.{ending}")
    assert documents["text"].to_list() == [text]
    assert summary["quarantined_by_reason"] == {"text in another encoding": 1}
    (damage,) = summary["damaged"]["named"]
    assert "not UTF-8" in damage["reason"]
    assert damage["lost_bytes"] == (tmp_path / f"a.{ending}").stat().st_size
