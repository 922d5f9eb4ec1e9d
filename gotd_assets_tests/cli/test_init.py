"""`gotd init`: from files of one's own to a project that runs."""

import json
from pathlib import Path

import polars as pl
import pytest

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.settings.file import load_project
from gotd_assets_tests.end_to_end.project import gotd, sentences, topic_encoder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, topic, count in (("pool", "news", 60), ("tickets", "film", 24), ("more", "film", 12)):
        lines = [json.dumps({"id": 1, "Body": text}) + "\n" for text in sentences(topic, count, len(name))]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    topic_encoder(tmp_path / "encoder")
    return tmp_path


def test_what_it_writes_is_ten_lines_and_runs(folder: Path) -> None:
    arguments = ("--pool", "pool.jsonl", "--pool", "more.jsonl", "--target", "tickets.jsonl", "--encoder", "encoder")
    done = gotd(folder, "init", *arguments, "--budget", "8")
    assert done.returncode == 0, done.stdout + done.stderr
    told = " ".join(done.stdout.split())
    assert "pool pool.jsonl: 1 file, about 60 records, text in 'Body' (beside it: id)" in told
    assert "wrote gotd.yaml, dagster.yaml, workspace.yaml" in told
    assert "embeds about 96 records: about 3" in told
    lines = (folder / "gotd.yaml").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip() and not line.startswith("#")]) <= 10
    settings = load_project(folder / "gotd.yaml").settings
    assert [source.name for source in settings.sources] == ["pool", "more"]
    assert settings.training is None
    run = gotd(folder, "run")
    assert run.returncode == 0, run.stdout + run.stderr
    # The selection is shown as soon as there is one, and again nobody is told twice.
    assert run.stdout.count("selected for tickets by gotd") == 1
    assert "100% more" in " ".join(run.stdout.split())
    made = ArtifactStore(folder / ".gotd" / "artifacts").current(ArtifactKey("selected_subset", "tickets/gotd"))
    assert pl.read_parquet(made.file("subset.parquet"))["source"].to_list() == ["more"] * 8
    assert "selected for" not in gotd(folder, "run").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--target", "tickets.jsonl"), "--pool is missing"),
        (("--pool", "none.jsonl", "--target", "tickets.jsonl"), "matches no file"),
        (("--pool", "pool.jsonl", "--target", "tickets.jsonl", "--encoder", "nowhere/at/all"), "does not exist"),
        (
            ("--pool", "pool.jsonl", "--target", "tickets.jsonl", "--encoder", "encoder", "--budget", "5 words"),
            "is no budget",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = gotd(folder, "init", *arguments)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert not (folder / "gotd.yaml").exists()


def test_a_gotd_yaml_that_is_there_stays(folder: Path) -> None:
    (folder / "gotd.yaml").write_text("mine", encoding="utf-8")
    done = gotd(folder, "init", "--pool", "pool.jsonl", "--target", "tickets.jsonl", "--encoder", "encoder")
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert (folder / "gotd.yaml").read_text(encoding="utf-8") == "mine"


def test_the_version_is_shown(folder: Path) -> None:
    from gotd_assets import __version__

    assert gotd(folder, "--version").stdout == f"gotd-assets {__version__}\n"
