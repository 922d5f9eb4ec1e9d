"""Targets: read like sources, then split into what guides the selection and what is held out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from gotd_assets.corpus.documents import ReadProgress, read_documents, scan_documents, write_documents
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json
    from gotd_assets.settings import PreparationSettings, TargetSettings

_HASH_DIGITS = 8


def read_target(
    target: TargetSettings,
    preparation: PreparationSettings,
    root: Path,
    out: Path,
    *,
    progress: Callable[[ReadProgress], None] | None = None,
) -> dict[str, Json]:
    """Read `target` into `out/train` and `out/heldout` (documents-*.parquet each); return counts.

    The split is by the hash of the uncut document (`original_id`), so that chunks of one document stay together and
    new documents never move old ones to the other side. With `holdout.path` those files are held out instead. A target
    of a single document is all train.

    Raises:
        InputError: as `read_documents`, or every document would be held out.
    """
    report = read_documents(target, preparation, root, out, progress=progress)
    documents = scan_documents(out).collect()
    if target.holdout.path is not None:
        entry = target.model_copy(update={"path": target.holdout.path, "name": f"{target.name}-heldout"})
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            read_documents(entry, preparation, root, Path(folder))
            heldout = scan_documents(Path(folder)).collect()
        train = documents.join(heldout, on="doc_id", how="anti")
        if not train.height:
            raise InputError(
                f"target {target.name!r}: every document stands in holdout.path too; nothing is left to guide the selection"
            )
    else:
        held = _is_held_out(documents.get_column("original_id"), target.holdout.share)
        train, heldout = documents.filter(~held), documents.filter(held)
    for shard in out.glob("documents-*.parquet"):
        shard.unlink()
    write_documents(train, out / "train")
    write_documents(heldout, out / "heldout")
    return {
        **report.as_summary(),
        "train_documents": train.height,
        "heldout_documents": heldout.height,
        "train_originals": train.get_column("original_id").n_unique(),
        "heldout_originals": heldout.get_column("original_id").n_unique(),
    }


def _is_held_out(originals: pl.Series, share: float) -> pl.Series:
    """Whether each document's original falls into the held-out share; at least one original never does."""
    # A hash of its own: documents that were sampled by their doc_id must still split evenly.
    digests = {original: document_id(f"held out? {original}") for original in originals.unique().to_list()}
    held = {original: int(digest[:_HASH_DIGITS], 16) / 16**_HASH_DIGITS < share for original, digest in digests.items()}
    if all(held.values()):
        held[max(held)] = False
    return pl.Series([held[original] for original in originals.to_list()], dtype=pl.Boolean)
