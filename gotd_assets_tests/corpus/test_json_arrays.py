"""JSON arrays, which are read element by element, whatever their size."""

import gzip
import json
import random
import tracemalloc
from pathlib import Path

import pytest

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.reading import json_arrays
from gotd_assets.corpus.report import ReadReport
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.settings.texts import PreparationSettings, SourceSettings


def read(tmp_path: Path, name: str, column: str = "text") -> tuple[ReadReport, list[str]]:
    out = tmp_path / "out"
    entry = SourceSettings.model_validate({"name": "s", "path": name, "fields": {"keep": ["copy"]}})
    report = read_documents(entry, PreparationSettings(), tmp_path, out)
    return report, scan_documents(out).collect()[column].to_list()


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("block", [1, 2, 3, 7, 1000, 2**20])
def test_elements_are_those_of_the_standard_parser_wherever_blocks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, indent: int | None
) -> None:
    generator = random.Random(block)
    signs = ["\\", '"', "[", "]", "{", "}", ",", "é", "word", " ", "\n", "🙂"]
    texts = [f"document {n} " + "".join(generator.choices(signs, k=20)) + "." for n in range(60)]
    rows = [{"text": text, "more": [n, {"a": [text]}], "copy": text} for n, text in enumerate(texts)]
    content = json.dumps(rows, indent=indent, ensure_ascii=indent is None).encode()
    (tmp_path / "data.json").write_bytes(content)
    monkeypatch.setattr(json_arrays, "BLOCK_BYTES", block)
    report, found = read(tmp_path, "data.json", "copy")
    assert found == texts
    assert report.quarantined == 0


def test_a_malformed_element_costs_no_other_and_has_its_row(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_bytes(b'\xef\xbb\xbf [{"text": "one"}, {"text": nonsense}, 3, {"text": "four"}]\n')
    report, found = read(tmp_path, "data.json")
    problems = [json.loads(line) for line in (tmp_path / "out/quarantine.jsonl").read_text().splitlines()]
    assert found == ["one", "four"]
    assert [(problem["row"], problem["reason"]) for problem in problems] == [
        (2, "malformed JSON"),
        (3, "record is not an object"),
    ]
    assert report.read == 4


@pytest.mark.parametrize("ending", ["json", "json.gz"])
def test_an_array_that_breaks_off_gives_what_came_before(tmp_path: Path, ending: str) -> None:
    content = json.dumps([{"text": f"document {n} {n * 7919 % 1009}"} for n in range(20_000)]).encode()
    packed = gzip.compress(content) if ending.endswith("gz") else content
    (tmp_path / f"data.{ending}").write_bytes(packed[: len(packed) * 3 // 4])
    report, found = read(tmp_path, f"data.{ending}")
    assert found == [f"document {n} {n * 7919 % 1009}" for n in range(len(found))]
    assert len(found) > 10_000
    assert report.quarantined_by_reason == {"file damaged or cut off": 1}


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_a_record_of_200_mb_is_set_aside_without_being_held(tmp_path: Path, ending: str) -> None:
    before, after = ("[", "]") if ending == "json" else ("", "")
    between = "," if ending == "json" else ""
    with (tmp_path / f"data.{ending}").open("w") as file:
        file.write(before + json.dumps({"text": "the first"}) + between + "\n" + '{"text": "')
        for _ in range(200):
            file.write("x" * 1_000_000)
        file.write('"}' + between + "\n" + json.dumps({"text": "the last"}) + after)
    tracemalloc.start()
    report, found = read(tmp_path, f"data.{ending}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == ["the first", "the last"]
    assert report.quarantined_by_reason == {"record larger than max_record_bytes": 1}
    assert peak < 100 * 2**20
