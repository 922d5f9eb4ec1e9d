"""One source against several targets, whose passes are made together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from gotd_assets.errors import TransportError
from gotd_assets.transport.lockstep import LockStep, SharedSource
from gotd_assets.transport.potentials import Potentials, solve, solved
from gotd_assets.transport.problem import DEFAULT, Problem
from gotd_assets.transport.sketch import Sketch, make_sketch
from gotd_assets.transport.solver import Progress
from gotd_assets.transport.source import PreparedSource, Shards, block_rows
from gotd_assets.transport.weights import Weights
from gotd_assets.transport.workers import Workers

_MOST_TOGETHER = 16  # each keeps couplings in its share of the memory


def solve_many(
    source: Shards | PreparedSource,
    sketches: Sequence[Sketch | Shards],
    problem: Problem = DEFAULT,
    *,
    weights: Weights | None = None,
    debias: bool = False,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> list[Potentials]:
    """Solve one source against several sketches, in lock-step: every pass reads the source once for all of them.

    A solve that has converged drops out of the passes. Sixteen at a time share `problem.memory_bytes`. With reduced products,
    by geomloss, or of a source of another kind than `PreparedSource` itself, they are solved one after another.

    Arguments as in `solve`; `progress` is called by the threads of the solves, one at a time.

    Raises:
        TransportError: as `solve`; also if no sketch is given.
    """
    if not sketches:
        raise TransportError("no sketches were given")
    targets = [
        sketch if isinstance(sketch, Sketch) else make_sketch(sketch, method="all", cost=problem.cost)
        for sketch in sketches
    ]
    if len({sketch.points.shape[1] for sketch in targets}) > 1:
        raise TransportError("the sketches have points of different dimensions: one source has the same as all of them")
    centre = torch.stack([sketch.centre for sketch in targets]).mean(dim=0)
    prepared = PreparedSource.of(source, centre, problem, weights=weights)
    alone = len(targets) == 1 or problem.products == "reduced" or problem.solver == "geomloss"
    if alone or type(prepared) is not PreparedSource:
        return [solve(prepared, sketch, problem, debias=debias, progress=progress, seed=seed) for sketch in targets]
    found: list[Potentials] = []
    for begin in range(0, len(targets), _MOST_TOGETHER):
        together = targets[begin : begin + _MOST_TOGETHER]
        found += _in_lockstep(prepared, together, problem, progress=progress, seed=seed)
    return [potentials.debiased(prepared, seed=seed) for potentials in found] if debias else found


def _in_lockstep(
    prepared: PreparedSource,
    sketches: Sequence[Sketch],
    problem: Problem,
    *,
    progress: Callable[[Progress], None] | None,
    seed: int,
) -> list[Potentials]:
    largest = max(len(sketch.weights) for sketch in sketches)
    rows = block_rows(prepared.n_rows, largest, prepared.dtype, prepared.device.type)
    shared, telling = SharedSource.sharing(prepared, rows), threading.Lock()

    def told(now: Progress) -> None:
        if progress is not None:
            with telling:
                progress(now)

    with Workers(prepared.device) as workers:
        steps = LockStep(shared, workers, len(sketches))

        def one(number: int) -> Potentials:
            error: BaseException | None = None
            try:
                return solved(
                    shared,
                    sketches[number],
                    problem,
                    progress=told,
                    seed=seed,
                    workers=workers,
                    passes=steps.turn(number),
                    memory_bytes=problem.memory_bytes // len(sketches),
                )
            except BaseException as raised:
                error = raised
                raise
            finally:
                steps.ended(error)

        with ThreadPoolExecutor(len(sketches), thread_name_prefix="transport-target") as threads:
            return [future.result() for future in [threads.submit(one, number) for number in range(len(sketches))]]
