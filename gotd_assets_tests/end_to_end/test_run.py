"""The whole way, as a user runs it: from files to a selection, a model, a report, and back again for nothing."""

import json
import re
import signal
import time
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest
from mlflow.tracking import MlflowClient

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.stations.all import GRAPH
from gotd_assets_tests.end_to_end.project import (
    TOPICS,
    copied,
    gotd,
    inside,
    make_project,
    run_stages_of,
    sentences,
    started_selection,
    until_selection,
    write_jsonl,
)
from gotd_assets_tests.once import made_once


def current(folder: Path, asset: str, partition: str | None = None) -> Artifact:
    return ArtifactStore(folder / ".gotd" / "artifacts").current(ArtifactKey(asset, partition))


def test_the_rare_domain_of_the_target_is_selected(finished: Path) -> None:
    subset = pl.read_parquet(current(finished, "selected_subset", "film/gotd").file("subset.parquet"))
    film = set(TOPICS["film"])
    from_film = subset.filter(
        pl.col("text").map_elements(lambda text: set(text.split()) <= film, return_dtype=pl.Boolean)
    )
    assert subset.height == 8
    assert from_film.height >= 7
    assert subset["score"].is_sorted()
    assert (subset["score"] < 0).all()


def test_the_files_to_take_away_agree(finished: Path, tmp_path: Path) -> None:
    assert gotd(finished, "export", "film", str(tmp_path / "mine")).returncode == 0
    parquet = pl.read_parquet(tmp_path / "mine" / "subset.parquet")
    lines = pl.read_ndjson(tmp_path / "mine" / "subset.jsonl")
    assert parquet.columns[:6] == ["doc_id", "text", "source", "origin", "rank", "score"]
    assert parquet["doc_id"].to_list() == lines["doc_id"].to_list()
    assert duckdb.sql(f"FROM read_parquet('{tmp_path}/mine/subset.parquet')").fetchall()[0][0] == parquet["doc_id"][0]
    manifest = json.loads((tmp_path / "mine" / "manifest.json").read_text())
    assert manifest["parameters"] == {"budget": 8, "direction": "toward", "method": "gotd", "seed": 0}
    assert {file["name"] for file in manifest["files"]} == {"subset.jsonl", "subset.parquet"}


def test_every_candidate_leads_back_to_its_file_and_row(finished: Path) -> None:
    subset = pl.read_parquet(current(finished, "selected_subset", "film/gotd").file("subset.parquet"))
    for text, origin in subset.select("text", "origin").iter_rows():
        file, row = origin.rsplit(":", 1)
        line = (finished / file).read_text().splitlines()[int(row) - 1]
        assert json.loads(line)["text"] == text


def test_the_report_tells_the_story(finished: Path) -> None:
    report = json.loads(current(finished, "evaluation_report", "film").file("report.json").read_text())
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
    shown = gotd(finished, "report", "film")
    assert shown.returncode == 0
    assert gotd_outcome["mlflow_run_id"] in shown.stdout
    assert "against the base model" in " ".join(shown.stdout.split())


def test_mlflow_names_dagster_and_the_selection(finished: Path) -> None:
    subset = current(finished, "selected_subset", "film/gotd")
    facts = json.loads(current(finished, "pre_fine_tuned_model", "film/gotd").file("training.json").read_text())
    run = MlflowClient(facts["tracking_uri"]).get_run(facts["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["gotd.selection_version"] == subset.version
    assert run.data.tags["dagster.asset_key"] == "pre_fine_tuned_model"
    assert run.data.tags["dagster.run_id"]
    assert subset.version.startswith(run.inputs.dataset_inputs[0].dataset.digest)


def test_its_runs_stand_on_the_timeline_of_the_code_location(finished: Path) -> None:
    with inside(finished), dg.DagsterInstance.get() as instance:
        runs = instance.get_runs()
    assert len(runs) > 5
    assert {run.tags["gotd/launcher"] for run in runs} == {"gotd run"}
    origins = [run.remote_job_origin for run in runs]
    assert {origin.location_name for origin in origins if origin is not None} == {"gotd_assets"}
    assert all(origins)
    assert len({run.tags["gotd/settings"] for run in runs}) == 1


def test_lineage_knows_why_and_from_what(finished: Path) -> None:
    subset = pl.read_parquet(current(finished, "selected_subset", "film/gotd").file("subset.parquet"))
    why = gotd(finished, "audit", "why_document", "--document", subset["doc_id"][0], "--format", "json")
    answers = [json.loads(line) for line in why.stdout.splitlines()]
    reasons = {answer["selected_subset"]: answer["reason"] for answer in answers}
    assert "number 1 of 8" in reasons["selected_subset[film/gotd]"]
    model = current(finished, "pre_fine_tuned_model", "film/gotd")
    origin = gotd(finished, "audit", "model_origin", "--model", model.version, "--format", "json")
    assert "data/target.jsonl" in origin.stdout
    assert "data/mixed.jsonl" in origin.stdout
    assert gotd(finished, "verify").returncode == 0


def test_explain_says_why_and_what_would_have_to_change(finished: Path) -> None:
    subset = pl.read_parquet(current(finished, "selected_subset", "film/gotd").file("subset.parquet"))
    scores = pl.read_parquet(current(finished, "candidate_scores", "film").file("scores.parquet")).sort(
        "score", "doc_id"
    )

    def explained(doc_id: str, *more: str) -> str:
        shown = gotd(finished, "explain", doc_id, "--target", "film", *more)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        return " ".join(shown.stdout.split())

    best = explained(subset["doc_id"][0][:12])
    assert "selected by gotd: number 1 of 8" in best
    assert "number 1 of 112 by score, better than 100.00%" in best
    ninth = explained(scores["doc_id"][8])
    assert "not selected by gotd, which took 8" in ninth
    assert f"score of the last one selected: {scores['score'][7]:.6g}" in ninth
    assert "it would need a budget of 9 documents instead of 8" in ninth
    drawn = pl.read_parquet(current(finished, "selected_subset", "film/random").file("subset.parquet"))
    not_drawn = scores.filter(~pl.col("doc_id").is_in(drawn["doc_id"].implode()))["doc_id"][-1]
    assert "random does not go by this score alone" in explained(not_drawn, "--method", "random")
    unknown = gotd(finished, "explain", "0" * 32, "--target", "film")
    assert unknown.returncode == 2
    assert "no source holds a document" in " ".join(unknown.stderr.split())


def test_a_second_run_does_nothing_and_keeps_every_byte(finished: Path, tmp_path: Path) -> None:
    copied(finished, tmp_path)
    before = current(tmp_path, "selected_subset", "film/gotd")
    content = before.file("subset.parquet").read_bytes()
    again = gotd(tmp_path, "run")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "embedded" not in again.stdout
    assert "transport," not in again.stdout
    assert "training:" not in again.stdout
    after = current(tmp_path, "selected_subset", "film/gotd")
    assert after.version == before.version
    assert after.file("subset.parquet").read_bytes() == content


def test_a_fresh_home_gives_the_same_selection_byte_for_byte(
    finished: Path, solved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(solved, tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run_stages_of(tmp_path, lambda settings: until_selection(settings)[-1:])
    first = current(finished, "selected_subset", "film/gotd").file("subset.parquet").read_bytes()
    assert current(tmp_path, "selected_subset", "film/gotd").file("subset.parquet").read_bytes() == first


def test_one_more_document_embeds_one_document(finished: Path, tmp_path: Path) -> None:
    copied(finished, tmp_path)
    write_jsonl(tmp_path / "data" / "news.jsonl", [*sentences("news", 60, 0), sentences("news", 1, 5)[0]])
    run_stages_of(tmp_path, lambda settings: GRAPH.stages(settings, []))
    summary = current(tmp_path, "candidate_embeddings", "news").manifest.summary
    assert (summary["embedded"], summary["reused"]) == (1, 60)


@pytest.fixture(scope="module")
def odd() -> Path:
    """A project that ran on sources of all kinds: one with a record of 50 MB, Parquet, and one text many times over."""
    return made_once("odd", _run_on_odd_sources)


def _run_on_odd_sources(folder: Path) -> None:
    make_project(
        folder,
        sources=[
            {"name": "news", "path": "data/news.jsonl"},
            {"name": "mine", "path": "mine/*.parquet", "fields": {"text": "body.content", "keep": ["id"]}},
            {"name": "repeated", "path": "data/repeated.jsonl"},
        ],
        selection={"budget": 8, "methods": ["gotd"]},
    )
    with (folder / "data" / "news.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": "w1 " * 17_000_000}) + "\n" + json.dumps({"text": "w1 w2 w3 w4"}) + "\n")
    (folder / "mine").mkdir()
    texts = sentences("film", 20, 3)
    frame = pl.DataFrame({"body": [{"content": text} for text in texts], "id": [f"id-{i}" for i in range(20)]})
    frame.write_parquet(folder / "mine" / "one.parquet")
    write_jsonl(folder / "data" / "repeated.jsonl", sentences("sport", 1, 0) * 50)
    run_stages_of(folder, until_selection)


def test_parquet_of_ones_own_needs_only_settings(odd: Path) -> None:
    subset = pl.read_parquet(current(odd, "selected_subset", "film/gotd").file("subset.parquet"))
    kept = subset.filter(pl.col("source") == "mine")
    assert kept.height > 0
    assert kept["id"].str.starts_with("id-").all()


def test_a_record_of_fifty_megabytes_is_quarantined_and_the_rest_is_used(odd: Path) -> None:
    summary = current(odd, "raw_candidates", "news").manifest.summary
    assert (summary["quarantined"], summary["kept"]) == (1, 61)
    assert current(odd, "candidate_embeddings", "news").manifest.summary["documents"] == 61


def test_a_source_of_one_text_repeated_counts_once(odd: Path) -> None:
    summary = current(odd, "raw_candidates", "repeated").manifest.summary
    assert (summary["duplicates"], summary["kept"]) == (49, 1)


def test_a_killed_run_is_continued_by_the_next(solved: Path, tmp_path: Path) -> None:
    copied(solved, tmp_path)
    training = {"model": "model", "max_tokens": 32, "epochs": 60.0, "checkpoint_steps": 1}
    make_project(tmp_path, training=training, selection={"budget": 8, "methods": ["gotd"]})
    with started_selection(tmp_path) as process:
        while process.poll() is None and not any((tmp_path / ".gotd" / "scratch").rglob("checkpoint.safetensors")):
            time.sleep(0.05)
        process.kill()
        said, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"selected_subset\[film/gotd\] version \w+ is up to date", done.stdout)
    facts = json.loads(current(tmp_path, "pre_fine_tuned_model", "film/gotd").file("training.json").read_text())
    run = MlflowClient(facts["tracking_uri"]).get_run(facts["mlflow_run_id"])
    assert run.data.tags["gotd.resumed"] == "true"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"selection": {"budget": 500}}, "selection.budget is 500, but only 112 candidates"),
        ({"selection": {"budget": 8, "methods": ["best"]}}, "there is no method 'best'"),
        ({"sources": [{"name": "gone", "path": "data/gone.jsonl"}]}, "matches no file"),
        ({"sources": [{"name": "news", "path": "data/news.jsonl", "fields": {"text": "body"}}]}, "'body'"),
        ({"encoder": {"model": "data"}}, "encoder.model: {data} has no config.json"),
        ({"training": {"model": "data"}}, "weights"),
        ({"transport": {"epsilon": -1}}, "transport.epsilon"),
    ],
    ids=["budget", "method", "missing file", "wrong field", "encoder", "language model", "setting"],
)
def test_what_is_wrong_is_said_in_a_sentence(
    solved: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    make_project(copied(solved, tmp_path), **changes)
    done = gotd(tmp_path, "run")
    assert done.returncode == 2
    assert message.replace("{data}", str(tmp_path / "data")) in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_target_of_one_document_is_selected_for_trained_on_and_reported_without_perplexity(
    solved: Path, tmp_path: Path
) -> None:
    make_project(copied(solved, tmp_path), selection={"budget": 8, "methods": ["gotd"]})
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


def test_the_report_of_a_retired_target_can_still_be_read(finished: Path, tmp_path: Path) -> None:
    copied(finished, tmp_path)
    path = tmp_path / "gotd.yaml"
    path.write_text(path.read_text().replace("name: film", "name: cinema"))
    shown = gotd(tmp_path, "report", "film")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "retired" in shown.stdout
    assert "held-out perplexity" in shown.stdout
    unknown = gotd(tmp_path, "report", "theatre")
    assert unknown.returncode == 2
    assert "there is no 'theatre'; declared are: cinema" in " ".join(unknown.stderr.split())
