"""Every selection method through the assets of a small project, as the launchpad would run them."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.fingerprint import document_id
from gotd_assets.settings.selection import METHOD_NAMES
from gotd_assets_tests.end_to_end.project import TOPICS, copied, gotd, make_project, sentences, write_jsonl
from gotd_assets_tests.models.tiny import classifier_folder

PREPARATION = ("raw_candidates", "candidate_embeddings"), ("candidate_pool",)
TRANSPORT = (
    "target_documents",
    "target_embeddings",
    "target_sketch",
    "domain_relevance",
    "ot_potentials",
    "candidate_scores",
)
INFORMED = ("gotd", "gotd-debiased", "gotd-toward-and-away", "gotd-rounds", "tapt-c", "round-robin", "dsir", "tsds")
RESAMPLED = ("gotd", "gotd-away", "gotd-debiased", "gotd-toward-and-away", "tapt-c", "round-robin")


class Launched:
    """A project whose assets are materialised in this process."""

    def __init__(self, folder: Path) -> None:
        from gotd_assets.definitions import defs

        self.folder = folder
        self.job = defs().resolve_implicit_global_asset_job_def()

    def run(self, assets: tuple[str, ...], partition: object = None, **config: object) -> dg.ExecuteInProcessResult:
        ops = {"ops": {asset: {"config": config} for asset in assets}} if config else {}
        return self.job.execute_in_process(
            partition_key=partition,
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            run_config=ops,
            raise_on_error=False,
        )

    def prepare(self, sources: tuple[str, ...], targets: tuple[str, ...]) -> None:
        for source in sources:
            assert self.run(PREPARATION[0], source).success
        assert self.run(PREPARATION[1]).success
        for target in targets:
            assert self.run(TRANSPORT, target).success

    def select(self, target: str, method: str, **config: object) -> dg.ExecuteInProcessResult:
        return self.run(("selected_subset",), dg.MultiPartitionKey({"target": target, "method": method}), **config)

    def current(self, asset: str, partition: str | None = None) -> Artifact:
        return ArtifactStore(self.folder / ".gotd" / "artifacts").current(ArtifactKey(asset, partition))

    def subset(self, partition: str) -> pl.DataFrame:
        return pl.read_parquet(self.current("selected_subset", partition).file("subset.parquet"))


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def launch(start: Path | None = None, **changes: object) -> Launched:
        if start is not None:
            copied(start, tmp_path)
        path = make_project(tmp_path, **changes)
        monkeypatch.setenv("GOTD_SETTINGS", str(path))
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        return Launched(tmp_path)

    return launch


def film_share(subset: pl.DataFrame) -> float:
    film = set(TOPICS["film"])
    return sum(set(text.split()) <= film for text in subset["text"]) / subset.height


def test_every_method_selects_records_and_shows_its_figures(launched, solved: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "data" / "news-target.jsonl", sentences("news", 20, 4))
    project = launched(
        solved,
        targets=[{"name": "film", "path": "data/target.jsonl"}, {"name": "news", "path": "data/news-target.jsonl"}],
        selection={
            "budget": 8,
            "methods": list(METHOD_NAMES),
            "away_target": "news",
            "rounds": 3,
            "tsds": {"neighbours": 10},
            "round_robin": ["news", "film"],
        },
        toxicity={"model": str(classifier_folder(tmp_path / "classifier", ["fine", "toxic"]))},
    )
    assert project.run(TRANSPORT, "news").success
    share = {}
    for method in METHOD_NAMES:
        result = project.select("film", method)
        assert result.success, method
        subset = project.subset(f"film/{method}")
        share[method] = film_share(subset)
        assert subset["rank"].to_list() == list(range(1, 9))
        metadata = result.asset_materializations_for_node("selected_subset")[0].metadata
        figures = {"cut_score", "near_duplicate_share_percent"}
        assert {"sources", "budget_curve", "target_clusters_served", *figures} <= metadata.keys()
        assert ("bootstrap_overlap_percent" in metadata) == (method in RESAMPLED)
    assert all(share[method] >= 0.75 for method in INFORMED), share
    assert share["gotd-away"] == 0
    assert set(project.subset("film/dapt")["source"]) == {"mixed"}
    sources = project.subset("film/all-domains").group_by("source").len()
    assert dict(sources.iter_rows()) == {"news": 4, "mixed": 4}
    assert "domain_relevance[film]" in project.current("selected_subset", "film/dapt").manifest.inputs
    both = project.current("selected_subset", "film/gotd-toward-and-away").manifest
    assert "candidate_scores[news]" in both.inputs
    assert (both.parameters["away_target"], both.parameters["away_weight"]) == ("news", 1.0)
    assert project.select("news", "gotd-toward-and-away").success
    assert project.select("news", "gotd-away").success
    assert project.subset("news/gotd-toward-and-away")["doc_id"].equals(project.subset("news/gotd-away")["doc_id"])
    assert project.select("news", "gotd-round-robin").success
    assert project.subset("news/gotd-round-robin")["doc_id"].equals(project.subset("film/gotd-round-robin")["doc_id"])
    assert share["gotd-round-robin"] == 0.5
    assert "toxicity" in project.current("selected_subset", "film/rtp").manifest.inputs
    relevance = pl.read_parquet(project.current("domain_relevance", "film").file("sources.parquet"))
    assert relevance["source"].to_list() == ["mixed", "news"]


def test_budgets_of_the_launchpad_and_the_nearest_source(launched, solved: Path, tmp_path: Path) -> None:
    project = launched(solved, selection={"methods": ["gotd"], "budget": "5%", "nearest_sources": 1})
    assert project.select("film", "gotd").success
    assert project.subset("film/gotd").height == 3  # 5% of the 52 documents of the nearest source
    assert set(project.subset("film/gotd")["source"]) == {"mixed"}
    news = pl.read_parquet(project.current("raw_candidates", "news").path / "documents-00000.parquet")
    shown = gotd(tmp_path, "explain", news["doc_id"][0], "--target", "film")
    assert shown.returncode == 0, shown.stderr
    assert "source 'news' is not among the 1 nearest" in " ".join(shown.stdout.split())
    assert project.select("film", "gotd", budget="40 tokens").success
    tokens = [-(-len(text) // 4) for text in project.subset("film/gotd")["text"]]
    assert 0 < sum(tokens) <= 40
    assert project.select("film", "gotd", budget="until-zero").success
    assert (project.subset("film/gotd")["score"] < 0).all()
    helping = project.current("selected_subset", "film/gotd").manifest.summary["selectable_helping"]
    assert project.subset("film/gotd").height == helping
    before = project.current("selected_subset", "film/gotd").version
    wrong = project.select("film", "gotd", budget="500")
    assert not wrong.success
    assert project.current("selected_subset", "film/gotd").version == before


def test_explain_says_what_keeps_a_document_out(launched, solved: Path, tmp_path: Path) -> None:
    project = launched(solved, selection={"methods": ["gotd"], "budget": 8})
    target_text = sentences("film", 24, 1)[0]
    write_jsonl(tmp_path / "data" / "news.jsonl", [*sentences("news", 60, 0), target_text])
    project.prepare(("news",), ("film",))
    assert project.select("film", "gotd").success
    shown = gotd(tmp_path, "explain", document_id(target_text), "--target", "film")
    assert shown.returncode == 0, shown.stderr
    said = " ".join(shown.stdout.split())
    assert "left out:" in said
    assert "to select it, that reason has to go" in said
    assert "what pulls it" in said
