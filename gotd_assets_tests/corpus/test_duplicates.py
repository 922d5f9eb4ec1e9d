import json
import random
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.duplicates import contamination, rows, search
from gotd_assets.corpus.duplicates import shingles as shingling
from gotd_assets.corpus.duplicates.contamination import find_contamination
from gotd_assets.corpus.duplicates.search import find_duplicates
from gotd_assets.corpus.duplicates.shingles import jaccard, shingles
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.fingerprint import document_id
from gotd_assets.settings.texts import DuplicateSettings, PreparationSettings, SourceSettings

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


def plainly(text: str) -> set[str]:
    """Shingles as the words of their definition say."""
    # Of the scripts without spaces only these stand in the texts here.
    words = re.findall(r"[一-鿿ぁ-ヿก-๛\U00020000-\U0002a6df]|[^\W一-鿿ぁ-ヿก-๛\U00020000-\U0002a6df]+", text.lower())
    return {" ".join(run) for run in zip(words, words[1:], words[2:], strict=False)} or {" ".join(words) or text}


def similarity(left: str, right: str) -> float:
    one, two = plainly(left), plainly(right)
    return len(one & two) / len(one | two)


def varied(count: int, seed: int) -> list[str]:
    """Texts of which many are more or less like an earlier one."""
    rng = random.Random(seed)
    made = texts(count // 4, seed)
    while len(made) < count:
        words = rng.choice(made).split()
        for _ in range(rng.randint(0, 6)):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        made.append(" ".join(words))
    return list(dict.fromkeys(made))


@given(
    st.lists(st.text(alphabet="aB é\n.,_1—🙂中文のカーไท𠀀한", max_size=30).filter(str.strip), min_size=1, max_size=8)
)
def test_shingles_are_those_of_the_definition(texts: list[str]) -> None:
    (found,) = shingles(pl.Series("text", texts))
    assert [len(found.of(k)) for k in range(len(texts))] == [len(plainly(text)) for text in texts]
    for k, text in enumerate(texts):
        assert jaccard(found.of(0), found.of(k)) == similarity(texts[0], text)


@pytest.mark.parametrize(
    "alphabet",
    [range(0x4E00, 0x9000), range(0x3041, 0x3097), range(0x30A1, 0x30FA), range(0xE01, 0xE2F), range(0x1780, 0x17B4)],
    ids=["Chinese", "Hiragana", "Katakana", "Thai", "Khmer"],
)
def test_copies_are_found_in_scripts_without_spaces(tmp_path: Path, alphabet: range) -> None:
    draw = random.Random(0)
    originals = ["".join(map(chr, draw.choices(alphabet, k=draw.randint(20, 60)))) for _ in range(40)]
    mixed = [f"{text} in GPT-4 {text[::-1]}" for text in originals[:10]]
    copies = [text + chr(alphabet[0]) for text in [*originals, *mixed]]
    others = ["".join(map(chr, draw.choices(alphabet, k=40))) for _ in range(40)]
    folders = {"pool": source(tmp_path, "pool", [*copies, *others])}
    report = find_contamination(
        folders, [source(tmp_path, "target", [*originals, *mixed])], DuplicateSettings(), tmp_path / "c.parquet"
    )
    assert (report.found, report.near) == (50, 50)
    both = {"one": source(tmp_path, "one", originals), "two": source(tmp_path, "two", copies)}
    assert find_duplicates(both, DuplicateSettings(), tmp_path / "d.parquet").near["two"] >= 38


def test_shingles_do_not_depend_on_how_texts_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    series = pl.Series("text", varied(60, 4))
    whole = np.concatenate([part.hashes for part in shingles(series)])
    monkeypatch.setattr(shingling, "_PART_BYTES", 1000)
    parts = list(shingles(series))
    assert len(parts) > 10
    np.testing.assert_array_equal(np.concatenate([part.hashes for part in parts]), whole)


def test_near_duplicates_are_those_that_comparing_all_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = varied(300, 5)
    folders = {"one": source(tmp_path, "one", made[:200]), "two": source(tmp_path, "two", made[200:])}
    find_duplicates(folders, DuplicateSettings(), tmp_path / "d.parquet")
    found = pl.read_parquet(tmp_path / "d.parquet")
    by_id = {document_id(text): text for text in made}
    for row in found.iter_rows(named=True):
        assert row["similarity"] == similarity(by_id[row["doc_id"]], by_id[row["matched_doc_id"]]) >= 0.8
        assert made.index(by_id[row["matched_doc_id"]]) < made.index(by_id[row["doc_id"]])
    gone = set(found["doc_id"])
    kept = [text for text in made if document_id(text) not in gone]
    left = sum(similarity(a, b) >= 0.8 for k, a in enumerate(kept) for b in kept[:k])
    assert len(gone) > 50
    # A pair right at the threshold is proposed with probability 0.95.
    assert left <= 0.05 * len(gone)
    # However little is held at a time, and whatever number of processes looks.
    monkeypatch.setattr(search, "_HELD_BYTES", 2000)
    monkeypatch.setattr(rows, "_BYTES_PER_PROCESS", 1)
    find_duplicates(folders, DuplicateSettings(), tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "d.parquet").read_bytes()


@pytest.mark.parametrize(("pool", "known"), [(200, 100), (100, 200)], ids=["fewer references", "more references"])
def test_contamination_is_what_comparing_all_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: int, known: int
) -> None:
    made = varied(300, 6)
    random.Random(0).shuffle(made)
    made, references = made[:pool], made[pool : pool + known]
    folders = {"pool": source(tmp_path, "pool", made)}
    targets = [source(tmp_path, "a", references[: known // 2]), source(tmp_path, "b", references[known // 2 :])]
    best = {text: max((similarity(text, other), -k) for k, other in enumerate(references)) for text in made}
    expected = {
        document_id(text): (document_id(references[-place]), score)
        for text, (score, place) in best.items()
        if score >= 0.8
    }
    assert len(expected) > 10
    for held in (2**25, 3000):
        monkeypatch.setattr(contamination, "_INDEXED_BYTES", held)
        report = find_contamination(folders, targets, DuplicateSettings(), tmp_path / "c.parquet")
        rows = pl.read_parquet(tmp_path / "c.parquet").select("doc_id", "matched_doc_id", "similarity").rows()
        assert {doc_id: (matched, score) for doc_id, matched, score in rows} == expected
        assert report.by_source == {"pool": len(expected)}
