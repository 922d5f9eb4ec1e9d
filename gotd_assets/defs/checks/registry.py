"""Which checks belong to which asset."""

from collections.abc import Mapping

import dagster as dg

from gotd_assets.defs.checks.check import Check
from gotd_assets.defs.checks.documents import CANDIDATES, TARGET
from gotd_assets.defs.checks.drift import SKETCH
from gotd_assets.defs.checks.scores import SCORES
from gotd_assets.defs.checks.selection import SELECTION
from gotd_assets.defs.checks.solve import POTENTIALS
from gotd_assets.defs.checks.training import MODEL
from gotd_assets.defs.checks.vectors import VECTORS

CHECKS: Mapping[str, tuple[Check, ...]] = {
    "raw_candidates": CANDIDATES,
    "candidate_embeddings": VECTORS,
    "target_documents": TARGET,
    "target_embeddings": VECTORS,
    "target_sketch": SKETCH,
    "ot_potentials": POTENTIALS,
    "candidate_scores": SCORES,
    "selected_subset": SELECTION,
    "pre_fine_tuned_model": MODEL,
}


def check_specs(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of `asset`, as its decorator declares them; its station evaluates them."""
    return [
        dg.AssetCheckSpec(check.name, asset=asset, description=check.description, blocking=check.blocking)
        for check in CHECKS[asset.path[-1]]
    ]
