"""Selection cells: what each method selects, what that is worth before any training, and what it costs."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.selection.methods import method_named
from gotd_assets.selection.pool.pool import scores_of
from gotd_assets.settings.selection import SelectionSettings, TsdsSettings

if TYPE_CHECKING:
    import numpy.typing as npt

    from benchmarks.study.plan import Plan, Target
    from benchmarks.study.world import World
    from gotd_assets.fingerprint import Json
    from gotd_assets.selection.pool.pool import Pool
    from gotd_assets.selection.problem import SelectionProblem
    from gotd_assets.transport import Sketch

_SAMPLE_SECONDS = 0.01
_RELEVANCE_SAMPLE = 2000
# What a method uses of the work that several share.


@dataclasses.dataclass
class Cost:
    """What a piece of work took.

    Attributes:
        seconds: by the clock on the wall.
        processor_seconds: over all threads; says more than `seconds` on a machine that others use too.
        memory: highest resident memory above that at the start, in bytes, sampled a hundred times a second.
    """

    seconds: float = 0.0
    processor_seconds: float = 0.0
    memory: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.seconds + other.seconds,
            self.processor_seconds + other.processor_seconds,
            max(self.memory, other.memory),
        )


@dataclasses.dataclass(frozen=True)
class Question:
    """A target's sample against the pool, solved.

    Attributes:
        problem: for the methods; its budget is set cell by cell.
        gradient_cost: of sketch, solve and scores.
        relevance_cost: of the distances of the domains.
    """

    problem: SelectionProblem
    gradient_cost: Cost
    relevance_cost: Cost

    def shared_cost(self, method: str) -> Cost:
        """What `method` uses of the work done before it."""
        assets = {asset for asset, _ in method_named(method).made_of}
        if assets & {"candidate_scores", "ot_potentials"}:
            return self.gradient_cost
        return self.relevance_cost if "domain_relevance" in assets else Cost()


@contextlib.contextmanager
def measured() -> Iterator[Cost]:
    """A `Cost` that is filled in when the block ends."""
    import psutil

    process, cost, over = psutil.Process(), Cost(), threading.Event()
    before = process.memory_info().rss
    peaks = [before]

    def watch() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            peaks.append(max(peaks.pop(), process.memory_info().rss))

    watcher = threading.Thread(target=watch, daemon=True)
    started, worked = time.perf_counter(), time.process_time()
    watcher.start()
    try:
        yield cost
    finally:
        cost.seconds, cost.processor_seconds = time.perf_counter() - started, time.process_time() - worked
        over.set()
        watcher.join()
        cost.memory = max(peaks[0], process.memory_info().rss) - before


def pose(world: World, target: Target, seed: int) -> Question:
    """Solve the transport problem of the sample of `target` that `seed` draws."""
    from gotd_assets.selection.relevance import source_distances
    from gotd_assets.transport import Problem, make_sketch

    plan = world.plan
    sample, vectors = world.target_sample(target, seed)
    with measured() as gradient_cost:
        sketch = make_sketch(vectors, size=plan.sketch, seed=seed)
        problem = solved_problem(
            world.pool, vectors, sketch, epsilon=plan.epsilon, seed=seed, settings=selection_settings(plan)
        )
    with measured() as relevance_cost:
        distances = source_distances(
            world.pool, sketch, Problem(epsilon=plan.epsilon), sample=_RELEVANCE_SAMPLE, seed=seed
        )
    problem = dataclasses.replace(
        problem,
        documents=world.documents,
        target_texts=sample.get_column("text"),
        relevance={entry.source: entry.distance for entry in distances},
    )
    return Question(problem, gradient_cost, relevance_cost)


def solved_problem(
    pool: Pool,
    target: npt.NDArray[Any],
    sketch: Sketch,
    *,
    epsilon: float,
    seed: int,
    settings: SelectionSettings,
) -> SelectionProblem:
    """The transport from `pool` to the `sketch` of `target` (M, D), solved, as a problem without a budget of its own."""
    from gotd_assets.selection.problem import SelectionProblem
    from gotd_assets.transport import Problem, solve

    potentials = solve(pool.vectors, sketch, Problem(epsilon=epsilon), seed=seed)
    return SelectionProblem(
        scores=scores_of(pool, potentials),
        pool=pool,
        target=target,
        budget=0,
        seed=seed,
        settings=settings,
        potentials=potentials,
    )


def selection_settings(plan: Plan) -> SelectionSettings:
    """How the methods are set in a study."""
    neighbours = plan.tsds_neighbours
    return SelectionSettings(tsds=TsdsSettings() if neighbours is None else TsdsSettings(neighbours=neighbours))


def select_and_judge(
    question: Question, target: Target, method: str, budgets: Sequence[int]
) -> Iterator[tuple[int, dict[str, float], dict[str, Json]]]:
    """What `method` selects for each of `budgets`: the budget, figures, and files.

    Files are 'selection' (doc_ids, best first) and 'sources' (documents by domain). Where the ranking is the same for
    every budget it is made once, for the largest, and what that costs counts for each.
    """
    from gotd_assets.selection.methods import select

    largest: tuple[pl.DataFrame, Cost] | None = None
    for budget in sorted(budgets, reverse=True):
        if largest is None or not method_named(method).nested:
            with measured() as own:
                ranking = select(method, dataclasses.replace(question.problem, budget=budget)).sort("rank")
            largest = ranking, own
        ranking, own = largest
        yield budget, *_judged(question, target, ranking.head(budget), own, own + question.shared_cost(method))


def _judged(
    question: Question, target: Target, ranking: pl.DataFrame, own: Cost, total: Cost
) -> tuple[dict[str, float], dict[str, Json]]:
    from gotd_assets.selection.analysis.diversity import diversity_of
    from gotd_assets.selection.analysis.worth import worth_of
    from gotd_assets.selection.pool.pool import vectors_of

    problem = question.problem
    potentials: Any = problem.potentials
    doc_ids = ranking.get_column("doc_id")
    sources = problem.scores.join(ranking.select("doc_id"), on="doc_id", how="semi")
    per_source = dict(sources.group_by("source").len().sort("source").iter_rows())
    pool_share = float((problem.scores.get_column("source") == target.rare).sum()) / problem.scores.height
    rare_share = per_source.get(target.rare, 0) / ranking.height
    worth = worth_of(doc_ids, problem.pool, potentials, problem.settings.mixing)
    diversity = diversity_of(
        vectors_of(doc_ids, problem.pool), potentials.sketch.points.numpy(), potentials.sketch.weights.numpy()
    )
    chosen = problem.scores.join(ranking.select("doc_id"), on="doc_id", how="semi").get_column("score")
    figures = {
        "seconds": total.seconds,
        "processor_seconds": total.processor_seconds,
        "own_processor_seconds": own.processor_seconds,
        "memory_mib": total.memory / 2**20,
        "rare_share": rare_share,
        "rare_share_of_pool": pool_share,
        "target_domain_share": sum(per_source.get(domain, 0) for domain in target.domains) / ranking.height,
        "transport_before": worth.before,
        "transport_after": worth.after,
        "mean_gradient": float(np.mean(chosen.to_numpy())),
        "near_duplicate_share": diversity.near_duplicate_share,
        "mean_nearest_distance": diversity.mean_nearest_distance or 0.0,
        "target_clusters_covered": float(diversity.target_clusters_covered),
    }
    return figures, {"selection": doc_ids.to_list(), "sources": per_source}
