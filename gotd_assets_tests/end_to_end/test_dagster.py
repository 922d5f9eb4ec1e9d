"""The code location as Dagster sees it: it loads quickly, its graph is what the README says, its steps run as processes."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.run_lock import alone
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.settings.home import Home
from gotd_assets_tests.end_to_end.project import environment, make_project
from gotd_assets_tests.end_to_end.run_history import keep_history_as_shipped
from gotd_assets_tests.watch.artifacts import publish

GRAPH = {
    "source/news": ("1_candidates", []),
    "source/mixed": ("1_candidates", []),
    "target/film": ("2_target", []),
    "raw_candidates": ("1_candidates", ["source/mixed", "source/news"]),
    "candidate_embeddings": ("1_candidates", ["raw_candidates"]),
    "candidate_pool": ("1_candidates", ["raw_candidates"]),
    "target_documents": ("2_target", ["target/film"]),
    "target_embeddings": ("2_target", ["target_documents"]),
    "target_sketch": ("2_target", ["target_embeddings"]),
    "domain_relevance": ("3_transport", ["candidate_embeddings", "candidate_pool", "target_sketch"]),
    "ot_potentials": ("3_transport", ["candidate_embeddings", "candidate_pool", "target_sketch"]),
    "candidate_scores": ("3_transport", ["ot_potentials"]),
    "selected_subset": ("4_selection", ["candidate_scores", "domain_relevance"]),
    "pre_fine_tuned_model": ("5_training", ["selected_subset"]),
    "evaluation_report": ("6_evaluation", ["pre_fine_tuned_model"]),
}


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    monkeypatch.setenv("GOTD_SETTINGS", str(make_project(tmp_path)))
    from gotd_assets.definitions import defs

    return defs()


def test_the_graph(definitions: dg.Definitions) -> None:
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    found = {
        name: (spec.group_name, sorted(dep.asset_key.to_user_string() for dep in spec.deps))
        for name, spec in specs.items()
    }
    assert found == GRAPH
    for name, spec in specs.items():
        assert spec.kinds
        assert len(spec.description or "") > 60
        # What is the user's is not ours to own.
        assert "/" in name or (spec.owners and spec.code_version)
    dg.Definitions.validate_loadable(definitions)


def test_a_new_selection_is_trained_on_without_a_human_and_the_same_one_is_not(
    definitions: dg.Definitions, tmp_path: Path
) -> None:
    store = ArtifactStore(tmp_path / ".gotd" / "artifacts")
    with dg.instance_for_test() as instance:
        key = dg.MultiPartitionKey({"target": "film", "method": "gotd"})

        def materialised(asset: str, partition: str, version: str) -> None:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(asset, partition=partition, tags={"dagster/data_version": version})
            )

        def requested(cursor: object) -> tuple[set[str], object]:
            result = dg.evaluate_automation_conditions(
                definitions, instance, asset_selection=dg.AssetSelection.assets("pre_fine_tuned_model"), cursor=cursor
            )
            return set(result.get_requested_partitions(dg.AssetKey("pre_fine_tuned_model"))), result.cursor

        first, cursor = requested(None)
        assert first == set()
        materialised("target_documents", "film", "t1")
        publish(store, "selected_subset", "film/gotd", "s1", documents=["a", "b"])
        materialised("selected_subset", key, "s1")
        second, cursor = requested(cursor)
        assert second == {key}
        publish(store, "pre_fine_tuned_model", "film/gotd", "m1", inputs={"selected_subset[film/gotd]": "s1"})
        materialised("pre_fine_tuned_model", key, "m1")
        _, cursor = requested(cursor)
        materialised("selected_subset", key, "s1")
        unchanged, cursor = requested(cursor)
        assert unchanged == set()
        publish(store, "selected_subset", "film/gotd", "s2", documents=["a", "c"])
        instance.report_runless_asset_event(dg.AssetObservation("selected_subset", partition=key, metadata={"done": 1}))
        told_of_progress, cursor = requested(cursor)
        assert told_of_progress == set()
        materialised("selected_subset", key, "s2")
        changed, _ = requested(cursor)
        assert changed == {key}


def test_a_selection_that_hardly_differs_is_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOTD_SETTINGS", str(make_project(tmp_path, watch={"retrain_below_overlap": 0.7})))
    from gotd_assets.definitions import defs

    definitions = defs()
    store = ArtifactStore(tmp_path / ".gotd" / "artifacts")
    key = dg.MultiPartitionKey({"target": "film", "method": "gotd"})
    publish(store, "selected_subset", "film/gotd", "s1", documents=["a", "b", "c", "d"])
    publish(store, "pre_fine_tuned_model", "film/gotd", "m1", inputs={"selected_subset[film/gotd]": "s1"})

    with dg.instance_for_test() as instance:

        def selected(version: str, cursor: object) -> tuple[set[str], object]:
            instance.report_runless_asset_event(
                dg.AssetMaterialization("selected_subset", partition=key, tags={"dagster/data_version": version})
            )
            result = dg.evaluate_automation_conditions(
                definitions, instance, asset_selection=dg.AssetSelection.assets("pre_fine_tuned_model"), cursor=cursor
            )
            return set(result.get_requested_partitions(dg.AssetKey("pre_fine_tuned_model"))), result.cursor

        for asset in ("pre_fine_tuned_model", "target_documents"):
            partition = key if asset == "pre_fine_tuned_model" else "film"
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition))
        _, cursor = selected("s1", None)
        publish(store, "selected_subset", "film/gotd", "s2", documents=["a", "b", "c", "e"])
        alike, cursor = selected("s2", cursor)
        publish(store, "selected_subset", "film/gotd", "s3", documents=["a", "b", "e", "f"])
        different, _ = selected("s3", cursor)
    assert alike == set()
    assert different == {key}


def test_a_selection_that_leans_on_another_targets_scores_is_made_again_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = [{"name": name, "path": "data/target.jsonl"} for name in ("film", "spam")]
    selection = {"budget": 8, "methods": ["gotd", "gotd-toward-and-away"], "away_target": "spam"}
    monkeypatch.setenv("GOTD_SETTINGS", str(make_project(tmp_path, targets=targets, selection=selection)))
    from gotd_assets.definitions import defs

    definitions = defs()
    store = ArtifactStore(tmp_path / ".gotd" / "artifacts")

    def selected(target: str, method: str, version: str, inputs: dict[str, str]) -> dg.MultiPartitionKey:
        publish(store, "selected_subset", f"{target}/{method}", version, inputs=inputs)
        return dg.MultiPartitionKey({"target": target, "method": method})

    with dg.instance_for_test() as instance:

        def materialised(asset: str, partition: str | None, version: str) -> None:
            tags = {"dagster/data_version": version}
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition, tags=tags))

        def requested(cursor: object) -> tuple[set[str], object]:
            result = dg.evaluate_automation_conditions(
                definitions, instance, asset_selection=dg.AssetSelection.assets("selected_subset"), cursor=cursor
            )
            return set(result.get_requested_partitions(dg.AssetKey("selected_subset"))), result.cursor

        for asset in ("raw_candidates", "candidate_embeddings"):
            for source in ("news", "mixed"):
                materialised(asset, source, "1")
        materialised("candidate_pool", None, "1")
        for target in ("film", "spam"):
            publish(store, "candidate_scores", target, f"{target}-1")
            for asset in ("target_documents", "target_embeddings", "domain_relevance", "ot_potentials"):
                materialised(asset, target, "1")
            materialised("candidate_scores", target, f"{target}-1")
        read = {"candidate_scores[film]": "film-1", "candidate_scores[spam]": "spam-1"}
        keys = [
            selected("film", "gotd", "a", {"candidate_scores[film]": "film-1"}),
            selected("film", "gotd-toward-and-away", "b", read),
            selected("spam", "gotd", "c", {"candidate_scores[spam]": "spam-1"}),
            selected("spam", "gotd-toward-and-away", "d", {"candidate_scores[spam]": "spam-1"}),
        ]
        for key in keys:
            materialised("selected_subset", key, "1")
        nothing, cursor = requested(None)
        publish(store, "candidate_scores", "spam", "spam-2")
        materialised("candidate_scores", "spam", "spam-2")
        first, cursor = requested(cursor)
        # It failed, say: what was asked for once is not asked for at every look.
        again, cursor = requested(cursor)
        for target in ("film", "spam"):
            inputs = read | {"candidate_scores[spam]": "spam-2"}
            key = selected(target, "gotd-toward-and-away", f"{target}-2", inputs)
            materialised("selected_subset", key, f"{target}-2")
        done, _ = requested(cursor)
    assert nothing == set()
    assert first == {*keys[1:]}
    assert again == set()
    assert done == set()


def test_automation_leaves_to_a_run_of_everything_what_that_makes(definitions: dg.Definitions, tmp_path: Path) -> None:
    with dg.instance_for_test() as instance:

        def materialised(asset: str, version: str) -> None:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(asset, partition="news", tags={"dagster/data_version": version})
            )

        def requested(cursor: object) -> tuple[int, object]:
            result = dg.evaluate_automation_conditions(
                definitions, instance, asset_selection=dg.AssetSelection.assets("candidate_pool"), cursor=cursor
            )
            return result.total_requested, result.cursor

        instance.report_runless_asset_event(dg.AssetMaterialization("raw_candidates", partition="mixed"))
        materialised("raw_candidates", "1")
        instance.report_runless_asset_event(dg.AssetMaterialization("candidate_pool"))
        _, cursor = requested(None)
        with alone(Home(tmp_path / ".gotd")):
            materialised("raw_candidates", "2")
            during, cursor = requested(cursor)
        after, _ = requested(cursor)
    assert (during, after) == (0, 1)


def test_the_code_location_loads_no_heavy_library(tmp_path: Path) -> None:
    make_project(tmp_path)
    script = (
        "import sys; from gotd_assets.definitions import defs; defs(); "
        "print([name for name in ('torch', 'transformers', 'mlflow', 'faiss', 'matplotlib', 'geomloss') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_steps_run_as_processes_of_the_default_executor(tmp_path: Path) -> None:
    make_project(tmp_path)
    keep_history_as_shipped(tmp_path)
    command = [Path(sys.executable).with_name("dagster"), "job", "execute", "-m", "gotd_assets.definitions"]
    done = subprocess.run(
        [*command, "-j", "ingest_source", "--tags", '{"dagster/partition": "news"}'],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Launching subprocess" in done.stderr + done.stdout
    artifact = ArtifactStore(tmp_path / ".gotd" / "artifacts").current(ArtifactKey("candidate_embeddings", "news"))
    assert artifact.manifest.summary["documents"] == 60
