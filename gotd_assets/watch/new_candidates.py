"""Whether candidates that came or went since a target was scored can change its selection."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.watch.current import current_artifact

if TYPE_CHECKING:
    import polars as pl

    from gotd_assets.selection.pool.pool import Pool
    from gotd_assets.settings.transport import TransportSettings
    from gotd_assets.transport import Potentials


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What new and vanished candidates mean for one target.

    Attributes:
        changes: whether the selection can change.
        reason: a sentence for people.
    """

    changes: bool
    reason: str


def judge(
    store: ArtifactStore,
    target: str,
    sources: Sequence[str],
    methods: Sequence[str],
    *,
    transport: TransportSettings,
    direction: str = "toward",
) -> Verdict:
    """Compare the current pool with the one that `target` was scored on.

    A candidate that came can change a selection if its gradient under the current potentials is better than the worst
    selected one's (potentials move little with a few new candidates, so this is the test that costs no solve); one
    that went changes it if it was selected. Methods that do not rank by gradient are not asked, unless there are no
    others: then any new candidate counts.

    Args:
        store: of the project.
        target: name of the target.
        sources: names of all sources, in the order of the pool.
        methods: that select for the target.
        transport: settings by which gradients are computed.
        direction: of the target, 'toward' or 'away'.

    Raises:
        TransportError: `transport.device` is not one of this machine.
    """
    scores = current_artifact(store, ArtifactKey("candidate_scores", target))
    potentials = current_artifact(store, ArtifactKey("ot_potentials", target))
    from gotd_assets.selection.methods import method_named

    by_gradient = [method for method in methods if method_named(method).gradient is not None]
    found = {
        method: current_artifact(store, ArtifactKey("selected_subset", f"{target}/{method}")) for method in methods
    }
    subsets = {method: artifact for method, artifact in found.items() if artifact is not None}
    if scores is None or potentials is None or not subsets:
        return Verdict(changes=False, reason="nothing was selected for this target yet")

    from gotd_assets.selection.pool.pool import Pool

    pool = Pool.open(
        {name: store.current(ArtifactKey("candidate_embeddings", name)).path for name in sources},
        store.current(ArtifactKey("candidate_pool")).file("left_out.parquet"),
    )
    scored = read_parquet(scores.file("scores.parquet"), columns=["doc_id", "score"])
    now = pool.doc_ids().get_column("doc_id")
    members = {
        method: read_parquet(subset.file("subset.parquet"), columns=["doc_id"]) for method, subset in subsets.items()
    }
    for method, chosen in members.items():
        gone = int((~chosen.get_column("doc_id").is_in(now.implode())).sum())
        if gone:
            return Verdict(
                changes=True, reason=f"{gone:,} of the documents selected by {method} are no longer in the pool"
            )
    new = now.filter(~now.is_in(scored.get_column("doc_id").implode()))
    if not len(new):
        return Verdict(changes=False, reason="no candidate is new")
    if not any(method in members for method in by_gradient):
        return Verdict(changes=True, reason=f"{len(new):,} candidates are new, and no method ranks by gradient")
    from gotd_assets.selection.transport_problem import problem_of
    from gotd_assets.transport import Potentials

    solved = Potentials.load(potentials.file("potentials.safetensors"), problem_of(transport))
    gradient = _gradients(pool, new, solved)
    for method in by_gradient:
        if method not in members:
            continue
        side = -1.0 if direction == "away" or method == "gotd-away" else 1.0
        worst = float((members[method].join(scored, on="doc_id").get_column("score") * side).to_numpy().max())
        entering = int((gradient * side < worst).sum())
        if entering:
            return Verdict(
                changes=True,
                reason=f"{entering:,} of {len(new):,} new candidates score better than the last one selected by {method}",
            )
    return Verdict(changes=False, reason=f"none of {len(new):,} new candidates scores well enough to be selected")


def _gradients(pool: Pool, doc_ids: pl.Series, potentials: Potentials) -> pl.Series:
    """Scores of `doc_ids` under `potentials`, shard by shard of `pool`."""
    import polars as pl

    parts = []
    for shard in pool:
        rows = shard.doc_ids.is_in(doc_ids.implode()).arg_true().to_numpy()
        if len(rows):
            parts.append(pl.Series("score", potentials.scores(shard.vectors[rows]).double().cpu().numpy()))
    return pl.concat(parts)
