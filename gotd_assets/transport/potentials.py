"""Solved potentials with their certificate, and what they say about any point."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.certificate import Certificate
from gotd_assets.transport.debiasing import self_potential, sketch_of_source
from gotd_assets.transport.files import read_tensors, write_tensors
from gotd_assets.transport.problem import DEFAULT, Problem
from gotd_assets.transport.semidual import Evaluation
from gotd_assets.transport.sketch import Sketch, make_sketch
from gotd_assets.transport.solver import Progress, optimum
from gotd_assets.transport.source import PreparedSource, Shards, block_rows
from gotd_assets.transport.source_potential import SourcePotential
from gotd_assets.transport.transform import plan_rows, soft_c_transform
from gotd_assets.transport.warm_start import Earlier
from gotd_assets.transport.weights import Weights
from gotd_assets.transport.workers import Workers


@dataclasses.dataclass(frozen=True, eq=False)
class Potentials:
    """Optimal dual potentials between a source and a target sketch.

    Attributes:
        g: (M,) float64, the target potential.
        sketch: the target the potentials belong to.
        problem: what they solve, with absolute epsilon, and where anything is computed with them.
        mean_f: Σ a_i f(x_i) over the source: the constant that calibrates scores.
        certificate: how exact all this is.
        f: the source potential at the rows that were solved for, (N,) float32 by shard, or None. Scores do not need it; a
            later solve of the same rows learns from it which of them a changed target concerns. Of a source that workers
            hold it stays with them: save it before they end.
        column: (M,) float64, the column marginal Pᵀ1 that goes with f, or None.
        self_sketch: points of the source that carry its self-potential, for debiased scores, or None.
        self_g: (K,) float64, the self-potential on `self_sketch`, or None.
    """

    g: Tensor
    sketch: Sketch
    problem: Problem
    mean_f: float
    certificate: Certificate
    f: SourcePotential | None = None
    column: Tensor | None = None
    self_sketch: Sketch | None = None
    self_g: Tensor | None = None

    def scores(self, points: Any) -> Tensor:
        """Calibrated gradient f(x) − Σ a_i f_i of the transport cost at `points` (n, D); (n,) float64 on the CPU.

        Negative: adding mass there brings the source closer to the target. Points need not belong to the source. With
        a self-potential (debiased), f is reduced by it: the gradient of the Sinkhorn divergence.

        Raises:
            TransportError: as `soft_c_transform`.
        """
        return self.soft_c_transform(points) - self.mean_f

    def soft_c_transform(self, points: Any) -> Tensor:
        """f(x) = −ε log Σ_j b_j exp((g_j − C(x, y_j))/ε) at `points` (n, D), less the self-potential if there is one.

        (n,) float64 on the CPU, computed on the problem's device.

        Raises:
            TransportError: points have another dimension than the sketch, or hold NaN.
        """
        f = soft_c_transform(points, self.g, self.sketch, self.problem)
        if self.self_sketch is not None and self.self_g is not None:
            f -= soft_c_transform(points, self.self_g, self.self_sketch, self.problem, leave_one_out=True)
        return f

    def plan_rows(self, points: Any) -> Iterator[Tensor]:
        """Rows of the transport plan at `points` (n, D), each divided by its mass: blocks (k, M) float64, in order.

        No more than one block is held. Computed on the problem's device, in float32 (float64 for float64 points) around
        the sketch's centre.
        """
        yield from plan_rows(points, self.g, self.sketch, self.problem)

    def target_pull(self, points: Any, k: int = 5) -> tuple[Tensor, Tensor]:
        """Which sketch points draw each of `points` (n, D): indices (n, k) and their shares of its mass (n, k).

        The shares are a row of the transport plan divided by the row's mass; they sum to 1 over all M.
        """
        most = min(k, len(self.g))
        found = [shares.topk(most, dim=1) for shares in self.plan_rows(points)]
        return (
            torch.cat([index.cpu() for _, index in found] or [torch.empty(0, most, dtype=torch.int64)]),
            torch.cat([mass.cpu() for mass, _ in found] or [torch.empty(0, most, dtype=torch.float64)]),
        )

    def barycentric_map(self, points: Any) -> Tensor:
        """Where the plan takes `points` (n, D) on average, Σ_j P_j|x y_j: (n, D) float64 on the CPU."""
        targets = self.sketch.points.to(self.problem.torch_device, torch.float64)
        return torch.cat([(shares @ targets).cpu() for shares in self.plan_rows(points)] or [targets[:0].cpu()])

    def again(
        self,
        source: Shards | PreparedSource,
        *,
        weights: Weights | None = None,
        sketch: Sketch | None = None,
        tolerance: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Potentials:
        """The same problem solved again from here, without a self-potential, by the semi-dual: geomloss begins nowhere.

        Args:
            source: as in `solve`; may be another.
            weights: of the source, as in `solve`.
            sketch: another target; by default the one of these potentials.
            tolerance: marginal error to reach, if not the problem's.
            progress: called after every pass.

        Raises:
            TransportError: as `solve`.
        """
        problem = dataclasses.replace(
            self.problem, solver="semidual", tolerance=self.problem.tolerance if tolerance is None else tolerance
        )
        target = self.sketch if sketch is None else sketch
        return solve(source, target, problem, weights=weights, initial=self, progress=progress)

    def debiased(self, source: Shards | PreparedSource, *, seed: int = 0) -> Potentials:
        """With the self-potential of `source`, of which a random sketch is drawn by `seed` if it is large.

        `source` is the one that these potentials were solved for, prepared with its weights if they are not uniform.

        Raises:
            TransportError: as `PreparedSource.of`.
        """
        measure = PreparedSource.of(source, self.sketch.centre, self.problem)
        sketch = sketch_of_source(measure, self.problem, seed)
        f, _ = self_potential(sketch, self.problem, leave_one_out=True)
        bare = dataclasses.replace(self, self_sketch=sketch, self_g=f, mean_f=0.0)
        rows = block_rows(measure.n_rows, len(self.g), measure.dtype, measure.device.type)
        transformed = functools.partial(_transformed, dataclasses.replace(bare, f=None, column=None), measure.centre)
        with Workers(measure.device) as workers:
            return dataclasses.replace(bare, mean_f=measure.mean(transformed, rows, workers))

    def save(self, path: Path) -> None:
        """Write potentials, sketch and certificate to a safetensors file at `path`, and f beside it, a file for each shard."""
        tensors = {"g": self.g, "points": self.sketch.points, "weights": self.sketch.weights}
        if self.f is not None and self.column is not None:
            self.f.save(path)
            tensors["column"] = self.column
        if self.self_sketch is not None and self.self_g is not None:
            tensors |= {
                "self_g": self.self_g,
                "self_points": self.self_sketch.points,
                "self_weights": self.self_sketch.weights,
            }
        facts: dict[str, Any] = {
            "cost": self.problem.cost,
            "epsilon": self.problem.epsilon,
            "reach": self.problem.reach,
            "mean_f": self.mean_f,
            "certificate": {name: fact for name, fact in self.certificate.as_dict().items() if name != "seconds"},
            "sketch": {"method": self.sketch.method, "error": self.sketch.error},
        }
        if self.f is not None and self.column is not None:
            facts["f_rows_of_shards"] = list(self.f.lengths)
        write_tensors(path, tensors, {"potentials": json.dumps(facts)})

    @classmethod
    def load(cls, path: Path, problem: Problem = DEFAULT) -> Potentials:
        """Read what `save` wrote.

        What was solved and how exactly (cost, epsilon, reach; tolerance, solver, dtype) is the file's; how they are
        computed with (device, memory, products, most passes of a solve from here) is `problem`'s. Without the files beside it
        that `f` is in, there is none: a solve from here then does without, as it does if they are damaged.

        Raises:
            TransportError: the file is missing or is not a potentials file, or its dtype does not go with the
                problem's products.
        """
        tensors, metadata = read_tensors(path)
        try:
            facts = json.loads(metadata["potentials"])
            certificate = Certificate(**facts["certificate"])
            is_debiased, lengths = "self_points" in tensors, facts.get("f_rows_of_shards")
            return cls(
                g=tensors["g"],
                sketch=Sketch(tensors["points"], tensors["weights"], **facts["sketch"]),
                problem=dataclasses.replace(
                    problem,
                    cost=facts["cost"],
                    epsilon=facts["epsilon"],
                    epsilon_scale="absolute",
                    reach=facts["reach"],
                    tolerance=certificate.tolerance,
                    solver=certificate.solver,
                    dtype=certificate.dtype,
                ),
                mean_f=facts["mean_f"],
                certificate=certificate,
                f=None if lengths is None else SourcePotential.saved(path, lengths),
                column=tensors.get("column"),
                self_sketch=Sketch(tensors["self_points"], tensors["self_weights"], method="random", error=None)
                if is_debiased
                else None,
                self_g=tensors.get("self_g"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TransportError(f"{path} is not a potentials file of this version: {error}") from error

    def _as_start(self) -> Earlier:
        # A debiased mean is another one than that of f, by which a later solve would know the source again.
        known = self.self_sketch is None
        f, column = (self.f, self.column) if known else (None, None)
        return Earlier(self.problem, self.sketch, self.g, self.mean_f, f, column)


def _transformed(potentials: Potentials, centre: Tensor, points: Tensor) -> Tensor:
    """The soft c-transform at `points` (n, D) less `centre`."""
    return potentials.soft_c_transform((points.double() + centre.to(points.device)).float())


def solve(
    source: Shards | PreparedSource,
    sketch: Sketch | Shards,
    problem: Problem = DEFAULT,
    *,
    weights: Weights | None = None,
    initial: Potentials | None = None,
    debias: bool = False,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> Potentials:
    """Potentials of the entropic transport problem between source and sketch.

    Args:
        source: (N, D) tensor or array, or a sequence of such shards that can be read again (memory-mapped arrays are
            copied block by block, half precision is widened), or a source prepared for the same device and dtype.
        sketch: the target's M weighted points; of an (M, D) tensor or array every point counts, and all the same.
        problem: what is solved, how exactly, and where.
        weights: (N,) of the source, of any sum, zeros are allowed; by default uniform, or those that a prepared source
            has.
        initial: potentials of an earlier solve for a similar target, to start from: points that stayed keep their
            g, new ones get the one at which they draw their weight (`transport/warm_start.py`).
        debias: also solve the source's self-potential, so that scores are gradients of the Sinkhorn divergence.
        progress: called after every pass.
        seed: of the subsample.

    Raises:
        TransportError: shapes differ, NaN (naming shard and row), empty measures, a prepared source does not go with
            the problem, or `initial` does not.
    """
    started = time.perf_counter()
    if not isinstance(sketch, Sketch):
        sketch = make_sketch(sketch, method="all", cost=problem.cost)
    if not bool(torch.isfinite(sketch.points).all()):
        raise TransportError("the sketch holds NaN or an infinity")
    if initial is not None and problem.solver == "geomloss":
        raise TransportError("solver 'geomloss' cannot start from potentials: leave `initial` out, or use 'semidual'")
    prepared = PreparedSource.of(source, sketch.centre, problem, weights=weights)
    with Workers(prepared.device) as workers:
        potentials = solved(
            prepared, sketch, problem, initial=initial, progress=progress, seed=seed, workers=workers, started=started
        )
    return potentials.debiased(prepared, seed=seed) if debias else potentials


def solved(
    prepared: PreparedSource,
    sketch: Sketch,
    problem: Problem,
    *,
    workers: Workers,
    passes: Workers | None = None,
    memory_bytes: int | None = None,
    initial: Potentials | None = None,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
    started: float | None = None,
) -> Potentials:
    """Potentials of a prepared source, not debiased, by `workers`; other arguments as in `solve`.

    Args:
        prepared: for the problem, around any centre.
        sketch: finite points.
        problem: what is solved.
        workers: threads of this solve.
        passes: who makes the passes over the whole source, if others.
        memory_bytes: for couplings, if not the problem's.
        initial: see `solve`.
        progress: see `solve`.
        seed: see `solve`.
        started: `time.perf_counter()` when the solve began, if not now.
    """
    started = time.perf_counter() if started is None else started

    def report(stage: str, evaluation: Evaluation, passes: int) -> None:
        if progress is not None:
            seconds = time.perf_counter() - started
            progress(Progress(stage, passes, evaluation.error, evaluation.value, seconds))

    earlier = None if initial is None else initial._as_start()
    room = problem if memory_bytes is None else dataclasses.replace(problem, memory_bytes=memory_bytes)
    solution = optimum(
        prepared, sketch, room, earlier=earlier, seed=seed, report=report, workers=workers, passes=passes
    )
    final = solution.final
    certificate = Certificate(
        dual_value=final.value,
        primal_upper_bound=solution.upper_bound,
        gap=solution.upper_bound - final.value,
        marginal_error=final.error,
        tolerance=problem.tolerance,
        converged=solution.stopped == "converged",
        passes=solution.passes,
        subsample_passes=solution.subsample_passes,
        subsample_rows=solution.subsample_rows,
        seconds=time.perf_counter() - started,
        epsilon=solution.epsilon,
        n_source=prepared.n_rows,
        n_target=len(sketch.weights),
        solver=problem.solver,
        cached=solution.cached,
        dtype=problem.dtype,
        device=str(prepared.device),
        products=problem.products,
        product_error=solution.product_error,
        rounding=solution.rounding,
        stopped=solution.stopped,
        **({} if solution.prediction is None else dataclasses.asdict(solution.prediction)),
    )
    return Potentials(
        g=solution.g,
        sketch=sketch,
        problem=dataclasses.replace(problem, epsilon=solution.epsilon, epsilon_scale="absolute"),
        mean_f=final.mean_f,
        certificate=certificate,
        f=final.potential,
        column=final.column,
    )
