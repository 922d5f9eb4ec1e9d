"""How far each source is from the target."""

from __future__ import annotations

import dataclasses

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.columns import Table
from gotd_assets.catalogue.shown import Description, Markdown, figures
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.stations.engine import engine_of
from gotd_assets.stations.reads import Each, One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work

_EMBEDDINGS = Each("candidate_embeddings")
_POOL = One("candidate_pool")
_SKETCH = One("target_sketch")
_MADE_OF = [("candidate_embeddings", "vector"), ("target_sketch", "points"), ("target_sketch", "weights")]


def domain_relevance(work: Work) -> Recipe:
    """The paper's domain relevance test: OT distance of a sample of each source to the target.

    It says which sources are worth selecting from; `selection.nearest_sources` keeps only the nearest, and DAPT
    draws from the nearest one.
    """
    settings = work.settings
    pool = work.open(_POOL)
    embeddings = work.open(_EMBEDDINGS)
    sketch = work.open(_SKETCH)

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.selection.pool.pool import Pool
        from gotd_assets.selection.relevance import as_frame, source_distances
        from gotd_assets.selection.transport_problem import problem_of
        from gotd_assets.transport import Sketch

        with engine_of(work) as engine:
            distances = source_distances(
                Pool.of(embeddings, pool),
                Sketch.load(sketch.file("sketch.safetensors")),
                # The reference solver is there to compare potentials with, and does not shape distances.
                dataclasses.replace(problem_of(settings.transport), solver="semidual"),
                sample=settings.selection.relevance_sample,
                seed=settings.selection.seed,
                engine=engine,
                progress=work.show,
            )
        as_frame(distances).write_parquet(writer.path / "sources.parquet")
        writer.summary.update(
            nearest=distances[0].source,
            nearest_distance=distances[0].distance,
            farthest=distances[-1].source,
            farthest_distance=distances[-1].distance,
            sources=len(distances),
        )

    return Recipe(
        {
            "transport": settings.transport.shaping(without=("debias", "solver")),
            "sample": settings.selection.relevance_sample,
            "seed": settings.selection.seed,
        },
        write,
        _described,
    )


def _described(artifact: Artifact) -> Description:
    """The sources from the nearest to the farthest."""
    from gotd_assets.catalogue import plots

    frame = read_parquet(artifact.file("sources.parquet"))
    distances = dict(frame.select("source", "distance").iter_rows())
    return {
        "distances": Markdown(plots.bars(distances, "OT distance to the target")),
        "sources": frame_table(frame),
        **figures(artifact),
    }


STATION = Station(
    prepare=domain_relevance,
    verb="measure sources",
    division="target",
    group="transport",
    kinds=frozenset({"pytorch", "parquet"}),
    code_version="2",
    reads=(_EMBEDDINGS, _POOL, _SKETCH),
    table=Table(
        "sources.parquet",
        {
            "source": "Source of candidates.",
            "distance": "Optimal transport cost between a sample of the source and the target's sketch.",
            "gap": "How far the cost may be from the optimum.",
            "sampled": "Documents in the sample.",
            "candidates": "Documents of the source in the pool.",
        },
        {
            "source": [("raw_candidates", "source")],
            "distance": _MADE_OF,
            "gap": _MADE_OF,
            "candidates": [("candidate_embeddings", "doc_id"), ("candidate_pool", "doc_id")],
        },
    ),
    is_heavy=True,
)
