"""What `select` returns: the chosen rows, how good the solve behind them is, and why each was chosen."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from gotd_assets.api.making import TARGET, Making
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from gotd_assets.artifacts.artifact import Artifact
    from gotd_assets.selection.analysis.explain import Explanation
    from gotd_assets.transport import Certificate

_FIRST = ("rank", "score", "text", "nearest_target_text", "nearest_target_similarity", "source", "row", "nearest_row")
_NOT_OF_VECTORS = ("text", "nearest_target_text")


class Selection:
    """Rows of a pool, best first, with everything known about them.

    Attributes:
        frame: a row for each chosen document: rank, score (negative: it brings the pool closer to the target), text,
            the text of the nearest target example and its cosine similarity, source, row (number in what was handed
            over, from 0) and nearest_row (the same of the target), doc_id, and what the method adds. For files origin
            stands in the place of rows; for vectors there are no texts.
        method: that chose them.
    """

    def __init__(self, making: Making, method: str) -> None:
        self._making = making
        self.method = method
        self._subset = making.artifact("selected_subset", f"{TARGET}/{method}")
        self.frame = self._framed(read_parquet(self._subset.file("subset.parquet")))

    def __len__(self) -> int:
        return self.frame.height

    def __repr__(self) -> str:
        return f"{len(self):,} rows selected by {self.method}\n{self.frame}"

    def _repr_html_(self) -> str:
        html: str = self.frame._repr_html_()
        return html

    @functools.cached_property
    def certificate(self) -> Certificate:
        """How far the transport solve is from the optimum, proven, and what it took."""
        from gotd_assets.selection.transport_problem import problem_of
        from gotd_assets.transport import Potentials

        solved = self._made_of("ot_potentials", TARGET).file("potentials.safetensors")
        return Potentials.load(solved, problem_of(self._making.project.settings.transport)).certificate

    def records(self, source: str | None = None) -> Any:
        """The chosen rows of what was handed over, best first, as they came: a list, a frame, a dataset or an array.

        Args:
            source: name of the source, where several were handed over.

        Raises:
            InputError: files were handed over, or there is no such source.
        """
        name = source or next(iter(self._making.sources))
        if name not in self._making.sources or (source is None and len(self._making.sources) > 1):
            raise InputError(f"records: name one source of {', '.join(map(repr, self._making.sources))}")
        rows = self._making.sources[name].rows
        if rows is None:
            raise InputError(f"records: source {name!r} is files; column 'origin' of the frame names file and row")
        return rows(self.frame.filter(pl.col("source") == name).get_column("row").to_list())

    @functools.cached_property
    def left_out(self) -> pl.DataFrame:
        """What could not be chosen, and why: doc_id, row, source, reason, matched (text that it repeats).

        Exact and near duplicates of other candidates, and texts of the target.
        """
        raw = {name: self._made_of("raw_candidates", name) for name in self._making.sources}
        texts = self._texts()
        again = [
            read_parquet(made.file("duplicates.parquet")).with_columns(source=pl.lit(n)) for n, made in raw.items()
        ]
        same = pl.concat(again).select(
            "doc_id", "origin", "source", reason=pl.lit("same text"), matched_doc_id="doc_id"
        )
        place = texts.select("doc_id", "source", "origin")
        pool = self._made_of("candidate_pool", None)
        repeated = read_parquet(pool.file("duplicates.parquet")).select(
            "doc_id", "source", "matched_doc_id", reason=pl.format("duplicate ({})", "kind")
        )
        scores = self._made_of("candidate_scores", TARGET)
        excluded = read_parquet(scores.file("exclusions.parquet"))
        matched = "matched_doc_id" if "matched_doc_id" in excluded.columns else "doc_id"
        of_target = excluded.select("doc_id", matched_doc_id=matched, reason=pl.lit("text of the target"))
        columns = ("doc_id", "origin", "source", "reason", "matched_doc_id")
        found = pl.concat(
            [
                same.select(columns),
                repeated.join(place, on=["doc_id", "source"], how="left").select(columns),
                of_target.join(place, on="doc_id", how="inner").select(columns),
            ]
        )
        known = pl.concat([texts.select("doc_id", "text"), self._target_texts().select("doc_id", "text")])
        matches = known.unique("doc_id").rename({"doc_id": "matched_doc_id", "text": "matched"})
        return self._with_rows(found.join(matches, on="matched_doc_id", how="left").drop("matched_doc_id"))

    def explain(self, row: int | str) -> Explanation:
        """Why a row was chosen, or what would have to change.

        Args:
            row: its number in the pool that was handed over (one source), or its doc_id or the beginning of that.

        Raises:
            InputError: there is no such document.
        """
        from gotd_assets.selection.analysis.recorded import explain_recorded

        doc_id = row if isinstance(row, str) else self._doc_id(row)
        explanation, _ = explain_recorded(self._making.project, doc_id, TARGET, self.method, self._subset)
        return explanation

    def save(self, folder: str | Path) -> list[Path]:
        """Write subset.parquet, subset.jsonl and manifest.json (versions, settings, checksums) to `folder`; their paths."""
        from gotd_assets.artifacts.artifact import MANIFEST

        return self._subset.copy_files(("subset.parquet", "subset.jsonl", MANIFEST), Path(folder).expanduser())

    def _made_of(self, asset: str, partition: str | None) -> Artifact:
        """What this selection was made of, also where its home has newer ones."""
        from gotd_assets.artifacts.artifact import ArtifactKey
        from gotd_assets.artifacts.store import ArtifactStore

        store = ArtifactStore.of(self._making.project)
        return store.input_of(self._subset, ArtifactKey(asset, partition))

    def _framed(self, subset: pl.DataFrame) -> pl.DataFrame:
        frame = self._with_rows(subset)
        target = self._making.target
        if target.rows is not None:
            nearest = self._target_texts().select(nearest_target="doc_id", nearest_row=_row_of("origin"))
            frame = frame.join(nearest, on="nearest_target", how="left", maintain_order="left")
        if target.vectors is not None:
            frame = frame.drop(_NOT_OF_VECTORS)
        first = [name for name in _FIRST if name in frame.columns]
        return frame.select(*first, pl.exclude(first))

    def _with_rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` with row in the place of origin, unless files were handed over."""
        if any(source.rows is None for source in self._making.sources.values()):
            return frame
        return frame.with_columns(row=_row_of("origin")).drop("origin")

    def _texts(self) -> pl.DataFrame:
        from gotd_assets.corpus.shards import scan_documents

        raw = {name: self._made_of("raw_candidates", name).path for name in self._making.sources}
        frames = [scan_documents(path).select("doc_id", "text", "source", "origin").collect() for path in raw.values()]
        return pl.concat(frames)

    def _target_texts(self) -> pl.DataFrame:
        from gotd_assets.corpus.shards import scan_documents

        folder = self._made_of("target_documents", TARGET).path
        sides = [scan_documents(folder / side).select("doc_id", "text", "origin") for side in ("train", "heldout")]
        return pl.concat(sides).collect()

    def _doc_id(self, row: int) -> str:
        if len(self._making.sources) > 1 or next(iter(self._making.sources.values())).rows is None:
            raise InputError("explain: rows are numbered in a single list, frame or array; give a doc_id of the frame")
        raw = self._made_of("raw_candidates", next(iter(self._making.sources)))
        repeated = read_parquet(raw.file("duplicates.parquet")).select("doc_id", "origin")
        places = pl.concat([self._texts().select("doc_id", "origin"), repeated])
        found: Sequence[str] = places.filter(_row_of("origin") == row).get_column("doc_id").to_list()
        if not found:
            raise InputError(f"explain: row {row} is not among the candidates: there is none, or it could not be read")
        return found[0]


def _row_of(origin: str) -> pl.Expr:
    """The number of a row, from 0, of 'FILE:NUMBER', from 1."""
    return pl.col(origin).str.extract(r":(\d+)$").cast(pl.Int64) - 1
