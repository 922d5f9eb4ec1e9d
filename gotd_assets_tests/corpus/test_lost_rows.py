"""Damage whose size nobody sees: reading goes on at the next sound line, and what is lost is counted and told by name."""

import bz2
import csv
import gzip
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.checks.documents import whole_files
from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.files.input_file import InputFile
from gotd_assets.corpus.reading.portion import Batch, Wanted
from gotd_assets.corpus.reading.records import portions, read_portion
from gotd_assets.settings.texts import PreparationSettings, SourceSettings


def batches(path: Path, form: str, limit: int = 2**20) -> list[Batch]:
    wanted = Wanted(["text"], limit)
    files = [InputFile(path, path.name, form)]
    return [batch for portion in portions(files, wanted) for batch in read_portion(portion, wanted)]


def texts(path: Path, form: str, limit: int = 2**20) -> tuple[list[str], list[tuple[int, str]]]:
    found = batches(path, form, limit)
    return (
        [record["text"] for batch in found for record in batch.records],
        [(problem.row, problem.reason) for batch in found for problem in batch.problems],
    )


def shop(*strange: tuple[int, str]) -> bytes:
    lines = ["text,n", *(f"article {n},{n}" for n in range(1, 2001))]
    for row, line in strange:
        lines[row] = line
    return "\n".join(lines).encode()


@pytest.mark.parametrize("limit", [2**20, 1024])
@pytest.mark.parametrize(
    ("strange", "lost"),
    [
        ([(401, '"article 401,401')], [401]),
        ([(1, '"article 1,1')], [1]),
        ([(401, '"article 401,401'), (900, '"article 900,900')], [401, 900]),
        # The inch mark ends the field as a closing quotation mark would.
        ([(401, '"article 401,401'), (900, 'of 5",900')], [401]),
        ([(2000, '"article 2000,2000')], [2000]),
    ],
    ids=["one", "first row", "two", "closed far below", "last row"],
)
def test_a_stray_quotation_mark_costs_its_own_line(
    tmp_path: Path, strange: list[tuple[int, str]], lost: list[int], limit: int
) -> None:
    (tmp_path / "a.csv").write_bytes(shop(*strange))
    found, problems = texts(tmp_path / "a.csv", "csv", limit)
    assert problems == [(row, "malformed CSV") for row in lost]
    assert len(found) == 2000 - len(lost)
    assert found[-1 if lost != [2000] else 0] == ("article 2000" if lost != [2000] else "article 1")


def test_in_an_archive_and_with_one_column_too(tmp_path: Path) -> None:
    lines = ["text", *(f"article {n}" for n in range(1, 2001))]
    lines[7] = '"article 7'
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    found, problems = texts(tmp_path / "a.csv.gz", "csv", 1024)
    assert problems == [(7, "malformed CSV")]
    assert len(found) == 1999


@given(st.lists(st.text('ab",\n\r é', max_size=12), min_size=1, max_size=20), st.sampled_from(["\n", "\r\n", "\r"]))
def test_sound_csv_is_read_as_the_csv_module_does(fields: list[str], end: str) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["text"], *([field] for field in fields)])
    expected = [row[0] for row in csv.reader(io.StringIO(written.getvalue(), newline=""), strict=True) if row][1:]
    path = _scratch(written.getvalue().encode())
    try:
        assert texts(path, "csv") == (expected, [])
    finally:
        path.unlink()


def _scratch(content: bytes) -> Path:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".csv", delete=False) as file:
        file.write(content)
    return Path(file.name)


def test_marks_made_to_be_read_again_and_again_are_given_up_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,n\n" + b'"a""b\n' * 5000 + b'x,""\n' * 1000)
    found = batches(tmp_path / "a.csv", "csv", 1024)
    assert sum(damage.lost_bytes or 0 for batch in found for damage in batch.damages) > 0


def array(*strange: tuple[int, str]) -> str:
    elements = [json.dumps({"text": f"article {n}"}) for n in range(1, 2001)]
    for row, element in strange:
        elements[row - 1] = element
    return "[" + ",\n".join(elements) + "]"


@pytest.mark.parametrize("limit", [2**20, 1024])
@pytest.mark.parametrize(
    ("strange", "lost"),
    [
        ([(100, '{"text": "abc}')], 1),
        ([(100, '{"text": "abc}'), (200, '{"text": "abc}')], 2),
        ([(100, '{"text": "abc"')], 1),
    ],
    ids=["quotation mark", "two", "bracket"],
)
def test_a_stray_mark_in_an_array_costs_its_own_element(
    tmp_path: Path, strange: list[tuple[int, str]], lost: int, limit: int
) -> None:
    (tmp_path / "a.json").write_text(array(*strange))
    found, problems = texts(tmp_path / "a.json", "json", limit)
    assert len(found) == 2000 - lost
    assert [reason for _, reason in problems] == ["malformed JSON"] * lost


def test_objects_without_line_ends_are_each_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"article {n}"}) for n in range(500)))
    found, problems = texts(tmp_path / "a.jsonl", "jsonl")
    assert (len(found), problems) == (500, [])


def test_objects_inside_a_malformed_record_are_no_records(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": bad, "said": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}\n')
    assert texts(tmp_path / "a.jsonl", "jsonl") == ([], [(1, "malformed JSON")])


def summary(folder: Path, **entry: object) -> dict[str, object]:
    source = SourceSettings.model_validate({"name": "s", **entry})
    return read_documents(source, PreparationSettings(), folder, folder / "out").as_summary()


def lines(count: int) -> bytes:
    draw = random.Random(0)
    return "".join(json.dumps({"text": f"{draw.getrandbits(256):x}"}) + "\n" for _ in range(count)).encode()


def test_an_archive_of_which_a_part_is_there_is_told_by_name_and_blocks(tmp_path: Path) -> None:
    packed = gzip.compress(lines(20_000))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) // 10])
    found = summary(tmp_path, path="a.jsonl.gz")
    assert found["damaged"]["of_unknown_size"] == 1
    finding = whole_files(found, 0.1, blocks=True)
    assert not finding.passed
    assert "a.jsonl.gz" in finding.sentence
    assert "checks.damaged_files" in finding.sentence
    warned = whole_files(found, 0.1, blocks=False)
    assert warned.passed
    assert "a.jsonl.gz" in warned.sentence


def test_an_archive_that_is_damaged_says_how_many_of_its_bytes_are_lost(tmp_path: Path) -> None:
    packed = bytearray(bz2.compress(lines(20_000), compresslevel=1))
    packed[len(packed) // 2 : len(packed) // 2 + 64] = bytes(64)
    (tmp_path / "a.jsonl.bz2").write_bytes(packed)
    found = summary(tmp_path, path="a.jsonl.bz2")
    assert found["damaged"]["of_unknown_size"] == 0
    assert found["damaged"]["lost_bytes"] == pytest.approx(len(packed) / 2, rel=0.3)
    assert not whole_files(found, 0.1, blocks=True).passed
    assert whole_files(found, 0.9, blocks=True).passed


def test_files_read_to_their_ends_pass_and_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(10))
    found = summary(tmp_path, path="a.jsonl")
    assert "damaged" not in found
    assert whole_files(found, 0.1, blocks=True).passed
