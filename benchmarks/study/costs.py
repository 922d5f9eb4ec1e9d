"""What a selection of a study took, with the work it shares with others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.comparison.results import found
from gotd_assets.selection.methods import method_named

if TYPE_CHECKING:
    from gotd_assets.artifacts.store import ArtifactStore
    from gotd_assets.comparison.cells import Cell
    from gotd_assets.comparison.ledger import Ledger

_SOLVE = ("target_sketch", "ot_potentials", "candidate_scores")
_RELEVANCE = ("target_sketch", "domain_relevance")


def seconds_of(store: ArtifactStore, ledger: Ledger, cell: Cell, method: str) -> float | None:
    """Seconds by the clock of a selection and of what its method is made of, without embedding; None if they are not known."""
    made_of = {asset for asset, _ in method_named(method).made_of}
    shared = _SOLVE if made_of & {"candidate_scores", "ot_potentials"} else ()
    if "domain_relevance" in made_of:
        shared = (*shared, *_RELEVANCE)
    artifacts = [found(store, cell, "selected_subset", method), *(found(store, cell, name) for name in {*shared})]
    took = [None if artifact is None else ledger.get(artifact.version, "seconds") for artifact in artifacts]
    known = [seconds for seconds in took if seconds is not None]
    return sum(known) if len(known) == len(took) else None
