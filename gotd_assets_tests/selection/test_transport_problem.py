"""The settings' transport problem: nothing lost on the way, and every solve and every scoring goes by it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest

from gotd_assets.errors import TransportError
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.analysis.explain import Document, explain
from gotd_assets.selection.analysis.stability import bootstrap_overlaps
from gotd_assets.selection.analysis.worth import worth_over
from gotd_assets.selection.methods import SelectionProblem, select
from gotd_assets.selection.pool.pool import Pool
from gotd_assets.selection.relevance import source_distances
from gotd_assets.selection.scoring import write_scores
from gotd_assets.selection.transport_problem import problem_of
from gotd_assets.settings.selection import SelectionSettings
from gotd_assets.settings.transport import SketchSettings, TransportSettings
from gotd_assets.transport import Potentials, Problem, Sketch, make_sketch, solve
from gotd_assets.transport.kernel import CostName
from gotd_assets.transport.problem import EpsilonScale, SolverName
from gotd_assets.transport.products import Products
from gotd_assets.transport.sketch import SketchMethod
from gotd_assets_tests.selection.pools import make_pool
from gotd_assets_tests.transport.recorded import devices_asked, problems_solved

OTHER: dict[str, Any] = {
    "cost": "euclidean",
    "epsilon": 0.4,
    "epsilon_scale": "mean",
    "reach": 1.5,
    "tolerance": 0.06,
    "overlap": 0.9,
    "score_error": 3.0,
    "max_passes": 2,
    "products": "reduced",
    "device": "cpu:0",
    "memory_budget_gb": 1e-6,
}


@pytest.mark.parametrize(
    ("section", "name", "known"),
    [
        (TransportSettings, "cost", CostName),
        (TransportSettings, "epsilon_scale", EpsilonScale),
        (TransportSettings, "solver", SolverName),
        (TransportSettings, "products", Products),
        (SketchSettings, "method", SketchMethod),
    ],
)
def test_settings_know_the_words_of_transport(section: type, name: str, known: object) -> None:
    assert get_args(section.model_fields[name].annotation) == get_args(known)


def test_every_setting_of_the_problem_arrives_and_the_defaults_are_the_same() -> None:
    assert problem_of(TransportSettings()) == Problem()
    arrived = {**OTHER, "solver": "semidual", "memory_bytes": 1073}
    del arrived["memory_budget_gb"]
    assert problem_of(TransportSettings(**OTHER)) == Problem(**arrived)
    # geomloss has another idea of reach, and is refused with one.
    balanced = {**OTHER, "solver": "geomloss", "reach": None}
    assert problem_of(TransportSettings(**balanced)).solver == "geomloss"
    # Settings leave the arithmetic to transport; the sketch is the target's, debiasing is what scores are made of.
    assert {field.name for field in dataclasses.fields(Problem)} - set(arrived) == {"dtype", "top_share"}
    assert set(TransportSettings.model_fields) - set(OTHER) - {"solver"} == {"sketch", "debias"}


def test_a_device_that_is_not_there_is_said_by_its_setting() -> None:
    with pytest.raises(TransportError, match=r"transport\.device 'cuda:97' cannot be used on this machine"):
        problem_of(TransportSettings(device="cuda:97"))


class Project:
    """A pool and a target, solved as `settings` say."""

    def __init__(self, folder: Path, settings: TransportSettings) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((90, 3)).astype(np.float32)
        self.target = (0.6 * rng.standard_normal((16, 3)) + 0.8).astype(np.float32)
        self.names = [f"document {row}" for row in range(90)]
        self.folder, self.settings = folder, settings
        self.pool: Pool = make_pool(folder, {"s": (self.names, vectors)})
        self.sketch: Sketch = make_sketch(self.target, method="all", cost=settings.cost)
        solve(self.pool.vectors, self.sketch, problem_of(settings), debias=settings.debias).save(folder / "potentials")
        self.potentials = Potentials.load(folder / "potentials", problem_of(settings))
        write_scores(self.pool, self.potentials, folder / "scores.parquet")
        self.problem = SelectionProblem(
            pl.read_parquet(folder / "scores.parquet"),
            self.pool,
            self.target,
            6,
            seed=0,
            settings=SelectionSettings(rounds=3),
            potentials=self.potentials,
        )
        self.chosen = self.problem.scores.sort("score")["doc_id"].head(6)

    def explained(self) -> object:
        subset = pl.DataFrame({"doc_id": self.chosen, "rank": range(1, 7), "source": "s", "text": "t"})
        target = pl.DataFrame({"doc_id": [f"t{row}" for row in range(16)], "text": "t"})
        return explain(
            Document(document_id(self.names[0]), "t", "s", "s:0"),
            scores=self.problem.scores,
            subset=subset,
            potentials=self.potentials,
            embeddings={"s": self.folder / "s" / "vectors"},
            target=target,
            target_vectors=self.target,
        )


WORK: dict[str, Callable[[Project], object]] = {
    "scores": lambda project: write_scores(project.pool, project.potentials, project.folder / "again.parquet"),
    "debiased": lambda project: select("gotd-debiased", project.problem),
    "rounds": lambda project: select("gotd-rounds", project.problem),
    "worth": lambda project: worth_over(project.chosen, project.pool, project.potentials, [0.2, 0.4]),
    "stability": lambda project: bootstrap_overlaps(
        "gotd-debiased", project.problem, project.chosen, SketchSettings(method="all"), 1
    ),
    "relevance": lambda project: source_distances(
        project.pool, project.sketch, problem_of(project.settings), sample=50
    ),
    "explanation": Project.explained,
}
SOLVING = ("rounds", "worth", "stability", "relevance")


@pytest.mark.parametrize("work", WORK)
def test_everything_is_computed_on_the_device_of_the_settings(
    work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path, TransportSettings(device="cpu:0"))
    asked = devices_asked(monkeypatch)
    WORK[work](project)
    assert set(asked) == {"cpu:0"}


@pytest.mark.parametrize("setting", OTHER)
def test_every_solve_goes_by_every_setting(setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TransportSettings(**{setting: OTHER[setting]})
    project = Project(tmp_path, settings)
    asked = problem_of(settings)
    # Whoever solves again goes on with the number that the scale came to.
    absolute = dataclasses.replace(asked, epsilon=project.potentials.problem.epsilon, epsilon_scale="absolute")
    assert (absolute.epsilon == asked.epsilon) == (setting != "epsilon_scale")
    solved = problems_solved(monkeypatch)
    for work in SOLVING:
        solved.clear()
        WORK[work](project)
        assert solved, work
        expected = asked if work == "relevance" else absolute
        if work == "stability":
            expected = dataclasses.replace(expected, tolerance=max(0.05, asked.tolerance))
        for found, solution in solved:
            assert found == expected, work
            assert solution.cached == (asked.memory_bytes > 90 * 16 * 4), work
            assert solution.passes <= asked.max_passes, work
