"""Whether a selection was made from scores of other targets that are stale now."""

from __future__ import annotations

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.watch.current import current_artifact

_SCORES = "candidate_scores"


def reads_stale_scores(store: ArtifactStore, partition: str) -> bool:
    """Whether the current selection of `partition` ('target/method') read scores of another target made anew since.

    That target is the one to stay away from, or one that shares the budget. The selection's own scores are not looked
    at: they lead to a new selection by themselves.
    """
    selection = current_artifact(store, ArtifactKey("selected_subset", partition))
    if selection is None:
        return False
    own = str(ArtifactKey(_SCORES, partition.split("/", maxsplit=1)[0]))
    for name, version in selection.manifest.inputs.items():
        if name.startswith(f"{_SCORES}[") and name != own:
            newest = current_artifact(store, ArtifactKey(_SCORES, name.removeprefix(f"{_SCORES}[").removesuffix("]")))
            if newest is not None and newest.version != version:
                return True
    return False
