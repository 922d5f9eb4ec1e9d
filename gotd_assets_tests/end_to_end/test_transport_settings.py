"""Section `transport` of gotd.yaml, through every station and question that solves or scores."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import TransportError
from gotd_assets.selection.analysis.recorded import explain_recorded
from gotd_assets.settings.file import load_project
from gotd_assets.settings.project import Project
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.workshop import Workshop
from gotd_assets.watch.new_candidates import judge
from gotd_assets_tests.end_to_end.project import make_project, sentences, write_jsonl
from gotd_assets_tests.transport.recorded import devices_asked, problems_solved
from gotd_assets_tests.watch.artifacts import publish

METHODS = ["gotd", "gotd-rounds", "gotd-debiased"]
TRANSPORT = {"device": "cpu:0", "memory_budget_gb": 1e-7, "max_passes": 40, "products": "reduced"}
FILM = Partition(target="film")
STEPS = ("candidates", "target", "transport")


def selected(folder: Path) -> Project:
    """A project with its selections; the model that one was trained to is none."""
    selection = {"budget": 8, "methods": METHODS, "rounds": 3, "stability_resamples": 1}
    project = load_project(make_project(folder, selection=selection, transport=TRANSPORT))
    workshop = Workshop(project)
    for stage in GRAPH.stages(project.settings, ["film"], lambda station: not station.is_late):
        workshop.run(stage)
    for method in METHODS:
        publish(ArtifactStore(project.home.artifacts), "pre_fine_tuned_model", f"film/{method}", "v1")
    return project


def explained(project: Project) -> object:
    subset = ArtifactStore(project.home.artifacts).current(ArtifactKey("selected_subset", "film/gotd"))
    (document, *_) = (subset.path / "subset.jsonl").read_text().split('"doc_id":"')[1:]
    return explain_recorded(project, document[:32], "film", "gotd")


def judged(project: Project) -> object:
    """What one document more in the pool means."""
    write_jsonl(project.root / "data" / "news.jsonl", sentences("news", 61, 0))
    workshop = Workshop(project)
    for asset in ("raw_candidates", "candidate_embeddings"):
        workshop.make(asset, Partition(source="news"))
    workshop.make("candidate_pool")
    store, sources = ArtifactStore(project.home.artifacts), [source.name for source in project.settings.sources]
    verdict = judge(store, "film", sources, METHODS, transport=project.settings.transport)
    assert "1 new candidates" in verdict.reason
    return verdict


def test_every_solve_and_every_scoring_goes_by_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices, solved = devices_asked(monkeypatch), problems_solved(monkeypatch)
    project = selected(tmp_path)
    explained(project)
    judged(project)
    assert set(devices) == {"cpu:0"}
    assert len(solved) > 2 + 1 + 2 + 2  # sources, the pool, rounds, stability of two methods
    for problem, solution in solved:
        assert (problem.device, problem.max_passes, problem.products) == ("cpu:0", 40, "reduced")
        assert problem.memory_bytes == 107
        assert not solution.cached


def made_anew(asset: str, partition: Partition, change: dict[str, object]) -> Callable[[Project], object]:
    """`asset` in a version that does not stand yet."""

    def make(project: Project) -> object:
        return Workshop(project).make(asset, partition, change)

    return make


def test_each_of_them_refuses_a_device_that_is_not_there(tmp_path: Path) -> None:
    elsewhere = selected(tmp_path).overridden({"transport.device": "cuda:97"})
    for work in (
        made_anew("ot_potentials", FILM, {"transport.epsilon": 0.06}),
        made_anew("candidate_scores", FILM, {"duplicates.jaccard": 0.7}),
        made_anew("domain_relevance", FILM, {"selection.seed": 1}),
        made_anew("selected_subset", Partition(target="film", method="gotd"), {"selection.budget": 7}),
        made_anew("evaluation_report", FILM, {}),
        explained,
        judged,
    ):
        with pytest.raises(TransportError, match=r"transport\.device 'cuda:97' cannot be used on this machine"):
            work(elsewhere)


def test_a_solve_of_the_same_target_starts_from_the_one_before(tmp_path: Path) -> None:
    found = []
    for tolerance in (0.01, 0.001):
        project = load_project(make_project(tmp_path, transport={"tolerance": tolerance}))
        workshop = Workshop(project)
        for stage in GRAPH.stages(project.settings, ["film"], lambda station: station.group in STEPS):
            workshop.run(stage)
        found.append(ArtifactStore(project.home.artifacts).current(ArtifactKey("ot_potentials", "film")))
    first, second = found
    assert "started_from" not in first.manifest.summary
    assert second.manifest.summary["started_from"] == first.version
    assert len(list(second.path.glob("potentials-f-*.safetensors"))) == 2  # a shard of each source
