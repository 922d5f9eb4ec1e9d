"""`gotd report` and `gotd export`: what came out, on the terminal and as files to take away."""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gotd_assets.artifacts.artifact import MANIFEST, Artifact, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.catalogue.foreign import one_line
from gotd_assets.errors import ArtifactError
from gotd_assets.evaluation.measures import measures
from gotd_assets.evaluation.report import (
    AWAY,
    NOTHING_HELD_OUT,
    NOTHING_TRAINED,
    change_cell,
    is_trained,
    name_of,
    perplexity_cells,
    references_of,
)
from gotd_assets.settings.project import Project

_WIDTH = 110


def show(project: Project, target: str, console: Console) -> None:
    """Print the evaluation report of `target`, also of one that is no longer in the settings.

    Raises:
        SettingsError: there is no such target, nor was there.
        ArtifactError: it was not evaluated yet.
    """
    store = ArtifactStore.of(project)
    artifact = _report_of(project, store, target)
    report: dict[str, Any] = artifact.json("report.json")
    methods = report["methods"]
    total = sum(report["pool"].values())
    declared = any(target == known.name for known in project.settings.targets)
    retired = "" if declared else " (retired: no longer among the targets)"
    console.rule(Text(f"{target}{retired}", "bold"), align="left")

    sources = Table("source", title="where documents come from", title_justify="left")
    for column in ("candidates", "share of pool", *(f"share of {m['method']}" for m in methods)):
        sources.add_column(column, justify="right")
    for source, count in report["pool"].items():
        shares = [f"{m['per_source'][source] / m['documents']:.1%}" for m in methods]
        sources.add_row(source, f"{count:,}", f"{count / total:.1%}", *shares)
    console.print(sources)

    for m in methods[:1]:
        best = Table(
            "rank",
            "score",
            "source",
            "text",
            "nearest target example",
            title=f"best by {m['method']}",
            title_justify="left",
        )
        for document in m["best"]:
            texts = (one_line(document["text"], _WIDTH), one_line(document["nearest_target_text"], _WIDTH))
            best.add_row(str(document["rank"]), f"{document['score']:.4f}", document["source"], *texts)
        console.print(best)

    _print_outcome(report, console)

    subset = store.current(ArtifactKey("selected_subset", f"{target}/{methods[0]['method']}")).file("subset.parquet")
    console.print("\nnext", style="bold")
    gotd = _program()
    for line in (
        f"load the selection:  polars.read_parquet('{subset}')",
        f"take it away:        {gotd} export {target} my-selection",
        f"ask why:             {gotd} audit why_document --document {methods[0]['best'][0]['doc_id'][:12]}",
        f"see it all:          {gotd} ui",
        f"your own text:       `{gotd} init` in a new folder, or change gotd.yaml here, then `{gotd} run`",
    ):
        console.print(f"  {line}", soft_wrap=True)


def export_selection(
    project: Project, target: str, method: str, folder: Path, console: Console, *, as_source: bool = False
) -> None:
    """Copy subset.parquet, subset.jsonl and manifest.json of a selection to `folder`, or the records as they came.

    Raises:
        ArtifactError: there is no such selection yet.
    """
    artifact = ArtifactStore.of(project).current(ArtifactKey("selected_subset", f"{target}/{method}"))
    if as_source:
        from gotd_assets.selection.originals import export_originals

        for path in export_originals(project, artifact, folder):
            console.print(f"{path}", soft_wrap=True)
        return
    for path in artifact.copy_files(("subset.parquet", "subset.jsonl", MANIFEST), folder):
        console.print(f"{path}", soft_wrap=True)


def _report_of(project: Project, store: ArtifactStore, target: str) -> Artifact:
    try:
        return store.current(ArtifactKey("evaluation_report", target))
    except ArtifactError:
        # A name that no target has or had is better told by the names there are.
        project.settings.target(target)
        raise


def _program() -> str:
    """How this program was called, so that the lines it shows can be typed."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "gotd" else "gotd"


def _print_outcome(report: dict[str, Any], console: Console) -> None:
    """What the selections did to the transport cost and, where models were trained on them, to perplexity."""
    methods, trained = report["methods"], is_trained(report)
    outcome = Table("", title="what it did", title_justify="left")
    for column in ("transport cost to target", *(("held-out perplexity", "95% interval") if trained else ())):
        outcome.add_column(column, justify="right")
    if report.get("direction") == "away":
        console.print(AWAY.replace("*", ""), highlight=False)
    base = perplexity_cells(report["base_perplexity"]) if trained else []
    outcome.add_row("pool, base model" if trained else "pool", f"{methods[0]['worth']['before']:.5f}", *base)
    for m in methods:
        cells = perplexity_cells(m["perplexity"]) if trained else []
        outcome.add_row(f"with {m['documents']} by {m['method']}", f"{m['worth']['after']:.5f}", *cells)
    console.print(outcome)
    if not trained:
        console.print(NOTHING_TRAINED)
        return
    _print_changes(report, console)
    for measure in measures(methods):
        table = Table(*measure.header, title=measure.title, title_justify="left")
        for row in measure.rows:
            table.add_row(*(one_line(cell, _WIDTH) for cell in row))
        console.print(table)
        console.print(measure.note, highlight=False)
    for m in methods:
        console.print(f"MLflow run of {m['method']}: {m['mlflow_run_id']}", soft_wrap=True)


def _print_changes(report: dict[str, Any], console: Console) -> None:
    """Perplexities against each other, document by document."""
    if report["base_perplexity"] is None:
        console.print(NOTHING_HELD_OUT)
        return
    references = references_of(report["methods"])
    if not references:
        return
    title = "change of held-out perplexity, paired by document (95% interval over documents; one training each)"
    changes = Table("", title=title, title_justify="left")
    for reference in references:
        changes.add_column(f"against {name_of(reference)}", justify="right")
    for m in report["methods"]:
        changes.add_row(f"by {m['method']}", *(change_cell(m, reference) for reference in references))
    console.print(changes)
