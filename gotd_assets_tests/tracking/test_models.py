"""Models in MLflow: found and sorted by what they were measured on, and the best of them under an alias."""

import dataclasses
import subprocess
from pathlib import Path

import polars as pl
import pytest

from gotd_assets.settings.project import Project, Settings
from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.run import Measured, tracked_run
from gotd_assets.tracking.server import tracking_client
from gotd_assets_tests.models import tiny

PLACE = Path("/somewhere/model")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> TrackingContext:
    return dataclasses.replace(
        tiny.tracking(tmp_path_factory.mktemp("models")), registered_model="gotd", alias="best-film"
    )


def train(context: TrackingContext, folder: Path, name: str, perplexity: float, digest: str = "h1") -> Measured:
    """What a training does beside training; returns what was measured."""
    (folder / name).mkdir()
    context = dataclasses.replace(context, model_name=name, model_parameters={"method": "gotd", "epsilon": 0.05})
    heldout = pl.DataFrame({"doc_id": ["1"], "text": ["a"]})
    with tracked_run(context, folder / name, {}) as run:
        run.log_dataset(heldout, folder, "film-heldout", digest, "evaluation")
        base = run.log_base("some/where/tiny.gguf", "base-1")
        run.log(0, {"heldout_perplexity": 66.5}, Measured(base, "film-heldout", digest))
        measured = Measured(run.log_model(folder / name, {"gotd.sha256.a": "0"}), "film-heldout", digest)
        run.log(7, {"heldout_perplexity": perplexity}, measured)
        run.register(measured, PLACE, perplexity)
    return measured


def test_the_table_of_models_is_filtered_by_perplexity_and_dataset(context: TrackingContext, tmp_path: Path) -> None:
    good, poor = train(context, tmp_path, "film-gotd-200", 62.0), train(context, tmp_path, "film-random-200", 64.0)
    client = tracking_client(context.uri)
    experiment = client.get_experiment_by_name(context.experiment)
    assert experiment is not None

    def found(condition: str | None, digest: str = "h1") -> set[str]:
        datasets = [{"dataset_name": "film-heldout", "dataset_digest": digest}]
        models = client.search_logged_models(
            [experiment.experiment_id], filter_string=condition, datasets=None if condition is None else datasets
        )
        return {model.name for model in models}

    # One row for the base, however many trainings start from it.
    everything = client.search_logged_models([experiment.experiment_id])
    assert sorted(model.name for model in everything) == ["film-gotd-200", "film-random-200", "tiny-gguf-base"]
    assert found("metrics.heldout_perplexity < 63") == {"film-gotd-200"}
    assert found("metrics.heldout_perplexity > 63") == {"film-random-200", "tiny-gguf-base"}
    assert found("metrics.heldout_perplexity > 0", digest="other") == set()
    assert found("params.method = 'gotd' AND metrics.heldout_perplexity < 63") == {"film-gotd-200"}
    model = client.get_logged_model(good.model_id)
    assert model.params == {"method": "gotd", "epsilon": "0.05"}
    assert {(metric.key, metric.value, metric.dataset_name) for metric in model.metrics or []} == {
        ("heldout_perplexity", 62.0, "film-heldout")
    }
    assert poor.model_id != good.model_id


def test_the_best_has_the_alias(context: TrackingContext, tmp_path: Path) -> None:
    context = dataclasses.replace(context, registered_model="race")
    client = tracking_client(context.uri)
    holders = []
    for name, perplexity, digest in (("a", 50.0, "h1"), ("b", 60.0, "h1"), ("c", 40.0, "h1"), ("d", 90.0, "h2")):
        measured = train(context, tmp_path, name, perplexity, digest)
        version = client.get_model_version_by_alias("race", "best-film")
        holders.append(version.tags["gotd.model_name"])
        assert client.get_model_version("race", str(len(holders))).tags["gotd.model_id"] == measured.model_id
    # What was measured on other text cannot be compared with it, so the newer takes its place.
    assert holders == ["a", "a", "c", "d"]
    assert version.source == PLACE.as_uri()


def test_nothing_is_registered_unless_asked_for(context: TrackingContext, tmp_path: Path) -> None:
    train(dataclasses.replace(context, registered_model=None), tmp_path, "e", 1.0)
    assert "e" not in {
        version.tags["gotd.model_name"] for version in tracking_client(context.uri).search_model_versions()
    }


def test_a_run_names_its_source_and_the_commit_of_the_projects_folder(tmp_path: Path) -> None:
    def tags() -> dict[str, str]:
        settings = Settings(
            sources=[{"name": "a", "path": "a"}],
            targets=[{"name": "t", "path": "t"}],
            encoder={"model": "m"},
            training={"model": "m"},
        )
        project = Project(root=tmp_path, settings=settings)
        return dict(TrackingContext.of(project, run_name="r", selection_version="v", tags={"a": "b"}).tags)

    assert tags()["mlflow.source.name"].startswith("gotd-assets ")
    assert tags()["a"] == "b"
    assert "mlflow.source.git.commit" not in tags()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    assert tags()["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
