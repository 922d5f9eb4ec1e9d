"""A target's documents, with some held out for evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.files.input_file import entry_label
from gotd_assets.corpus.shards import ShardWriter
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import Json, fraction
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.texts import PreparationSettings, TargetSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    import polars as pl

    from gotd_assets.corpus.files.copies import RemoteFiles


def read_target(
    target: TargetSettings,
    preparation: PreparationSettings,
    root: Path,
    out: Path,
    *,
    encoder: EncoderSettings | None = None,
    progress: Callable[[object], None] | None = None,
    remote: RemoteFiles | None = None,
    forgotten: Sequence[str] = (),
) -> dict[str, Json]:
    """Read `target` and split it into `out/train` and `out/heldout`, both folders of document shards.

    Whole texts are split, never their chunks: the side is told by a hash of original_id, so that it stays the same
    when texts are added. At least one document stays on the train side; a target with a single text has nothing held
    out (an empty shard, `heldout_documents` 0). Of the train side `target.draw` keeps a part, whole texts, at least one. With `holdout.path` those files are the held-out side, less texts
    that the train side has too. Documents whose doc_ids are `forgotten` are on neither side.

    Raises:
        InputError: as `read_documents`; or all documents are forgotten.
    """
    import polars as pl

    from gotd_assets.corpus.shards import iter_documents, scan_documents

    whole = out / "all"
    whole.mkdir(parents=True)
    summary = read_documents(
        target, preparation, root, whole, encoder=encoder, progress=progress, remote=remote
    ).as_summary()
    train, heldout = (ShardWriter(out / side, target.fields.keep) for side in ("train", "heldout"))
    remembered = ~pl.col("doc_id").is_in(pl.Series(sorted(forgotten), dtype=pl.String).implode())
    if target.holdout.path is None:
        originals = (
            scan_documents(whole).filter(remembered).select(pl.col("original_id").unique()).collect().to_series()
        )
        held = {original for original in originals if _place(original) < target.holdout.share}
        if target.holdout.share > 0 and len(originals) > 1:
            # With few documents chance may leave a side empty: the extreme document by hash goes there.
            ordered = sorted(originals, key=_place)
            held = (held or {ordered[0]}) - ({ordered[-1]} if len(held) == len(originals) else set())
        elif len(originals) == 1:
            held = set()
        ids = pl.Series(sorted(held), dtype=pl.String).implode()
        drawn = _drawn(target, set(originals) - held)
        for documents in iter_documents(whole):
            train.add(documents.filter(remembered & drawn & ~pl.col("original_id").is_in(ids)))
            heldout.add(documents.filter(remembered & pl.col("original_id").is_in(ids)))
    else:
        apart = out / "apart"
        apart.mkdir()
        other = target.model_copy(update={"path": target.holdout.path})
        report = read_documents(other, preparation, root, apart, encoder=encoder, progress=progress, remote=remote)
        summary = {**summary, "heldout": report.as_summary()}
        known = scan_documents(whole).select("doc_id").collect()
        texts = scan_documents(whole).filter(remembered).select(pl.col("original_id").unique()).collect().to_series()
        drawn = _drawn(target, set(texts))
        for documents in iter_documents(whole):
            train.add(documents.filter(remembered & drawn))
        for documents in iter_documents(apart):
            heldout.add(documents.filter(remembered).join(known, on="doc_id", how="anti", maintain_order="left"))
        (apart / "quarantine.jsonl").replace(out / "quarantine-heldout.jsonl")
        _remove(apart)
    train.close()
    heldout.close()
    for name in ("quarantine.jsonl", "duplicates.parquet"):
        (whole / name).replace(out / name)
    _remove(whole)
    if not train.documents:
        raise InputError(f"{entry_label(target)}: every text was forgotten (gotd forget): add others")
    return {**summary, "train_documents": train.documents, "heldout_documents": heldout.documents}


def _drawn(target: TargetSettings, originals: Collection[str]) -> pl.Expr:
    """Which documents are of the texts that guide the selection; `originals` are ids of those that may."""
    import polars as pl

    if target.draw is None or not originals:
        return pl.lit(True)
    purpose = f"draw {target.draw.seed}".encode()
    ordered = sorted(originals, key=lambda original: (fraction(original, purpose), original))
    kept = ordered[: max(1, round(target.draw.share * len(ordered)))]
    return pl.col("original_id").is_in(pl.Series(sorted(kept), dtype=pl.String).implode())


def _place(original_id: str) -> float:
    return fraction(original_id, b"holdout")


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
