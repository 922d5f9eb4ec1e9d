import json
import random
from pathlib import Path

import polars as pl

from gotd_assets.corpus import find_contamination, find_duplicates, read_documents, scan_documents
from gotd_assets.settings import DuplicateSettings, PreparationSettings, SourceSettings

WORDS = [f"word{i}" for i in range(2000)]


def source(tmp_path: Path, name: str, texts: list[str]) -> Path:
    (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / name).mkdir()
    entry = SourceSettings(name=name, path=Path(f"{name}.jsonl"))
    read_documents(entry, PreparationSettings(), tmp_path, tmp_path / name)
    return tmp_path / name


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=80)) for _ in range(count)]


def test_exact_and_near_duplicates_name_the_first_declared_as_kept(tmp_path: Path) -> None:
    base = texts(50, 0)
    near = [text + " tail" for text in base[:20]]
    folders = {"b": source(tmp_path, "b", base), "a": source(tmp_path, "a", near + base[20:30] + texts(40, 1))}
    report = find_duplicates(folders, DuplicateSettings(), tmp_path / "d.parquet").as_summary()
    rows = pl.read_parquet(tmp_path / "d.parquet")
    assert (report["exact"], report["near"]) == (10, 20)
    assert set(rows["source"]) == {"a"}
    assert set(rows["matched_source"]) == {"b"}
    by_id = dict(scan_documents(folders["b"]).select("doc_id", "text").collect().iter_rows())
    left = dict(scan_documents(folders["a"]).select("doc_id", "text").collect().iter_rows())
    for row in rows.filter(pl.col("kind") == "near").iter_rows(named=True):
        assert left[row["doc_id"]] == by_id[row["matched_doc_id"]] + " tail"
        assert 0.8 <= row["similarity"] < 1


def test_contamination_finds_target_texts_and_is_silent_when_off(tmp_path: Path) -> None:
    target, pool = texts(5, 2), texts(30, 3)
    folders = {"pool": source(tmp_path, "pool", [*pool, target[0], target[1] + " more"])}
    references = [source(tmp_path, "target", target)]
    report = find_contamination(folders, references, DuplicateSettings(), tmp_path / "c.parquet")
    rows = pl.read_parquet(tmp_path / "c.parquet")
    assert report.found == 2
    assert rows["kind"].to_list() == ["exact", "near"]
    off = find_contamination(folders, references, DuplicateSettings(contamination=False), tmp_path / "off.parquet")
    assert off.found == 0
    assert pl.read_parquet(tmp_path / "off.parquet").schema == rows.schema
