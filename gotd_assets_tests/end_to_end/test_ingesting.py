"""From files to the pool: what the UI and lineage tell of every source, and what is left when a source is taken away."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.fingerprint import document_id
from gotd_assets.lineage import LineageStore
from gotd_assets.pipeline.graph import pipeline_job
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.runs.stage_runs import command, run_stages
from gotd_assets.stations.all import GRAPH
from gotd_assets_tests.catalogue.svg import drawn
from gotd_assets_tests.end_to_end.project import environment, make_project, sentences, write_jsonl

NEWS, SPORT, FILM = sentences("news", 60, 0), sentences("sport", 40, 0), sentences("film", 24, 1)
ALTERED = [f"{text} otherwise" for text in NEWS[:3]]
PROGRESS = re.compile(r"\d (new )?documents, [\d,]+(/s| per second), about [\d,]+ s left")


class World:
    """A project of two sources, of which the second repeats the first and the target."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: dict[str, str] = {}

    def write(self, *sources: str) -> None:
        make_project(
            self.folder,
            sources=[{"name": name, "path": f"data/{name}.jsonl"} for name in sources],
            preparation={"min_chars": 12},
            duplicates={"jaccard": 0.6},
        )
        write_jsonl(self.folder / "data" / "news.jsonl", [*NEWS, NEWS[0], "short"])
        with (self.folder / "data" / "news.jsonl").open("a", encoding="utf-8") as file:
            file.write('{broken\n{"text": 5}\n')
        write_jsonl(self.folder / "data" / "sport.jsonl", [*SPORT, *NEWS[10:15], *ALTERED, *FILM[:2], f"{FILM[2]} w1"])
        write_jsonl(self.folder / "data" / "target.jsonl", FILM)

    def run(self) -> None:
        """Everything up to the target's scores, as `gotd run` does it."""
        self.placement = Placement.of_file(self.folder / "gotd.yaml")
        settings = self.placement.load().settings
        stages = GRAPH.stages(
            settings, ["film"], lambda station: station.group in ("candidates", "target", "transport")
        )
        with dg.DagsterInstance.get() as instance:
            job = pipeline_job(self.placement, None)
            starter = command(self.placement)
            run_stages(self.placement, job, instance, stages, starter=starter, announce=lambda *_: None, warn=print)

    def artifact(self, asset: str, partition: str | None = None) -> Artifact:
        return self.placement.artifacts().current(ArtifactKey(asset, partition))

    def metadata(self, asset: str, partition: str | None = None) -> dict[str, Any]:
        with dg.DagsterInstance.get() as instance:
            found = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=partition and [partition]), limit=1
            ).records[0]
            assert found.asset_materialization is not None
            self.runs[asset] = found.run_id
            return {name: value.value for name, value in found.asset_materialization.metadata.items()}

    def log(self, asset: str) -> list[str]:
        with dg.DagsterInstance.get() as instance:
            return [entry.user_message for entry in instance.all_logs(self.runs[asset]) if entry.step_key == asset]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("ingesting")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        patch.chdir(folder)
        world = World(folder)
        world.write("news", "sport")
        world.run()
        yield world


def rows(markdown: str) -> list[list[str]]:
    lines = [line.strip("|").split("|") for line in markdown.splitlines()]
    return [[cell.strip() for cell in line] for line in (lines[0], *lines[2:])]


def test_every_record_of_a_source_is_counted_in_its_metadata(world: World) -> None:
    shown = world.metadata("raw_candidates", "news")
    assert {name: shown[name] for name in ("read", "kept", "quarantined", "too_short", "duplicates")} == {
        "read": 64,
        "kept": 60,
        "quarantined": 2,
        "too_short": 1,
        "duplicates": 1,
    }
    assert rows(shown["quarantine"])[1:] == [["field 'text' is not text", "1"], ["malformed JSON", "1"]]
    assert len(Path(shown["quarantine_file"]).read_text().splitlines()) == 2
    assert shown["dagster/row_count"] == 60
    assert shown["documents_per_second"] > 0
    assert len(rows(shown["sample"])) == 6
    assert {"doc_id", "text", "origin"} <= {column.name for column in shown["dagster/column_schema"].columns}
    assert any(text.startswith("60 documents, at most") for text in drawn(shown["length"]).itertext())


def test_each_step_tells_how_far_it_is_and_how_fast(world: World) -> None:
    for asset, partition in (("raw_candidates", "sport"), ("candidate_pool", None), ("candidate_embeddings", "sport")):
        world.metadata(asset, partition)
        told = [line for line in world.log(asset) if PROGRESS.search(line)]
        assert told, world.log(asset)


def test_the_pool_shows_what_each_source_loses_and_to_what(world: World) -> None:
    shown = world.metadata("candidate_pool")
    assert (shown["exact"], shown["near"], shown["documents"]) == (5, 3, 111)
    assert rows(shown["rates"]) == [
        ["source", "documents", "exact", "near", "kept", "rate"],
        ["news", "60", "0", "0", "60", "0"],
        ["sport", "51", "5", "3", "43", "0.1569"],
    ]
    assert {row[2] for row in rows(shown["examples"])[1:]} == {"near", "exact"}
    assert "matched_text" in rows(shown["examples"])[0]
    assert [text for text in drawn(shown["kept"]).itertext() if text.strip()][:2] == ["news 60", "sport 43"]
    assert shown["documents_per_second"] > 0


def test_vectors_show_their_number_pace_and_beginnings(world: World) -> None:
    shown = world.metadata("candidate_embeddings", "sport")
    # Those that both sources have were embedded for the first.
    assert (shown["documents"], shown["embedded"], shown["reused"]) == (51, 46, 5)
    assert shown["documents_per_second"] > 0
    first = world.artifact("raw_candidates", "sport")
    assert rows(shown["sample"])[1][0] == pl.read_parquet(first.file("documents-00000.parquet"))["doc_id"][0][:12]


def test_texts_of_the_target_are_shown_by_source_with_examples(world: World) -> None:
    shown = world.metadata("candidate_scores", "film")
    assert shown["contaminated"] == 3
    assert rows(shown["contaminated_by_source"])[1:] == [["news", "0"], ["sport", "3"]]
    examples = rows(shown["contamination_examples"])
    assert [row[2] for row in examples[1:]] == ["near", "exact", "exact"]
    assert all(cell.startswith(FILM[2][:20]) for cell in examples[1][:2])


def test_lineage_counts_each_source_and_names_what_matched_what(world: World) -> None:
    store = LineageStore(world.folder / ".gotd" / "lineage.duckdb")
    (news,) = store.audit("source_counts", source="news").rows(named=True)
    (sport,) = store.audit("source_counts", source="sport").rows(named=True)
    counted = ("read", "quarantined", "too_short", "chunks", "repeated_in_source", "kept")
    assert [news[name] for name in counted] == [64, 2, 1, 0, 1, 60]
    assert len(Path(news["quarantine_file"]).read_text().splitlines()) == 2
    assert [sport[name] for name in ("kept", "exact_in_other_sources", "near_duplicates")] == [51, 5, 3]
    assert sport["quarantine_file"] is None
    why = store.audit("source_counts")["documents_of"].to_list()
    assert sorted(why) == ["raw_candidates[news]", "raw_candidates[sport]", "target_documents[film]"]
    query = (
        "SELECT hex_id(d.doc_id), hex_id(x.matched_doc_id) FROM exclusions AS x "
        "JOIN documents AS d ON d.document_key = x.document_key"
    )
    with duckdb.connect(str(store.path), read_only=True) as connection:
        matched = dict(connection.execute(query).fetchall())
    assert {document_id(text) for text in ALTERED} <= matched.keys()
    for altered, kept in zip(ALTERED, NEWS, strict=False):
        assert matched[document_id(altered)] == document_id(kept)
    assert matched[document_id(f"{FILM[2]} w1")] == document_id(FILM[2])


def test_a_source_taken_away_is_gone_from_all_that_follows(world: World) -> None:
    before = world.artifact("candidate_scores", "film")
    assert set(pl.read_parquet(before.file("scores.parquet"))["source"]) == {"news", "sport"}
    world.write("sport")
    world.run()
    pool, scores = world.artifact("candidate_pool"), world.artifact("candidate_scores", "film")
    # What only repeated the source that went is in the pool again.
    assert pl.read_parquet(pool.file("duplicates.parquet")).is_empty()
    assert "raw_candidates[news]" not in pool.manifest.inputs
    scored = pl.read_parquet(scores.file("scores.parquet"))
    assert set(scored["source"]) == {"sport"}
    assert scored.height == 51
    assert not any("[news]" in name for name in world.artifact("ot_potentials", "film").manifest.inputs)
