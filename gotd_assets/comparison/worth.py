"""How much nearer the pool comes to the target with each selection of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.comparison.results import found

if TYPE_CHECKING:
    from gotd_assets.comparison.cells import Cell, Comparison
    from gotd_assets.comparison.ledger import Ledger


def measure_worth(comparison: Comparison, cell: Cell, ledger: Ledger) -> None:
    """Solve for the transport cost that each selection of `cell` saves at λ `selection.mixing`, and keep it.

    On the vectors of the cell: of arms with other vectors costs are not comparable.
    """
    from gotd_assets.selection.analysis.worth import worth_of
    from gotd_assets.selection.pool.pool import Pool
    from gotd_assets.selection.transport_problem import problem_of
    from gotd_assets.transport import Potentials

    project = comparison.project_of(cell)
    settings, store = project.settings, ArtifactStore.of(project)
    selections = [found(store, cell, "selected_subset", arm.method) for arm in comparison.arms_of(cell)]
    missing = [one for one in selections if one is not None and ledger.get(one.version, "transport_saved") is None]
    potentials = found(store, cell, "ot_potentials")
    if not missing or potentials is None:
        return
    pool = _read(store, cell, "candidate_pool", None)
    embeddings = {source.name: _read(store, cell, "candidate_embeddings", source.name) for source in settings.sources}
    candidates = Pool.of(embeddings, pool)
    solved = Potentials.load(potentials.file("potentials.safetensors"), problem_of(settings.transport))
    for selection in missing:
        chosen = read_parquet(selection.file("subset.parquet"), ["doc_id"]).get_column("doc_id")
        worth = worth_of(chosen, candidates, solved, settings.selection.mixing)
        ledger.put(selection.version, "transport_saved", worth.before - worth.after)


def _read(store: ArtifactStore, cell: Cell, asset: str, partition: str | None) -> Artifact:
    return store.current(ArtifactKey(asset, partition), cell.run_id)
