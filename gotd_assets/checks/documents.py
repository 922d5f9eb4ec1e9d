"""Documents as read: their schema, their number, and what was quarantined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.parquet import scan_parquet
from gotd_assets.checks.check import Check, CheckContext, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gotd_assets.fingerprint import Json

_DOC_ID = "^[0-9a-f]{32}$"
_NAMED = 5
_REQUIRED = ("doc_id", "text", "source", "origin", "n_chars")


def schema_and_counts(folders: Sequence[Path], recorded: int, at_least: int) -> Finding:
    """Whether the document shards in `folders` are documents: columns, no missing text, distinct doc_ids, the number.

    Args:
        folders: folders of documents-*.parquet that are one set of documents.
        recorded: number of documents that the station reported.
        at_least: number of documents needed.
    """
    import polars as pl

    frames = [scan_parquet(path) for folder in folders for path in sorted(folder.glob("documents-*.parquet"))]
    if not frames:
        return Finding(passed=False, sentence="there is no documents-*.parquet: materialise the documents again")
    for frame in frames:
        lacking = [name for name in _REQUIRED if name not in frame.collect_schema().names()]
        if lacking:
            return Finding(passed=False, sentence=f"columns are missing: {', '.join(lacking)}; materialise it again")
    facts = (
        pl.concat([frame.select(_REQUIRED) for frame in frames])
        .select(
            rows=pl.len(),
            distinct=pl.col("doc_id").n_unique(),
            malformed=(~pl.col("doc_id").str.contains(_DOC_ID).fill_null(value=False)).sum(),
            textless=(~pl.col("text").str.contains(r"\S").fill_null(value=False)).sum(),
            sourceless=pl.col("source").is_null().sum() + pl.col("origin").is_null().sum(),
            lengths=(pl.col("n_chars") != pl.col("text").str.len_chars()).fill_null(value=True).sum(),
        )
        .collect()
        .row(0, named=True)
    )
    wrong = {
        f"{facts['malformed']} doc_ids are not 32 hex digits": facts["malformed"],
        f"{facts['rows'] - facts['distinct']} doc_ids stand more than once": facts["rows"] - facts["distinct"],
        f"{facts['textless']} documents have no text": facts["textless"],
        f"{facts['sourceless']} values of source or origin are missing": facts["sourceless"],
        f"{facts['lengths']} documents have another length than recorded": facts["lengths"],
        f"{facts['rows']} documents stand where {recorded} were reported": facts["rows"] != recorded,
        f"{facts['rows']} documents are fewer than checks.min_documents ({at_least})": facts["rows"] < at_least,
    }
    problems = [sentence for sentence, count in wrong.items() if count]
    sentence = f"{facts['rows']:,} documents, each whole" if not problems else "; ".join(problems)
    return Finding(not problems, sentence, {key: int(value) for key, value in facts.items()})


def quarantine_rate(summary: Mapping[str, Json], limit: float) -> Finding:
    """Whether the share of records that could not be used is at most `limit`.

    Args:
        summary: of a reading: read, quarantined, quarantined_by_reason.
        limit: between 0 and 1.
    """
    read, quarantined = int(str(summary.get("read", 0))), int(str(summary.get("quarantined", 0)))
    rate = quarantined / read if read else 0.0
    figures: dict[str, float | int | str] = {"read": read, "quarantined": quarantined, "rate": rate}
    if rate <= limit:
        return Finding(passed=True, sentence=f"{rate:.2%} of {read:,} records are quarantined", figures=figures)
    reasons = summary.get("quarantined_by_reason")
    listed = ", ".join(f"{count} × {why}" for why, count in reasons.items()) if isinstance(reasons, Mapping) else ""
    return Finding(
        passed=False,
        sentence=f"{rate:.1%} of {read:,} records are quarantined, more than checks.max_quarantine_rate ({limit:.1%}): "
        f"{listed}. Mend the files (quarantine.jsonl lists the records), or raise the limit",
        figures=figures,
    )


def whole_files(summary: Mapping[str, Json], limit: float, *, blocks: bool) -> Finding:
    """Whether the files were read to their ends, or it is known that at most `limit` of their bytes is lost.

    Args:
        summary: of a reading: bytes and, if files are damaged, `damaged`.
        limit: between 0 and 1.
        blocks: whether more is wrong; else it is only told.
    """
    damaged = summary.get("damaged")
    if not isinstance(damaged, Mapping):
        return Finding(passed=True, sentence="every file was read to its end")
    lost, size = int(str(damaged["lost_bytes"])), int(str(summary["bytes"]))
    unknown, places = int(str(damaged["of_unknown_size"])), int(str(damaged["places"]))
    share = lost / size if size else 0.0
    named = damaged["named"]
    listed = "; ".join(_told(damage) for damage in named[:_NAMED]) if isinstance(named, list) else ""
    more = f"; and {places - _NAMED} more" if places > _NAMED else ""
    figures: dict[str, float | int | str] = {"lost_bytes": lost, "lost_share": share, "of_unknown_size": unknown}
    is_bad = blocks and (bool(unknown) or share > limit)
    advice = (
        ". Copy the files again or take them out; checks.damaged_files: warn uses what could be read of them"
        if is_bad
        else ""
    )
    how_much = f"{lost:,} bytes ({share:.1%})" + (
        f" and, in {unknown} place(s), nobody knows how much" if unknown else ""
    )
    return Finding(not is_bad, f"{how_much} could not be read of damaged files: {listed}{more}{advice}", figures)


def _told(damage: Json) -> str:
    if not isinstance(damage, Mapping):
        return str(damage)
    lost = damage.get("lost_bytes")
    return f"{damage['file']} ({damage['reason']}; {'size unknown' if lost is None else f'{lost:,} bytes'})"


def _candidates(context: CheckContext, artifact: Artifact) -> Finding:
    documents = int(str(artifact.manifest.summary["kept"]))
    return schema_and_counts([artifact.path], documents, context.project.settings.checks.min_documents)


def _target(_: CheckContext, artifact: Artifact) -> Finding:
    summary = artifact.manifest.summary
    documents = int(str(summary["train_documents"])) + int(str(summary["heldout_documents"]))
    return schema_and_counts([artifact.path / "train", artifact.path / "heldout"], documents, 1)


def _quarantine(context: CheckContext, artifact: Artifact) -> Finding:
    return quarantine_rate(artifact.manifest.summary, context.project.settings.checks.max_quarantine_rate)


def _whole(context: CheckContext, artifact: Artifact) -> Finding:
    limits = context.project.settings.checks
    summary = artifact.manifest.summary
    heldout = summary.get("heldout")
    findings = [
        whole_files(part, limits.max_quarantine_rate, blocks=limits.damaged_files == "block")
        for part in (summary, *([heldout] if isinstance(heldout, Mapping) else []))
    ]
    return next((finding for finding in findings if not finding.passed), findings[0])


_WHOLE = Check(
    "whole_files",
    "Files were read to their ends, or it is known how little of them is lost: at most checks.max_quarantine_rate of their "
    "bytes. Of an archive that was cut off nobody knows.",
    _whole,
    blocking=True,
)
_RATE = Check(
    "quarantine_rate",
    "At most checks.max_quarantine_rate of the records could not be used. Beyond it the files are not what they were "
    "thought to be.",
    _quarantine,
    blocking=True,
)


CANDIDATES = (
    Check(
        "schema_and_counts",
        "Every document has an id of its own, text and origin; there are as many as were reported, and at least "
        "checks.min_documents.",
        _candidates,
        blocking=True,
    ),
    _RATE,
    _WHOLE,
)


TARGET = (
    Check(
        "schema_and_counts",
        "Every document has an id of its own, text and origin, on one side of the split only.",
        _target,
        blocking=True,
    ),
    _RATE,
    _WHOLE,
)
