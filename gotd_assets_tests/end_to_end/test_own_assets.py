"""Lineage begins at the user's data, and goes on in assets of the user's own, as docs/component.md shows."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from gotd_assets import latest_model, latest_selection
from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.errors import ArtifactError, SettingsError
from gotd_assets.pipeline.graph import build_pipeline
from gotd_assets.pipeline.placement import Placement
from gotd_assets.settings.file import load_project
from gotd_assets_tests.end_to_end.project import REPOSITORY, copied, inside, make_project, sentences

GUIDE = REPOSITORY / "docs" / "component.md"


def shown(beginning: str) -> str:
    """The Python of the guide that begins like this."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if block.startswith(beginning))


def sources(**own: str) -> list[dict[str, str]]:
    return [{"name": "news", "path": "data/news.jsonl"}, *({"name": name, "asset": key} for name, key in own.items())]


def location(folder: Path, own: list[dg.AssetsDefinition], **changes: Any) -> tuple[Placement, dg.Definitions]:
    project = load_project(make_project(folder, **changes))
    placement = Placement(project, lambda: project)
    kept = dg.FilesystemIOManager(base_dir=str(folder / "values"))
    return placement, dg.Definitions.merge(
        build_pipeline(placement), dg.Definitions(assets=own, resources={"io_manager": kept})
    )


def test_the_graph_begins_with_the_users_files(tmp_path: Path) -> None:
    _, definitions = location(tmp_path, [])
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert specs["source/news"].metadata["dagster/uri"] == f"file://{tmp_path}/data/news.jsonl"
    assert specs["target/film"].metadata["dagster/uri"] == f"file://{tmp_path}/data/target.jsonl"
    upstream = {dep.asset_key.to_user_string() for dep in specs["raw_candidates"].deps}
    assert upstream == {"source/news", "source/mixed"}
    assert [dep.asset_key.to_user_string() for dep in specs["target_documents"].deps] == ["target/film"]
    assert "source/news" not in {
        key.to_user_string() for key in definitions.resolve_asset_graph().executable_asset_keys
    }


KINDS = ("path", "polars", "lazy", "pandas", "arrow")


@pytest.fixture(scope="module")
def of_assets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Placement, dg.Definitions, pl.DataFrame]:
    """A project with a source of each kind of value that an asset may give: `frame`, which stays the same."""
    folder = tmp_path_factory.mktemp("own")
    frame = pl.DataFrame({"text": sentences("film", 12, 5)})

    def crawl(kind: str) -> dg.AssetsDefinition:
        @dg.asset(name=f"crawl_{kind}")
        def rows() -> Any:
            """Own rows."""
            if kind == "path":
                frame.write_parquet(folder / "crawl.parquet")
                return dg.MaterializeResult(metadata={"path": str(folder / "crawl.parquet")})
            values = {"polars": frame, "lazy": frame.lazy(), "pandas": frame.to_pandas(), "arrow": frame.to_arrow()}
            return values[kind]

        return rows

    own = {f"own_{kind}": f"crawl_{kind}" for kind in KINDS}
    placement, definitions = location(folder, [crawl(kind) for kind in KINDS], sources=sources(**own))
    return placement, definitions, frame


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_of_an_asset_are_a_source(
    of_assets: tuple[Placement, dg.Definitions, pl.DataFrame], instance: dg.DagsterInstance, kind: str
) -> None:
    placement, definitions, frame = of_assets
    crawl, own = f"crawl_{kind}", f"own_{kind}"
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert crawl in {dep.asset_key.to_user_string() for dep in specs["raw_candidates"].deps}
    job = definitions.resolve_implicit_global_asset_job_def()

    def make(asset: str, partition: str | None = None) -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(asset)], partition_key=partition, raise_on_error=False
        )

    early = make("raw_candidates", own)
    (failed,) = [event for event in early.all_events if event.is_step_failure]
    told = failed.step_failure_data.user_failure_data
    assert told is not None
    assert f"the asset {crawl} was not materialized yet" in str(told.description)
    assert make(crawl).success
    assert make("raw_candidates", own).success
    assert make("raw_candidates", "news").success
    artifact = placement.artifacts().current(ArtifactKey("raw_candidates", own))
    read = pl.read_parquet(artifact.path / "documents-*.parquet")
    assert set(read["text"]) == set(frame["text"])


def test_new_rows_of_an_asset_are_read_and_embedded_without_a_human(tmp_path: Path) -> None:
    @dg.asset
    def crawl() -> None: ...

    _, definitions = location(tmp_path, [crawl], sources=sources(own="crawl"))
    with dg.instance_for_test() as instance:

        def requested(cursor: object) -> tuple[dict[str, set[str]], object]:
            result = dg.evaluate_automation_conditions(
                definitions,
                instance,
                asset_selection=dg.AssetSelection.assets("raw_candidates", "candidate_embeddings"),
                cursor=cursor,
            )
            names = ("raw_candidates", "candidate_embeddings")
            return {name: set(result.get_requested_partitions(dg.AssetKey(name))) for name in names}, result.cursor

        first, cursor = requested(None)
        instance.report_runless_asset_event(dg.AssetMaterialization("crawl"))
        second, cursor = requested(cursor)
        for partition in ("news", "own"):
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    "raw_candidates", partition=partition, tags={"dagster/data_version": f"{partition}-1"}
                )
            )
        third, _ = requested(cursor)
    assert first == {"raw_candidates": set(), "candidate_embeddings": set()}
    # The other source is files, which the sensor watches.
    assert second["raw_candidates"] == {"own"}
    assert third == {"raw_candidates": set(), "candidate_embeddings": {"own"}}


@pytest.mark.parametrize("entry", [{"name": "a"}, {"name": "a", "path": "a", "asset": "b"}])
def test_a_source_has_files_or_an_asset(tmp_path: Path, entry: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="give a path, or the key of an asset, one of both"):
        load_project(make_project(tmp_path, sources=[entry]))


def test_what_comes_after_finds_the_selection_and_the_model_as_the_guide_shows(finished: Path, tmp_path: Path) -> None:
    copied(finished, tmp_path)
    space: dict[str, Any] = {}
    exec(shown("import dagster as dg\nfrom gotd_assets import latest"), space)  # noqa: S102 - our own guide
    with inside(tmp_path), dg.DagsterInstance.get() as instance:
        context = dg.build_asset_context(instance=instance)
        selection, model = latest_selection(context, "film", "random"), latest_model(context, "film", "random")
        assert selection.frame().height == 8
        assert selection.frame()["rank"].to_list() == list(range(1, 9))
        assert (model.folder / "model.safetensors").exists()
        assert model.mlflow_run.startswith("http://")
        assert latest_selection(context, "film").version != selection.version
        with pytest.raises(
            ArtifactError, match=r"selected_subset has no partition .*; there are: gotd\|film, random\|film"
        ):
            latest_selection(context, "space")
        shown_by = space["release_notes"](context)
    assert shown_by.metadata["documents"] == 8
