"""Texts out of several fields and out of conversations."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.texts.rendering import fields_in, rendered
from gotd_assets.settings.texts import FieldSettings, PreparationSettings, SourceSettings

TURNS = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]


@pytest.mark.parametrize(
    ("text", "record", "expected"),
    [
        ("body", {"body": "a text"}, "a text"),
        ("meta.body", {"meta": {"body": "inner"}}, "inner"),
        ("{title}\n{body}", {"title": "T", "body": "B"}, "T\nB"),
        ("{title}\n{meta.body}", {"title": "T", "meta": {"body": "B"}}, "T\nB"),
        ("{title}\n{body}", {"body": "B"}, "\nB"),
        ("{title}\n{body}", {"other": "B"}, None),
        ("{year}: {body}", {"year": 1999, "body": "B"}, "1999: B"),
        ("{{{body}}}", {"body": "B"}, "{B}"),
        ("messages", {"messages": TURNS}, "user: Why?\n\nassistant: Because."),
        ("turns", {"turns": [{"from": "human", "value": "Hi"}]}, "human: Hi"),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image"}]}]},
            "user: Look",
        ),
        ("{topic}\n{messages}", {"topic": "T", "messages": TURNS}, "T\nuser: Why?\n\nassistant: Because."),
        ("{prompt}\n{completion}", {"prompt": "P", "completion": "C"}, "P\nC"),
        ("messages", {"messages": [1, 2]}, [1, 2]),
        ("{a}{b}", {"a": {"c": 1}, "b": "B"}, {"c": 1}),
    ],
)
def test_what_a_record_becomes(text: str, record: dict[str, object], expected: object) -> None:
    assert rendered(record, text) == expected


@given(st.text(st.characters(exclude_characters="{}"), min_size=1), st.text())
def test_a_name_without_braces_is_a_field_of_that_name(name: str, value: str) -> None:
    assert fields_in(name) == [name]
    assert rendered({name: value}, name) == value


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_template_of_all_fields_holds_all_of_them_in_order(values: list[str]) -> None:
    record = {f"f{number}": value for number, value in enumerate(values)}
    assert rendered(record, "|".join(f"{{{name}}}" for name in record)) == "|".join(values)


def test_files_are_read_by_templates_and_turns_and_the_rest_is_set_aside(tmp_path: Path) -> None:
    records = [
        {"title": "One", "body": "first", "messages": TURNS},
        {"title": "Two", "messages": "no turns"},
        {"body": ["a", "list"], "messages": [3]},
        {"unlike": 1},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    pl.DataFrame({"title": ["One", None], "body": ["first", "second"]}).write_parquet(tmp_path / "a.parquet")

    def read(file: str, text: str) -> tuple[list[str], dict[str, int]]:
        source = SourceSettings(name="a", path=tmp_path / file, fields=FieldSettings(text=text))
        out = tmp_path / f"{file}-{len(text)}"
        report = read_documents(source, PreparationSettings(), tmp_path, out)
        frames = [pl.read_parquet(shard) for shard in sorted(out.glob("documents-*.parquet"))]
        return pl.concat(frames)["text"].to_list(), dict(report.quarantined_by_reason)

    template = "{title}\n{body}"
    assert read("a.jsonl", template) == (
        ["One\nfirst", "Two"],
        {f"field {template!r} is not text": 1, f"no field {template!r}": 1},
    )
    assert read("a.parquet", template) == (["One\nfirst", "second"], {})
    texts, reasons = read("a.jsonl", "messages")
    assert texts == ["user: Why?\n\nassistant: Because.", "no turns"]
    assert sum(reasons.values()) == 2
