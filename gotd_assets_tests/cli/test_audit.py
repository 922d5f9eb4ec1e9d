"""The lineage commands, as someone in a terminal meets them."""

import dataclasses
import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.cli.lineage import commands
from gotd_assets.fingerprint import document_id
from gotd_assets.lineage import LineageStore, Materialisation

IDS = [document_id(str(number)) for number in range(3)]
MEMBERS = pl.DataFrame(
    {"doc_id": IDS, "source": "a", "origin": ["f:1", "f:2", "f:3"], "rank": [1, 2, 3], "score": [-3.0, -2.0, -1.0]}
)
SETTINGS = """
sources: [{name: a, path: a.jsonl}]
targets: [{name: imdb, path: t.txt}]
encoder: {model: m}
training: {model: m}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "gotd.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GOTD_SETTINGS", raising=False)
    home = tmp_path / ".gotd"
    key = ArtifactKey("selected_subset", "imdb/gotd")
    with ArtifactStore(home / "artifacts").write(
        key, "v" * 32, code_version="1", inputs={}, parameters={"budget": 3}
    ) as writer:
        (writer.path / "subset.txt").write_text("hello")
    assert writer.artifact is not None
    LineageStore(home / "lineage.duckdb").record(
        dataclasses.replace(Materialisation.of(writer.artifact), members=MEMBERS, run_id="r")
    )
    return home


def ask(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(commands, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_an_audit_by_name_in_every_format(home: Path, tmp_path: Path) -> None:
    question = ("audit", "why_document", "--document", IDS[1][:8])
    code, table, _ = ask(*question)
    assert code == 0
    assert "selected: number 2 of 3" in table
    assert "1 row(s)" in table
    code, lines, _ = ask(*question, "--format", "json")
    assert json.loads(lines)["selection_rank"] == 2
    code, text, _ = ask(*question, "--format", "csv")
    assert text.splitlines()[1].startswith(IDS[1])
    assert ask(*question, "--format", "parquet", "-o", "answer.parquet")[0] == 0
    assert pl.read_parquet(tmp_path / "answer.parquet")["doc_id"].to_list() == [IDS[1]]


def test_parameters_may_be_written_in_three_ways(home: Path) -> None:
    answers = {
        ask("audit", "selection_members", *way, "--format", "csv")
        for way in (("--selection", "v" * 8), (f"--selection={'v' * 8}",), ("v" * 8,))
    }
    assert len(answers) == 1
    assert len(answers.pop()[1].splitlines()) == 4


def test_the_list_shows_every_audit_with_its_parameters(home: Path) -> None:
    code, text, _ = ask("audit", "--list")
    assert code == 0
    for audit in LineageStore(home / "lineage.duckdb").audits():
        assert audit.title in text
        assert all(f"--{parameter.name}" in text for parameter in audit.parameters)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("audit", "nonsense"), "there is no audit 'nonsense'"),
        (("audit", "why_document"), "needs document"),
        (("audit", "why_document", "--document", "zz"), "'zz' is not first 8 or more hex digits"),
        (("audit", "why_document", "--document"), "--document needs a value"),
        (("audit", "stale", "now"), "unexpected 'now'"),
        (("audit", "stale", "--format", "parquet"), "add --output FILE"),
        (("forget", "00000000", "--reason", "asked"), "no document on record"),
        (("restore", "nothing.duckdb"), "does not exist"),
        (("verify", "--database", "nothing.duckdb"), "nothing has been materialised yet"),
    ],
)
def test_mistakes_are_told_without_a_traceback(home: Path, arguments: tuple[str, ...], message: str) -> None:
    code, _, complaint = ask(*arguments)
    assert code == 2
    assert message in " ".join(complaint.replace("│", " ").split())
    assert "Traceback" not in complaint


def test_verify_passes_until_a_file_is_altered(home: Path) -> None:
    assert ask("verify") == (0, "", "1 file(s) intact\n")
    (home / "artifacts" / "selected_subset" / "imdb" / "gotd" / ("v" * 32) / "subset.txt").write_text("jello")
    code, table, summary = ask("verify")
    assert code == 1
    assert "other content" in table
    assert "1 file(s) other content" in summary


def test_forget_lists_what_is_affected(home: Path) -> None:
    code, text, _ = ask("forget", IDS[0], "--reason", "asked by the author", "--format", "csv")
    assert code == 0
    assert "delete, select again: holds the text" in text
    assert LineageStore(home / "lineage.duckdb").forgotten_documents()["doc_id"].to_list() == [IDS[0]]


def test_backup_and_restore_in_one_command_each(home: Path, tmp_path: Path) -> None:
    assert ask("backup", "safe.duckdb")[0] == 0
    ask("forget", IDS[0], "--reason", "asked by the author")
    code, text, _ = ask("restore", "safe.duckdb")
    assert code == 0
    assert "the former database is" in text
    assert LineageStore(home / "lineage.duckdb").forgotten_documents().is_empty()


def test_openlineage_writes_one_event_per_line(home: Path, tmp_path: Path) -> None:
    code, text, _ = ask("openlineage")
    assert code == 0
    (event,) = map(json.loads, text.splitlines())
    assert event["outputs"][0]["name"] == "selected_subset[imdb/gotd]"
    assert ask("openlineage", "-o", "events.jsonl")[0] == 0
    assert (tmp_path / "events.jsonl").read_text() == text
