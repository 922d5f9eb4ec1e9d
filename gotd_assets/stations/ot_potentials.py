"""The solved transport problem: optimal dual potentials with their certificate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.columns import Table
from gotd_assets.catalogue.shown import Description, Markdown, figures
from gotd_assets.catalogue.tables import in_page
from gotd_assets.checks import solve as checks
from gotd_assets.fingerprint import Json
from gotd_assets.stations.engine import engine_of
from gotd_assets.stations.reads import Each, One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work

if TYPE_CHECKING:
    from gotd_assets.selection.pool.pool import PoolVectors
    from gotd_assets.transport import PreparedSource, Problem, Sketch

_EMBEDDINGS = Each("candidate_embeddings")
_POOL = One("candidate_pool")
_SKETCH = One("target_sketch")
_VECTOR = ("candidate_embeddings", "vector")
_PULL = ("ot_potentials", "g")


def ot_potentials(work: Work) -> Recipe:
    """Dual potentials of the entropic transport problem between pool and target.

    One number per sketch point; those of the candidates that were solved for stand beside, a file for each shard of the pool.
    The certificate says how far the plan is from optimal: the dual value bounds the transport cost from below, a rounded plan
    from above.
    """
    transport = work.settings.transport
    pool = work.open(_POOL)
    embeddings = work.open(_EMBEDDINGS)
    sketch = work.open(_SKETCH)
    # Where the solve starts is no input: the version, and so reuse, does not depend on it.
    previous = work.current()
    warm = work.settings.watch.warm_start and transport.solver == "semidual"

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.selection.pool.pool import Pool
        from gotd_assets.selection.transport_problem import problem_of
        from gotd_assets.selection.warm_start import earlier_potentials
        from gotd_assets.transport import Sketch, solve

        problem = problem_of(transport)
        points = Sketch.load(sketch.file("sketch.safetensors"))
        earlier = earlier_potentials(previous, points, problem) if warm else None
        if earlier is not None and previous is not None:
            work.log(f"starting from the potentials of version {previous.version}", always=True)
            writer.summary["started_from"] = previous.version
        with _source(work, Pool.of(embeddings, pool).vectors, points, problem) as source:
            potentials = solve(source, points, problem, initial=earlier, debias=transport.debias, progress=work.show)
            potentials.save(writer.path / "potentials.safetensors")
        writer.summary.update(potentials.certificate.as_dict())
        certificate = potentials.certificate
        if not certificate.converged:
            work.warn(
                f"the solve did not converge: marginal error {certificate.marginal_error:.3g} after "
                f"{certificate.passes} passes, asked for {transport.tolerance:g}. Scores are usable but "
                "less exact; raise transport.max_passes or transport.epsilon"
            )
        for caveat in certificate.caveats:
            work.warn(f"of the solve's scores: {caveat}")

    # Potentials without a self-potential are what they were.
    code: dict[str, Json] = {"debias_code": 2} if transport.debias else {}
    return Recipe({**transport.shaping(), **code}, write, _described)


@contextlib.contextmanager
def _source(
    work: Work, vectors: PoolVectors, points: Sketch, problem: Problem
) -> Iterator[PreparedSource | PoolVectors]:
    """The pool for a solve: here, whose passes are made by threads, or kept by the workers of a cluster."""
    from gotd_assets.transport.held import held_source

    with engine_of(work) as engine:
        if engine.is_local:
            yield vectors
            return
        with held_source(engine, vectors, points, problem) as source:
            yield source


def _described(artifact: Artifact) -> Description:
    """The proof of quality of a solve."""
    summary = artifact.manifest.summary
    verdict = "converged" if summary["converged"] else "**DID NOT CONVERGE**: scores are less exact than asked for"
    gap = float(str(summary["gap"]))
    sentence = (
        f"{verdict}. The transport cost lies between **{summary['dual_value']:.6g}** (dual) and "
        f"**{summary['primal_upper_bound']:.6g}** (rounded plan), a gap of {gap:.2g}; marginal error "
        f"{summary['marginal_error']:.2g} (asked for {summary['tolerance']:g}) after {summary['passes']} passes."
    )
    if summary.get("score_error") is not None:
        error = float(str(summary["score_error"])) / float(str(summary["epsilon"]))
        sentence += (
            f" At the optimum **{float(str(summary['top_share_overlap'])):.1%}** of the pool's best percent "
            f"would be the same, no score would differ by more than {error:.2g} ε, and the dual value would be "
            f"higher by {float(str(summary['newton_gap'])):.2g}, as the curvature predicts."
        )
    if summary.get("products") == "reduced":
        sentence += (
            f" All passes but the last had reduced matrix products, off by at most {summary['product_error']:.2g} ε "
            "where looked at."
        )
    first = ("dual_value", "primal_upper_bound", "gap", "marginal_error", "passes", "seconds", "converged")
    return {"certificate": Markdown(in_page(sentence)), **figures(artifact, *first)}


STATION = Station(
    prepare=ot_potentials,
    verb="solve",
    division="target",
    group="transport",
    kinds=frozenset({"pytorch"}),
    code_version="4",
    reads=(_EMBEDDINGS, _POOL, _SKETCH),
    checks=checks.POTENTIALS,
    table=Table(
        "potentials.safetensors",
        {
            "g": "Optimal dual potential, one number per point of the sketch.",
            "points": "Points of the sketch.",
            "weights": "Their weights.",
            "column": "What each point of the sketch is served of the pool's mass.",
            "self_g": "Potential of the pool against itself, for debiased scores.",
            "self_points": "Sample of the pool that it belongs to.",
            "self_weights": "Their weights.",
        },
        {
            "g": [_VECTOR, ("target_sketch", "points"), ("target_sketch", "weights"), ("candidate_pool", "doc_id")],
            "column": [_VECTOR, _PULL],
            "points": [("target_sketch", "points")],
            "weights": [("target_sketch", "weights")],
            "self_g": [_VECTOR],
            "self_points": [_VECTOR],
        },
    ),
    is_heavy=True,
    launchpad=("transport.epsilon", "transport.tolerance"),
)
