"""Why a document was selected, or what would have to change."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.corpus.shards import scan_documents
from gotd_assets.embedding.vectors import open_vectors, unit_rows
from gotd_assets.errors import InputError
from gotd_assets.selection.pool.pool import vectors_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.transport import Potentials

_PULLS = 5
_NEIGHBOURS = 3


@dataclasses.dataclass(frozen=True)
class Document:
    """One document of the project: its text and where it stands."""

    doc_id: str
    text: str
    source: str
    origin: str


@dataclasses.dataclass(frozen=True)
class Pull:
    """A point of the target sketch that draws the document.

    Attributes:
        point: its place in the sketch.
        share: share of the document's mass that the transport plan sends there.
        weight: share of the target that the point stands for.
        text: the target document nearest to the point.
    """

    point: int
    share: float
    weight: float
    text: str


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A selected document near the one explained, with cosine similarity."""

    doc_id: str
    rank: int
    similarity: float
    text: str


@dataclasses.dataclass(frozen=True)
class Explanation:
    """A document's standing in one selection.

    Attributes:
        document: which document.
        score: calibrated gradient of the transport cost at it (negative helps); None if it was not scored.
        position: its place by that score among those that may be selected, from 1; None if it may not be.
        selectable: how many may be selected.
        rank: its rank in the selection, None if it is not in it.
        selected: documents in the selection.
        cut_gradient: the gradient of the last selected document in the order of the gradient.
        pulls: sketch points by their share of its mass.
        nearest_target: text of the nearest target document, and its cosine similarity.
        neighbours: the nearest selected documents other than itself.
    """

    document: Document
    score: float | None
    position: int | None
    selectable: int
    rank: int | None
    selected: int
    cut_gradient: float
    pulls: tuple[Pull, ...]
    nearest_target: tuple[str, float]
    neighbours: tuple[Neighbour, ...]

    @property
    def percentile(self) -> float | None:
        """Share of the selectable documents that are placed behind it, in percent; 100 is the very best."""
        return None if self.position is None else 100 * (self.selectable - self.position) / max(1, self.selectable - 1)

    def what_would_have_to_change(self) -> str | None:
        """In a sentence, for a selection in the order of the gradient; None if it is selected or was not scored."""
        if self.rank is not None or self.position is None or self.score is None:
            return None
        gap = self.score - self.cut_gradient
        helps = "" if self.score < 0 else " Its score is not negative: adding it would not bring the pool nearer."
        return (
            f"a budget of {self.position:,} documents instead of {self.selected:,}, or a score lower by {abs(gap):.6g} "
            f"than {self.score:.6g}.{helps}"
        )


def find_document(doc_id: str, documents: Mapping[str, Path]) -> Document:
    """The document whose id begins with `doc_id`, in `documents` (folder by source).

    Raises:
        InputError: there is none, or several.
    """
    wanted = doc_id.strip().lower()
    if len(wanted) < 8 or set(wanted) - set("0123456789abcdef"):
        raise InputError(f"{doc_id!r} is no document id: give the first 8 or more of its 32 hex digits")
    found = pl.concat(
        scan_documents(path)
        .filter(pl.col("doc_id").str.starts_with(wanted))
        .select("doc_id", "text", pl.lit(source).alias("source"), "origin")
        .collect()
        for source, path in documents.items()
    )
    if not found.height:
        raise InputError(f"no source holds a document {doc_id!r}; `gotd audit why_document` also knows earlier runs")
    if found.get_column("doc_id").n_unique() > 1:
        raise InputError(f"{doc_id!r} fits {found['doc_id'].n_unique()} documents: give more digits")
    return Document(**found.row(0, named=True))


def _position(doc_id: str, score: float, scores: pl.DataFrame, sign: int) -> int:
    """Where a document of this score, times `sign`, stands among all; 1 is the best."""
    ahead = pl.col("score") * sign < score
    tied = (pl.col("score") * sign == score) & (pl.col("doc_id") < doc_id)
    return int(scores.select((ahead | tied).sum()).item()) + 1


def explain(
    document: Document,
    *,
    scores: pl.DataFrame,
    subset: pl.DataFrame,
    potentials: Potentials,
    embeddings: Mapping[str, Path],
    target: pl.DataFrame,
    target_vectors: npt.NDArray[Any],
    sign: int = 1,
) -> Explanation:
    """Explain `document`'s standing in `subset`.

    Args:
        document: which one.
        scores: what may be selected: doc_id, score (calibrated gradient).
        subset: the selection: doc_id, rank, source, text.
        potentials: solved between pool and target.
        embeddings: folder of vectors by source.
        target: doc_id and text of the target's documents.
        target_vectors: (M, D), row by row those of `target`.
        sign: 1 toward the target, −1 away from it.
    """
    doc_ids = pl.concat([pl.Series([document.doc_id]), subset.get_column("doc_id")])
    shards = [shard for source, path in embeddings.items() for shard in _relevant(source, path, document, subset)]
    vectors = vectors_of(doc_ids, shards)
    vector = vectors[:1]
    own = scores.filter(pl.col("doc_id") == document.doc_id)
    score = float(own["score"][0]) * sign if own.height else None
    position = None if score is None else _position(document.doc_id, score, scores, sign)
    members = scores.filter(pl.col("doc_id").is_in(subset.get_column("doc_id").implode())).get_column("score") * sign
    similar = (unit_rows(vector) @ unit_rows(vectors[1:]).T)[0]
    similar[(subset.get_column("doc_id") == document.doc_id).to_numpy()] = -2
    to_target = (unit_rows(vector) @ unit_rows(target_vectors).T)[0]
    places = subset.filter(pl.col("doc_id") == document.doc_id).get_column("rank")
    return Explanation(
        document=document,
        score=score,
        position=position,
        selectable=scores.height,
        rank=int(places[0]) if len(places) else None,
        selected=subset.height,
        cut_gradient=float(np.max(members.to_numpy())),
        pulls=_pulls(vector, potentials, target, target_vectors),
        nearest_target=(target.get_column("text")[int(to_target.argmax())], float(to_target.max())),
        neighbours=tuple(
            Neighbour(subset["doc_id"][row], int(subset["rank"][row]), float(similar[row]), subset["text"][row])
            for row in np.argsort(-similar, kind="stable")[:_NEIGHBOURS].tolist()
            if similar[row] > -2
        ),
    )


def _relevant(source: str, path: Path, document: Document, subset: pl.DataFrame) -> list[Any]:
    """Shards of the sources that matter: the document's own, and those that something was selected from."""
    wanted = source == document.source or source in subset.get_column("source")
    return list(open_vectors(path)) if wanted else []


def _pulls(
    vector: npt.NDArray[Any], potentials: Potentials, target: pl.DataFrame, target_vectors: npt.NDArray[Any]
) -> tuple[Pull, ...]:
    index, mass = potentials.target_pull(vector, _PULLS)
    points = potentials.sketch.points.numpy()[index[0].numpy()]
    nearest = ((points[:, None] - target_vectors[None]) ** 2).sum(-1).argmin(axis=1)
    return tuple(
        Pull(int(point), float(share), float(potentials.sketch.weights[point]), target.get_column("text")[int(row)])
        for point, share, row in zip(index[0].tolist(), mass[0].tolist(), nearest, strict=True)
    )
