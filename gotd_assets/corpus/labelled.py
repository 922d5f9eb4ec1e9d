"""Labelled texts of a task: read like any text, split, and kept apart from the pool."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.duplicates.contamination import find_contamination
from gotd_assets.corpus.shards import ShardWriter, iter_documents, scan_documents
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import fraction
from gotd_assets.settings.texts import FieldSettings, SourceSettings

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.corpus.files.copies import RemoteFiles
    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.evaluation import ClassificationSettings
    from gotd_assets.settings.texts import DuplicateSettings, PreparationSettings


def labelled_source(task: ClassificationSettings) -> SourceSettings:
    """The task's files as a source of texts that carries its labels along."""
    fields = FieldSettings(text=task.text, keep=[task.label])
    return SourceSettings(name=task.target, path=task.path, format=task.format, fields=fields)


def read_labelled(
    task: ClassificationSettings,
    preparation: PreparationSettings,
    duplicates: DuplicateSettings,
    candidates: Sequence[Path],
    *,
    root: Path,
    out: Path,
    progress: Callable[[object], None] | None = None,
    remote: RemoteFiles | None = None,
    forgotten: Sequence[str] = (),
) -> dict[str, Json]:
    """Write `out/train` and `out/test`, folders of document shards with the label in the field's column.

    Texts are split by a hash, so that they stay on their side when others come. From the test side go texts that the
    train side or the pool has, too, exactly or nearly: a model might have been pre-fine-tuned on them. Whole texts are
    kept, not chunks.

    Args:
        task: the labelled files.
        preparation: how text is cleaned; chunking is not done.
        duplicates: what counts as the same.
        candidates: folders of the pool's documents.
        root: folder that relative paths are relative to.
        out: an existing folder.
        progress: is told how far the reading is.
        remote: local copies of files at URLs; a task whose path is a URL needs it.
        forgotten: doc_ids of texts that are left out.

    Returns:
        Counts, for people.

    Raises:
        InputError: files cannot be read, no text has one of the labels, or too few texts are left.
    """
    whole = out / "all"
    reading = read_documents(
        labelled_source(task),
        preparation.model_copy(update={"chunk_by": "none", "join_short": False}),
        root,
        whole,
        progress=progress,
        remote=remote,
    ).as_summary()
    documents = pl.concat(iter_documents(whole)).unique("doc_id", keep="first", maintain_order=True)
    documents = documents.filter(~pl.col("doc_id").is_in(pl.Series(sorted(forgotten), dtype=pl.String).implode()))
    known = documents.filter(pl.col(task.label).is_in(list(task.labels)))
    if not known.height:
        raise InputError(
            f"evaluation.classification of target {task.target!r}: no text has one of the labels "
            f"{', '.join(task.labels)} in field {task.label!r}; found are: "
            f"{', '.join(str(label) for label in documents.get_column(task.label).unique().sort().head(10))}"
        )
    for_test = pl.Series(
        [fraction(doc_id, b"labelled") < task.test_share for doc_id in known.get_column("doc_id")], dtype=pl.Boolean
    )
    sides = {"train": known.filter(~for_test), "test": known.filter(for_test).sort("doc_id")}
    for side, frame in sides.items():
        _write(frame, out / side, task.label)
    foreign = out / "removed.parquet"
    report = find_contamination(
        {"test": out / "test"}, [out / "train", *candidates], duplicates, foreign, progress=progress
    )
    gone = read_parquet(foreign).get_column("doc_id")
    test = sides["test"].filter(~pl.col("doc_id").is_in(gone.implode())).head(task.test_documents)
    shutil.rmtree(out / "test")
    _write(test, out / "test", task.label)
    (whole / "quarantine.jsonl").replace(out / "quarantine.jsonl")
    shutil.rmtree(whole)
    present = test.get_column(task.label).n_unique()
    if present < 2 or sides["train"].height < task.sizes[-1]:
        raise InputError(
            f"evaluation.classification of target {task.target!r}: {sides['train'].height} texts are left to fine-tune on "
            f"({task.sizes[-1]} are wanted) and {test.height} with {present} of {len(task.labels)} labels to measure on, "
            f"after {report.found} went that the pool has, too: add labelled texts, or lower sizes"
        )
    return {
        "train_documents": sides["train"].height,
        "test_documents": test.height,
        "other_labels": documents.height - known.height,
        "test_documents_removed": report.found,
        **{name: reading[name] for name in ("damaged", "left_out") if name in reading},
    }


def _write(documents: pl.DataFrame, folder: Path, label: str) -> None:
    writer = ShardWriter(folder, [label])
    writer.add(documents)
    writer.close()


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Texts and, as numbers in the order of the task's labels, what they are: `texts` (n,), `labels` (n,) int64."""

    texts: Sequence[str]
    labels: npt.NDArray[np.int64]

    @classmethod
    def of(cls, folder: Path, task: ClassificationSettings) -> LabelledTexts:
        """One side of what `read_labelled` wrote."""
        frame = scan_documents(folder).select("text", label=pl.col(task.label)).collect()
        numbers = {label: number for number, label in enumerate(task.labels)}
        labels = np.array([numbers[label] for label in frame.get_column("label")], dtype=np.int64)
        return cls(frame.get_column("text").to_list(), labels)
