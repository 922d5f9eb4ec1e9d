"""The whole way, as a user runs it: from files to a selection, a model, a report, and back again for nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest

from gotd_assets.storage import Artifact, ArtifactKey, ArtifactStore
from gotd_assets_tests.end_to_end.project import TOPICS, environment, gotd, make_project, sentences, write_jsonl


def current(folder: Path, asset: str, partition: str | None = None) -> Artifact:
    return ArtifactStore(folder / ".gotd" / "artifacts").current(ArtifactKey(asset, partition))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    done = gotd(folder, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_the_rare_domain_of_the_target_is_selected(finished: tuple[Path, str]) -> None:
    subset = pl.read_parquet(current(finished[0], "selected_subset", "film/gotd").file("subset.parquet"))
    film = set(TOPICS["film"])
    from_film = subset.filter(
        pl.col("text").map_elements(lambda text: set(text.split()) <= film, return_dtype=pl.Boolean)
    )
    assert subset.height == 8
    assert from_film.height >= 7
    assert subset["score"].is_sorted()
    assert (subset["score"] < 0).all()


def test_the_files_to_take_away_agree(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    assert gotd(folder, "export", "film", str(tmp_path / "mine")).returncode == 0
    parquet = pl.read_parquet(tmp_path / "mine" / "subset.parquet")
    lines = pl.read_ndjson(tmp_path / "mine" / "subset.jsonl")
    assert parquet.columns[:6] == ["doc_id", "text", "source", "origin", "rank", "score"]
    assert parquet["doc_id"].to_list() == lines["doc_id"].to_list()
    assert duckdb.sql(f"FROM read_parquet('{tmp_path}/mine/subset.parquet')").fetchone()[0] == parquet["doc_id"][0]
    manifest = json.loads((tmp_path / "mine" / "manifest.json").read_text())
    assert manifest["parameters"] == {"budget": 8, "direction": "toward", "method": "gotd", "seed": 0}
    assert {file["name"] for file in manifest["files"]} == {"subset.jsonl", "subset.parquet"}


def test_every_candidate_leads_back_to_its_file_and_row(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    subset = pl.read_parquet(current(folder, "selected_subset", "film/gotd").file("subset.parquet"))
    for text, origin in subset.select("text", "origin").iter_rows():
        file, row = origin.rsplit(":", 1)
        line = (folder / file).read_text().splitlines()[int(row) - 1]
        assert json.loads(line)["text"] == text


def test_the_report_tells_the_story(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    report = json.loads(current(folder, "evaluation_report", "film").file("report.json").read_text())
    assert report["pool"] == {"news": 60, "mixed": 52}
    gotd_outcome, random_outcome = report["methods"]
    assert gotd_outcome["worth"]["after"] < random_outcome["worth"]["after"]
    assert gotd_outcome["worth"]["after"] < gotd_outcome["worth"]["before"]
    assert gotd_outcome["perplexity"]["perplexity"] < report["base_perplexity"]["perplexity"]
    change = gotd_outcome["perplexity_changes"]["base"]
    ratio = gotd_outcome["perplexity"]["perplexity"] / report["base_perplexity"]["perplexity"]
    assert change["change"] == pytest.approx(ratio - 1)
    assert change["low"] < change["change"] < change["high"]
    assert random_outcome["perplexity_changes"].keys() == {"base", "gotd"}
    shown = gotd(folder, "report", "film")
    assert shown.returncode == 0
    assert gotd_outcome["mlflow_run_id"] in shown.stdout
    assert "against the base model" in " ".join(shown.stdout.split())


def test_mlflow_names_dagster_and_the_selection(finished: tuple[Path, str]) -> None:
    from mlflow.tracking import MlflowClient

    folder, _ = finished
    subset = current(folder, "selected_subset", "film/gotd")
    facts = json.loads(current(folder, "pre_fine_tuned_model", "film/gotd").file("training.json").read_text())
    run = MlflowClient(facts["tracking_uri"]).get_run(facts["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["gotd.selection_version"] == subset.version
    assert run.data.tags["dagster.asset_key"] == "pre_fine_tuned_model"
    assert run.data.tags["dagster.run_id"]
    assert subset.version.startswith(run.inputs.dataset_inputs[0].dataset.digest)


def test_lineage_knows_why_and_from_what(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    subset = pl.read_parquet(current(folder, "selected_subset", "film/gotd").file("subset.parquet"))
    why = gotd(folder, "audit", "why_document", "--document", subset["doc_id"][0], "--format", "json")
    answers = [json.loads(line) for line in why.stdout.splitlines()]
    reasons = {answer["selected_subset"]: answer["reason"] for answer in answers}
    assert "number 1 of 8" in reasons["selected_subset[film/gotd]"]
    model = current(folder, "pre_fine_tuned_model", "film/gotd")
    origin = gotd(folder, "audit", "model_origin", "--model", model.version, "--format", "json")
    assert "data/target.jsonl" in origin.stdout
    assert "data/mixed.jsonl" in origin.stdout
    assert gotd(folder, "verify").returncode == 0


def test_explain_says_why_and_what_would_have_to_change(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    subset = pl.read_parquet(current(folder, "selected_subset", "film/gotd").file("subset.parquet"))
    scores = pl.read_parquet(current(folder, "candidate_scores", "film").file("scores.parquet")).sort("score", "doc_id")

    def explained(doc_id: str, *more: str) -> str:
        shown = gotd(folder, "explain", doc_id, "--target", "film", *more)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        return " ".join(shown.stdout.split())

    best = explained(subset["doc_id"][0][:12])
    assert "selected by gotd: number 1 of 8" in best
    assert "number 1 of 112 by score, better than 100.00%" in best
    ninth = explained(scores["doc_id"][8])
    assert "not selected by gotd, which took 8" in ninth
    assert f"score of the last one selected: {scores['score'][7]:.6g}" in ninth
    assert "it would need a budget of 9 documents instead of 8" in ninth
    drawn = pl.read_parquet(current(folder, "selected_subset", "film/random").file("subset.parquet"))
    not_drawn = scores.filter(~pl.col("doc_id").is_in(drawn["doc_id"].implode()))["doc_id"][-1]
    assert "random does not go by this score alone" in explained(not_drawn, "--method", "random")
    unknown = gotd(folder, "explain", "0" * 32, "--target", "film")
    assert unknown.returncode == 1
    assert "no source holds a document" in " ".join(unknown.stderr.split())


def test_a_second_run_does_nothing_and_keeps_every_byte(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    before = current(folder, "selected_subset", "film/gotd")
    content = before.file("subset.parquet").read_bytes()
    again = gotd(folder, "run")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "embedded" not in again.stdout
    assert "transport," not in again.stdout
    assert "training:" not in again.stdout
    after = current(folder, "selected_subset", "film/gotd")
    assert after.version == before.version
    assert after.file("subset.parquet").read_bytes() == content


def test_a_fresh_home_gives_the_same_selection_byte_for_byte(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    make_project(tmp_path)
    assert gotd(tmp_path, "run").returncode == 0
    first = current(folder, "selected_subset", "film/gotd").file("subset.parquet").read_bytes()
    assert current(tmp_path, "selected_subset", "film/gotd").file("subset.parquet").read_bytes() == first


def test_one_more_document_embeds_one_document(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    write_jsonl(folder / "data" / "news.jsonl", [*sentences("news", 60, 0), sentences("news", 1, 5)[0]])
    done = gotd(folder, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = current(folder, "candidate_embeddings", "news").manifest.summary
    assert (summary["embedded"], summary["reused"]) == (1, 60)


def test_parquet_of_ones_own_needs_only_settings(tmp_path: Path) -> None:
    make_project(
        tmp_path,
        sources=[
            {"name": "mine", "path": "mine/*.parquet", "fields": {"text": "body.content", "keep": ["id"]}},
            {"name": "mixed", "path": "data/mixed.jsonl"},
        ],
    )
    (tmp_path / "mine").mkdir()
    texts = sentences("film", 20, 3)
    frame = pl.DataFrame({"body": [{"content": text} for text in texts], "id": [f"id-{i}" for i in range(20)]})
    frame.write_parquet(tmp_path / "mine" / "one.parquet")
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    subset = pl.read_parquet(current(tmp_path, "selected_subset", "film/gotd").file("subset.parquet"))
    kept = subset.filter(pl.col("source") == "mine")
    assert kept.height > 0
    assert kept["id"].str.starts_with("id-").all()


@pytest.mark.parametrize("delay", [0.5, 8.0], ids=["while MLflow is set up", "while training"])
def test_a_killed_run_is_continued_by_the_next(tmp_path: Path, delay: float) -> None:
    training = {"model": "model", "max_tokens": 32, "epochs": 300.0, "checkpoint_steps": 1}
    make_project(tmp_path, training=training)
    command = [sys.executable, "-c", "from gotd_assets.cli import main; main()", "run"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "pre_fine_tuned_model:" in line:
                time.sleep(delay)
                os.kill(process.pid, signal.SIGKILL)
                break
        process.wait()
    assert process.returncode == -signal.SIGKILL
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stands already" in done.stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"selection": {"budget": 500}}, "selection.budget is 500, but only 112 candidates"),
        ({"selection": {"budget": 8, "methods": ["best"]}}, "there is no method 'best'"),
        ({"sources": [{"name": "gone", "path": "data/gone.jsonl"}]}, "matches no file"),
        ({"sources": [{"name": "news", "path": "data/news.jsonl", "fields": {"text": "body"}}]}, "'body'"),
        ({"encoder": {"model": "data"}}, "no weights"),
        ({"training": {"model": "data"}}, "weights"),
        ({"transport": {"epsilon": -1}}, "transport.epsilon"),
    ],
    ids=["budget", "method", "missing file", "wrong field", "encoder", "language model", "setting"],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    make_project(tmp_path, **changes)
    done = gotd(tmp_path, "run")
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_target_of_one_document_is_selected_for_trained_on_and_reported_without_perplexity(tmp_path: Path) -> None:
    make_project(tmp_path)
    write_jsonl(tmp_path / "data" / "target.jsonl", sentences("film", 1, 9))
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stderr
    assert current(tmp_path, "selected_subset", "film/gotd").manifest.summary["documents"] == 8
    shown = gotd(tmp_path, "report", "film")
    assert shown.returncode == 0, shown.stderr
    assert "nothing is held out of this target" in " ".join(shown.stdout.split())
    report = json.loads(current(tmp_path, "evaluation_report", "film").file("report.json").read_text())
    assert report["base_perplexity"] is None
    assert report["methods"][0]["worth"]["after"] < report["methods"][0]["worth"]["before"]


def test_a_record_of_fifty_megabytes_is_quarantined_and_the_rest_is_used(tmp_path: Path) -> None:
    make_project(tmp_path)
    with (tmp_path / "data" / "news.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": "w1 " * 17_000_000}) + "\n" + json.dumps({"text": "w1 w2 w3 w4"}) + "\n")
    assert gotd(tmp_path, "run").returncode == 0
    summary = current(tmp_path, "raw_candidates", "news").manifest.summary
    assert (summary["quarantined"], summary["kept"]) == (1, 61)


def test_a_source_of_one_text_repeated_counts_once(tmp_path: Path) -> None:
    make_project(tmp_path)
    write_jsonl(tmp_path / "data" / "news.jsonl", sentences("news", 1, 0) * 50)
    assert gotd(tmp_path, "run").returncode == 0
    summary = current(tmp_path, "raw_candidates", "news").manifest.summary
    assert (summary["duplicates"], summary["kept"]) == (49, 1)


def test_the_report_of_a_retired_target_can_still_be_read(finished: tuple[Path, str], monkeypatch) -> None:
    folder, _ = finished
    path = folder / "gotd.yaml"
    text = path.read_text()
    path.write_text(text.replace("name: film", "name: cinema"))
    try:
        shown = gotd(folder, "report", "film")
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert "retired" in shown.stdout
        assert "held-out perplexity" in shown.stdout
        unknown = gotd(folder, "report", "theatre")
        assert unknown.returncode == 1
        assert "there is no 'theatre'; declared are: cinema" in " ".join(unknown.stderr.split())
    finally:
        path.write_text(text)
