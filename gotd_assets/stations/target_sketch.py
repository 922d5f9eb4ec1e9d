"""The target as a few weighted points."""

from __future__ import annotations

from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.columns import Table
from gotd_assets.checks import drift
from gotd_assets.stations.reads import One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work

_EMBEDDINGS = One("target_embeddings")
_VECTOR = ("target_embeddings", "vector")


def target_sketch(work: Work) -> Recipe:
    """Weighted points that stand for the target in the transport problem.

    The time of a solve grows with their number; the sketching error says what was lost.
    """
    transport = work.settings.transport
    embeddings = work.open(_EMBEDDINGS)
    # The version goes by how many points are asked for, not by the setting that says when they are all.
    # In a dry run it may not be known yet how many documents there are; a sketch of what is not there is made anyway.
    documents = int(str(embeddings.manifest.summary.get("documents", 0)))
    size = transport.sketch.points(documents)

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.embedding.vectors import open_vectors
        from gotd_assets.transport import make_sketch

        sketch = make_sketch(
            open_vectors(embeddings.path).vectors,
            method=transport.sketch.method,
            size=size,
            tolerance=transport.sketch.tolerance,
            cost=transport.cost,
        )
        sketch.save(writer.path / "sketch.safetensors")
        writer.summary.update(points=len(sketch.weights), method=sketch.method, error=sketch.error)

    return Recipe({"sketch": {**transport.sketch.shaping(), "size": size}, "cost": transport.cost}, write)


STATION = Station(
    prepare=target_sketch,
    verb="sketch",
    division="target",
    group="target",
    kinds=frozenset({"pytorch", "numpy"}),
    code_version="1",
    reads=(_EMBEDDINGS,),
    checks=drift.SKETCH,
    table=Table(
        "sketch.safetensors",
        {"points": "Points that stand for the target.", "weights": "What each stands for; they sum to 1."},
        {"points": [_VECTOR], "weights": [_VECTOR]},
    ),
    is_heavy=True,
)
