"""Inputs that are folders or have no records: text files, lines of text, a saved Hugging Face dataset."""

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.settings.texts import PreparationSettings, SourceSettings

TEXTS = ["the first text", "a second one", "and a third"]


def read(tmp_path: Path, **entry: object) -> pl.DataFrame:
    out = tmp_path / "out"
    out.mkdir()
    read_documents(SourceSettings(name="mine", **entry), PreparationSettings(), tmp_path, out)
    return scan_documents(out).collect()


def test_a_folder_of_text_files_is_a_document_per_file(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for number, text in enumerate(TEXTS):
        (tmp_path / "texts" / f"{number}.txt").write_text(text)
    documents = read(tmp_path, path="texts")
    assert documents["text"].to_list() == TEXTS
    assert documents["origin"][1].startswith("texts/1.txt")


def test_lines_of_a_text_file_can_be_documents(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("\n".join(TEXTS) + "\n")
    assert read(tmp_path, path="lines.txt", format="text-lines")["text"].to_list() == TEXTS


@pytest.mark.parametrize("declared", ["auto", "hf-dataset"])
def test_a_saved_hugging_face_dataset(tmp_path: Path, declared: str) -> None:
    folder = tmp_path / "dataset"
    folder.mkdir()
    table = pa.table({"text": TEXTS})
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    (folder / "dataset_info.json").write_text(json.dumps({"features": {"text": {"dtype": "string"}}}))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    assert read(tmp_path, path="dataset", format=declared)["text"].to_list() == TEXTS


def test_a_filter_leaves_records_out(tmp_path: Path) -> None:
    rows = [{"text": text, "lang": lang} for text, lang in zip(TEXTS, ["en", "de", "en"], strict=True)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read(tmp_path, path="rows.jsonl", filter="lang = 'en'")["text"].to_list() == [TEXTS[0], TEXTS[2]]
