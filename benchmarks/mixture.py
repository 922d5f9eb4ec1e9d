"""What methods make of a target that is half common and half rare in the pool: python -m benchmarks.mixture.

Text and encoder of the demonstration: half of the target is news (about half of the pool), half film reviews (a tenth).
Selections are made by the project's own stations; beside them stand the transport costs of a selection in the target's
proportions, made of the best of either half.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.catalogue.tables import markdown_table
from gotd_assets.demo.data import prepare
from gotd_assets.selection.analysis.worth import worth_of
from gotd_assets.selection.pool.pool import Pool
from gotd_assets.selection.transport_problem import problem_of
from gotd_assets.settings.project import Project, Settings
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.workshop import Workshop
from gotd_assets.transport import Potentials

COMMON, RARE = "news", "reviews"
_TARGET_TEXTS = {COMMON: 15, RARE: 10}
_DOCUMENTS = 60


def project_of(home: Path) -> Project:
    """A project below `home` with three targets: the mixture, and either half alone; files are written if missing."""
    folder = home / "mixture"
    demo = home / "demo"
    prepare(demo, print)
    sources = sorted(path.stem for path in (demo / "data" / "pool").glob("*.jsonl"))
    for name in sources:
        lines = (demo / "data" / "pool" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        apart = _TARGET_TEXTS.get(name, 0)
        _write(folder / "pool" / f"{name}.jsonl", lines[apart:])
        if apart:
            _write(folder / f"{name}.jsonl", lines[:apart])
    settings = Settings.model_validate(
        {
            "home": str(folder / "home"),
            "sources": [{"name": name, "path": str(folder / "pool" / f"{name}.jsonl")} for name in sources],
            "targets": [
                {"name": "mixture", "path": [str(folder / f"{half}.jsonl") for half in (COMMON, RARE)]},
                *({"name": half, "path": str(folder / f"{half}.jsonl")} for half in (COMMON, RARE)),
            ],
            "preparation": {"strip_html": True, "chunk_by": "characters", "chunk_size": 300, "min_chars": 60},
            "encoder": {"model": str(demo / "models" / "minilm")},
            "selection": {"budget": 100, "methods": ["gotd", "gotd-rounds"], "stability_resamples": 0},
        }
    )
    return Project.of(settings, folder)


def _write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")


class Mixture:
    """Selections of the mixture, and what they do."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._workshop = Workshop(project)
        names = [target.name for target in project.settings.targets]
        for stage in GRAPH.stages(project.settings, names, lambda station: station.group != "evaluation"):
            self._workshop.run(stage)
        self._store = ArtifactStore.of(project)
        embeddings = {
            source.name: self._read("candidate_embeddings", source.name) for source in project.settings.sources
        }
        self._pool = Pool.of(embeddings, self._read("candidate_pool", None))
        self._potentials = Potentials.load(
            self._read("ot_potentials", "mixture").file("potentials.safetensors"),
            problem_of(project.settings.transport),
        )

    def _read(self, asset: str, partition: str | None) -> Artifact:
        return self._store.current(ArtifactKey(asset, partition))

    def chosen(self, target: str, method: str, budget: int, mixing: float) -> pl.DataFrame:
        """doc_id and source of a selection."""
        overrides = {"selection.budget": budget, "selection.mixing": mixing}
        made = self._workshop.make("selected_subset", Partition(target=target, method=method), overrides)
        return read_parquet(made.artifact.file("subset.parquet"), ["doc_id", "source"])

    def in_proportion(self, budget: int) -> pl.DataFrame:
        """Half of the budget from the best of either half."""
        halves = [self.chosen(half, "gotd", budget // 2, 0.2) for half in (COMMON, RARE)]
        return pl.concat(halves).unique("doc_id", keep="first", maintain_order=True)

    def row(self, name: str, chosen: pl.DataFrame, budget: int, mixing: float) -> list[str]:
        """Shares of both halves, and the transport cost that is saved at λ."""
        worth = worth_of(chosen["doc_id"], self._pool, self._potentials, mixing)
        shares = [float((chosen["source"] == half).sum()) / chosen.height for half in (COMMON, RARE)]
        return [
            name,
            f"{mixing:g}",
            str(budget),
            *(f"{share:.0%}" for share in shares),
            f"{worth.before - worth.after:.4f}",
        ]

    def pool_shares(self) -> dict[str, float]:
        """Share of either half in the pool."""
        sources = self._pool.doc_ids()["source"]
        return {half: float((sources == half).sum()) / len(sources) for half in (COMMON, RARE)}


def main() -> None:
    """Print the table; with --json it is written, too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".gotd"), help="folder for text, models and artifacts")
    parser.add_argument("--budgets", type=int, nargs="+", default=[20, 100, 200])
    parser.add_argument("--mixings", type=float, nargs="+", default=[0.05, 0.2, 0.5, 0.9])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    mixture = Mixture(project_of(asked.home.resolve()))
    rows = []
    for budget in asked.budgets:
        for mixing in asked.mixings:
            for method in ("gotd", "gotd-rounds"):
                rows.append(mixture.row(method, mixture.chosen("mixture", method, budget, mixing), budget, mixing))
            rows.append(mixture.row("in the target's proportions", mixture.in_proportion(budget), budget, mixing))
    print({half: f"{share:.1%} of the pool" for half, share in mixture.pool_shares().items()})
    print("\n".join(markdown_table(["method", "λ", "budget", COMMON, RARE, "transport cost saved"], rows)))
    if asked.json is not None:
        asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
