"""Whether a new selection is worth training on."""

from __future__ import annotations

import dataclasses

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.watch.current import current_artifact


@dataclasses.dataclass(frozen=True)
class Worth:
    """Whether to train.

    Attributes:
        train: the verdict.
        overlap: share of documents in common with the selection last trained on; None if that is not known.
    """

    train: bool
    overlap: float | None


def worth_training(store: ArtifactStore, partition: str, below: float) -> Worth:
    """Compare the current selection of `partition` ('target/method') with the one its current model was trained on.

    Training is worth it if there is no model, if the selection it was trained on is gone from disk, or if the overlap
    |new ∩ trained| / max(|new|, |trained|) is less than `below`. Without a selection there is nothing to train on.
    """
    selection = current_artifact(store, ArtifactKey("selected_subset", partition))
    model = current_artifact(store, ArtifactKey("pre_fine_tuned_model", partition))
    if selection is None:
        return Worth(train=False, overlap=None)
    if model is None:
        return Worth(train=True, overlap=None)
    trained = store.find(selection.key, model.manifest.inputs.get(str(selection.key), "none"))
    if trained is None:
        return Worth(train=True, overlap=None)
    common = overlap(selection, trained)
    return Worth(train=common < below, overlap=common)


def overlap(left: Artifact, right: Artifact) -> float:
    """Documents that two selections have in common, as a share of the larger one."""
    ids = [
        read_parquet(artifact.file("subset.parquet"), columns=["doc_id"]).get_column("doc_id")
        for artifact in (left, right)
    ]
    return int(ids[0].is_in(ids[1].implode()).sum()) / max(len(ids[0]), len(ids[1]), 1)
