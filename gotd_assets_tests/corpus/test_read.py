import json
from pathlib import Path

import polars as pl
import pytest

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.corpus.targets import read_target
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.settings.texts import HoldoutSettings, PreparationSettings, SourceSettings, TargetSettings

PLAIN = PreparationSettings()


def read(tmp_path: Path, preparation: PreparationSettings = PLAIN, **entry: object):
    out = tmp_path / "out"
    out.mkdir()
    report = read_documents(SourceSettings.model_validate({"name": "s", **entry}), preparation, tmp_path, out)
    return report.as_summary(), scan_documents(out).collect()


def test_malformed_lines_are_quarantined_and_the_rest_is_kept(tmp_path: Path) -> None:
    lines = [
        b'{"text": "one fish"}',
        b"{broken",
        b'{"text": "\xff\xfe"}',
        b'{"text": 7}',
        b'{"other": 1}',
        b"[1]",
        b'{"text": "two fish"}',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    summary, documents = read(tmp_path, path="a.jsonl")
    assert documents["text"].to_list() == ["one fish", "two fish"]
    assert documents["origin"].to_list() == ["a.jsonl:1", "a.jsonl:7"]
    assert summary["read"] == 7
    assert summary["quarantined_by_reason"] == {
        "malformed JSON": 1,
        "invalid UTF-8": 1,
        "field 'text' is not text": 1,
        "no field 'text'": 1,
        "record is not an object": 1,
    }
    rows = [json.loads(line)["row"] for line in (tmp_path / "out/quarantine.jsonl").read_text().splitlines()]
    assert sorted(rows) == [2, 3, 4, 5, 6]


def test_wrong_field_names_the_fields_there_are(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "x y", "id": 1}\n')
    with pytest.raises(InputError, match="no record has the field 'text'; the first has: body, id"):
        read(tmp_path, path="a.jsonl")


def test_a_field_that_holds_nothing_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    pl.DataFrame({"text": [None, None], "body": ["a b", "c d"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"'text' holds nothing \(null\) in any of 2 records: set sources"):
        read(tmp_path, path="a.parquet")


def test_duplicates_name_the_kept_origin(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a  b"}\n{"text": "a b"}\n{"text": "c"}\n')
    summary, documents = read(tmp_path, path="a.jsonl")
    assert (summary["kept"], summary["duplicates"]) == (2, 1)
    row = pl.read_parquet(tmp_path / "out/duplicates.parquet").row(0)
    assert row == (documents["doc_id"][0], "a.jsonl:2", "a.jsonl:1")


def test_forgotten_texts_are_on_no_side_of_a_target_and_the_others_stay_on_theirs(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"text": f"text {i}"}) + "\n" for i in range(50)))
    target = TargetSettings(name="t", path=Path("t.jsonl"), holdout=HoldoutSettings(share=0.5))
    gone = [document_id(f"text {number}") for number in range(10)]
    read_target(target, PLAIN, tmp_path, tmp_path / "before")
    summary = read_target(target, PLAIN, tmp_path, tmp_path / "after", forgotten=gone)
    for side in ("train", "heldout"):
        before, after = (scan_documents(tmp_path / when / side).collect()["doc_id"] for when in ("before", "after"))
        assert set(after) == set(before) - set(gone)
        assert summary[f"{side}_documents"] == len(after)
    with pytest.raises(InputError, match="every text was forgotten"):
        read_target(target, PLAIN, tmp_path, tmp_path / "none", forgotten=[document_id(f"text {n}") for n in range(50)])


@pytest.mark.parametrize("count", [1, 2, 50])
def test_target_split_leaves_both_sides_something_where_it_can(tmp_path: Path, count: int) -> None:
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"text": f"text {i}"}) + "\n" for i in range(count)))
    target = TargetSettings(name="t", path=Path("t.jsonl"), holdout=HoldoutSettings(share=0.5))
    summary = read_target(target, PLAIN, tmp_path, tmp_path / "out")
    sides = [set(scan_documents(tmp_path / "out" / side).collect()["doc_id"]) for side in ("train", "heldout")]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == count
    assert len(sides[0]) >= 1
    assert len(sides[1]) >= (count > 1)
    assert [summary["train_documents"], summary["heldout_documents"]] == [len(side) for side in sides]
