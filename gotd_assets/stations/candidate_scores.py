"""A score for every candidate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import polars as pl

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.columns import Table
from gotd_assets.catalogue.shown import ROW_COUNT, Description, Markdown, Shown, figures
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.checks import contamination as checks
from gotd_assets.lineage import Materialisation
from gotd_assets.stations.engine import engine_of
from gotd_assets.stations.reads import Each, One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work

_DOCUMENTS = Each("raw_candidates")
_EMBEDDINGS = Each("candidate_embeddings")
_POOL = One("candidate_pool")
_TARGET = One("target_documents")
_POTENTIALS = One("ot_potentials")


def candidate_scores(work: Work) -> Recipe:
    """The calibrated gradient of the transport cost at every candidate.

    Negative: adding this document to the training data brings the pool closer to the target. Candidates that
    duplicate target or held-out text are listed beside and cannot be selected for this target.
    """
    settings = work.settings.duplicates
    direction = work.settings.target(work.partition.own_target).direction
    raw = work.open(_DOCUMENTS)
    embeddings = work.open(_EMBEDDINGS)
    pool = work.open(_POOL)
    target = work.open(_TARGET)
    potentials = work.open(_POTENTIALS)

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.corpus.duplicates.contamination import find_contamination
        from gotd_assets.selection.pool.pool import Pool
        from gotd_assets.selection.scoring import write_scores
        from gotd_assets.selection.transport_problem import problem_of
        from gotd_assets.transport import Potentials

        solved = Potentials.load(potentials.file("potentials.safetensors"), problem_of(work.settings.transport))
        scores = writer.path / "scores.parquet"
        with engine_of(work) as engine:
            candidates = Pool.of(embeddings, pool)
            summary = write_scores(candidates, solved, scores, engine=engine, progress=work.log)
            writer.summary.update(summary.as_summary())
            contamination = find_contamination(
                {name: artifact.path for name, artifact in raw.items()},
                [target.path / "train", target.path / "heldout"],
                settings,
                writer.path / "exclusions.parquet",
                progress=work.show,
                engine=engine,
            )
        writer.summary["contaminated"] = contamination.found
        writer.summary["contamination"] = contamination.as_summary()

    def record(artifact: Artifact, materialisation: Materialisation) -> Materialisation:
        return dataclasses.replace(
            materialisation,
            scores=artifact.file("scores.parquet"),
            best_scores="highest" if direction == "away" else "lowest",
            exclusions=artifact.file("exclusions.parquet"),
        )

    return Recipe({"contamination": settings.shaping()}, write, _described, record)


def _described(artifact: Artifact) -> Description:
    """The distribution of scores, and what cannot be selected."""
    from gotd_assets.catalogue import plots

    frame = read_parquet(artifact.file("scores.parquet"), columns=["source", "score"])
    per_source = frame.group_by("source").agg(
        candidates=pl.len(), negative=(pl.col("score") < 0).sum(), median=pl.col("score").median()
    )
    contamination = cast("Mapping[str, Any]", artifact.manifest.summary["contamination"])
    shown: dict[str, Shown] = {}
    if contamination["found"]:
        found = pl.DataFrame(list(contamination["by_source"].items()), schema=["source", "contaminated"], orient="row")
        columns = ("text", "matched_text", "kind", "similarity", "source")
        shown["contaminated_by_source"] = frame_table(found)
        shown["contamination_examples"] = frame_table(pl.DataFrame(contamination["examples"]).select(columns))
    return shown | {
        "distribution": Markdown(plots.scores_by_source(frame)),
        "per_source": frame_table(per_source.sort("median")),
        **figures(artifact, "candidates", "negative", "contaminated", "lowest", "median", "highest"),
        ROW_COUNT: frame.height,
    }


STATION = Station(
    prepare=candidate_scores,
    verb="score",
    division="target",
    group="transport",
    kinds=frozenset({"pytorch", "parquet"}),
    code_version="2",
    reads=(_DOCUMENTS, _EMBEDDINGS, _POOL, _TARGET, _POTENTIALS),
    checks=checks.SCORES,
    table=Table(
        "scores.parquet",
        {
            "doc_id": "Candidate.",
            "source": "Source it stands in.",
            "score": "Calibrated gradient of the transport cost: negative if more of it brings the pool closer.",
        },
        {
            "doc_id": [("candidate_embeddings", "doc_id")],
            "source": [("raw_candidates", "source")],
            "score": [
                ("candidate_embeddings", "vector"),
                ("ot_potentials", "g"),
                ("ot_potentials", "points"),
                ("ot_potentials", "weights"),
            ],
        },
    ),
    is_heavy=True,
)
