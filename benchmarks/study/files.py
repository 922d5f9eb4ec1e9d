"""A study's texts as files of a project: the pool by source, and for every target what guides selections and what is held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from benchmarks.study.plan import Plan, Target
from gotd_assets.corpus.duplicates.contamination import find_contamination
from gotd_assets.corpus.duplicates.search import find_duplicates
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.errors import InputError
from gotd_assets.settings.texts import DuplicateSettings

DOMAIN = "domain"
"""Field of a target's records that says which domain a text is of."""


def write_files(plan: Plan, corpus: Path, out: Path, say: Callable[[str], None]) -> None:
    """Write `out/pool/<domain>.parquet`, and `out/targets/<target>.parquet` and `out/heldout/<target>.parquet`.

    The pool is without duplicates and without documents that are (nearly) target or held-out text of any target, since
    the transport problem is solved over all of it. What is held out is one document of a text, none like a target's;
    targets of several domains have equal parts. All targets have as many documents, so that one share of them is a
    sample of `plan.target_documents`.

    Args:
        plan: the study's.
        corpus: folder that `write_corpus` wrote.
        out: empty folder.
        say: is told how many documents left the pool.

    Raises:
        InputError: a domain has fewer documents than samples need.
    """
    pool = {name: corpus / "pool" / name for name in plan.pool}
    target_side, heldout_side = (
        {name: corpus / side / name for name in plan.target_domains} for side in ("target", "heldout")
    )
    rules = DuplicateSettings()
    notes = out / "left-out"
    notes.mkdir(parents=True)
    repeated = find_duplicates(pool, rules, notes / "duplicates.parquet")
    apart = [*target_side.values(), *heldout_side.values()]
    foreign = find_contamination(pool, apart, rules, notes / "contaminated.parquet")
    find_contamination(heldout_side, [*target_side.values()], rules, notes / "heldout.parquet")
    duplicates = pl.read_parquet(notes / "duplicates.parquet", columns=["doc_id", "source"])
    for name, folder in pool.items():
        documents = _documents(folder).join(
            duplicates.filter(pl.col("source") == name), on="doc_id", how="anti", maintain_order="left"
        )
        _write(_without(documents, notes / "contaminated.parquet"), out / "pool" / f"{name}.parquet")
    say(f"{sum(repeated.exact.values()) + sum(repeated.near.values())} duplicates, {foreign.found} of a target")
    sides = {name: _documents(folder).sort("doc_id") for name, folder in target_side.items()}
    size = _target_size(plan, {name: documents.height for name, documents in sides.items()})
    for target in plan.targets:
        parts = [sides[name].head(size // len(target.domains)) for name in target.domains]
        _write_target(target, parts, out / "targets")
        held = [_without(_documents(heldout_side[name]), notes / "heldout.parquet") for name in target.domains]
        wanted = plan.heldout_documents // len(target.domains)
        _write_target(target, [documents.sort("doc_id").head(wanted) for documents in held], out / "heldout")


def _target_size(plan: Plan, available: dict[str, int]) -> int:
    """Documents that every target has."""
    most = min(available[name] * len(target.domains) for target in plan.targets for name in target.domains)
    if most < plan.target_documents:
        raise InputError(
            f"study {plan.name!r}: samples of {plan.target_documents} documents are wanted, and targets have {most} only; "
            "lower the plan's number"
        )
    # Parts of a mixture are equal.
    parts = max(len(target.domains) for target in plan.targets)
    return most // parts * parts


def _write_target(target: Target, parts: Sequence[pl.DataFrame], folder: Path) -> None:
    named = [part.with_columns(pl.lit(name).alias(DOMAIN)) for name, part in zip(target.domains, parts, strict=True)]
    _write(pl.concat(named), folder / f"{target.name}.parquet")


def _documents(folder: Path) -> pl.DataFrame:
    """doc_id and text."""
    return scan_documents(folder).select("doc_id", "text").collect()


def _without(documents: pl.DataFrame, left_out: Path) -> pl.DataFrame:
    return documents.join(pl.read_parquet(left_out, columns=["doc_id"]), on="doc_id", how="anti", maintain_order="left")


def _write(documents: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    documents.drop("doc_id").write_parquet(path)
