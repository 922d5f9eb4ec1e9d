"""The evaluation report: what was selected, what it is worth, and what training on it did."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from gotd_assets.catalogue.tables import cell, markdown_table
from gotd_assets.evaluation.measures import measures
from gotd_assets.models.comparison import HOW_COMPARED, ONE_SEED, Difference, compare_reports, corrected
from gotd_assets.selection.methods.given import given

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json
    from gotd_assets.models.perplexity import PerplexityReport

_EXAMPLES = 10
_WIDTH = 150
BASE = "base"
# What tables compare with; report.json has every pair.
REFERENCES = (BASE, "random", "dsir", "tapt-c")
AWAY = (
    "This target is one to stay **away** from: a *higher* perplexity on it, and a *higher* transport cost to it, is what was "
    "asked for; a lower one is no success."
)
EQUAL_DOCUMENTS = (
    "Methods had equally many documents, not equally many tokens: one that takes longer documents trained on more. A budget in "
    "tokens (selection.budget: '50k tokens') compares them at equal tokens."
)
NOTHING_HELD_OUT = (
    "Perplexity was not measured: nothing is held out of this target. Give it more texts, a holdout.share above 0, or files "
    "of their own in holdout.path."
)
NOTHING_TRAINED = (
    "Nothing was trained: transport cost tells how much nearer the pool comes to the target with each selection. With "
    "training: {model: FOLDER} in gotd.yaml models are trained on them and measured on held-out text."
)
_FIGURES = {
    "cut_score": "score of the last document",
    "selectable_helping": "candidates that help (calibrated gradient below 0)",
    "selected_helping": "of these selected",
    "mean_gradient": "mean gradient of the selection",
    "mean_nearest_distance": "mean distance to the nearest other (1 − cosine)",
    "near_duplicate_share": "near-duplicates (cosine above .95)",
    "target_clusters_covered": "target clusters served",
    "effective_target_clusters": "effective number of target clusters",
    "bootstrap_overlap": "stays the same under another sample of the target",
    "sketch_overlap": "stays the same with all points of the target instead of its sketch",
}


@dataclasses.dataclass(frozen=True)
class MethodOutcome:
    """One method's part of the report.

    Attributes:
        method: its name.
        subset: the selection, best first (doc_id, text, source, score, nearest_target_text, …).
        worth: before, after, mixing of the transport cost.
        perplexity: of the pre-fine-tuned model on held-out target text; None if nothing is held out.
        training: mlflow_run_id and other facts of the training run; None if the project trains nothing.
        worth_by_mixing: worth for further λ.
        selection: figures of the selection (diversity, budget curve, how many candidates help).
        measures: what else was measured on the model: 'labelled_task', 'toxicity', 'harness' (`measures`).
    """

    method: str
    subset: pl.DataFrame
    worth: Mapping[str, Json]
    perplexity: PerplexityReport | None
    training: Mapping[str, Any] | None
    worth_by_mixing: Sequence[Mapping[str, Json]] = ()
    selection: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    measures: Mapping[str, Json] = dataclasses.field(default_factory=dict)


def write_report(
    target: str,
    pool: Mapping[str, int],
    base: PerplexityReport | None,
    outcomes: Sequence[MethodOutcome],
    out: Path,
    *,
    away: bool = False,
) -> dict[str, Json]:
    """Write report.json and report.md to `out`; return the figures worth comparing across runs.

    Perplexities are compared with each other document by document: their own intervals say how much held-out documents
    differ, which is the same for all models, and may overlap where every document got better.

    Args:
        target: name of the target.
        pool: candidates per source.
        base: perplexity of the base model on the same documents; None if nothing is held out.
        outcomes: one per method, the one of most interest first.
        out: an existing folder.
        away: whether the target is one to stay away from: what is lower is then no better, and the report says so.
    """
    changes = _changes(base, outcomes)
    content: dict[str, Any] = {
        "target": target,
        "direction": "away" if away else "toward",
        "pool": dict(pool),
        "base_perplexity": None if base is None else base.as_summary(),
        "methods": [_outcome(outcome, pool) | {"perplexity_changes": changes[outcome.method]} for outcome in outcomes],
    }
    (out / "report.json").write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
    (out / "report.md").write_text(_markdown(content), encoding="utf-8")
    figures: dict[str, Json] = {} if base is None else {"perplexity_base": base.perplexity}
    for outcome in outcomes:
        name = outcome.method.replace("-", "_")
        if outcome.perplexity is not None:
            figures[f"perplexity_{name}"] = outcome.perplexity.perplexity
        change = compare_reports(outcome.perplexity, base)
        if change is not None:
            figures |= {
                f"perplexity_change_{name}": change.change,
                f"perplexity_change_low_{name}": change.low,
                f"perplexity_change_high_{name}": change.high,
            }
        figures[f"transport_cost_after_{name}"] = outcome.worth["after"]
    return figures


def _changes(base: PerplexityReport | None, outcomes: Sequence[MethodOutcome]) -> dict[str, dict[str, dict[str, Json]]]:
    """How each method's perplexity differs from the base model's and from that after every other, corrected for all pairs."""
    measured = {BASE: base} | {outcome.method: outcome.perplexity for outcome in outcomes}
    found = {
        (ours, theirs): change
        for ours, theirs in itertools.permutations(measured, 2)
        if (change := compare_reports(measured[ours], measured[theirs])) is not None
    }
    pairs = [pair for pair in itertools.combinations(measured, 2) if pair in found]
    levels = corrected([found[pair] for pair in pairs])
    changes: dict[str, dict[str, dict[str, Json]]] = {name: {} for name in measured}
    for (left, right), level in zip(pairs, levels, strict=True):
        for ours, theirs in ((left, right), (right, left)):
            change = found[ours, theirs]
            beside = dataclasses.replace(change, corrected=level.corrected, comparisons=level.comparisons)
            changes[ours][theirs] = beside.as_summary()
    return changes


def _outcome(outcome: MethodOutcome, pool: Mapping[str, int]) -> dict[str, Any]:
    counts = dict(outcome.subset.group_by("source").len().iter_rows())
    columns = ["rank", "score", "source", "doc_id", "text", "nearest_target_text"]
    return {
        "method": outcome.method,
        "documents": outcome.subset.height,
        "worth": dict(outcome.worth),
        "worth_by_mixing": [dict(worth) for worth in outcome.worth_by_mixing],
        "budget_curve": outcome.selection.get("budget_curve", []),
        "figures": {key: outcome.selection[key] for key in _FIGURES if outcome.selection.get(key) is not None},
        "perplexity": None if outcome.perplexity is None else outcome.perplexity.as_summary(),
        "given": given(outcome.method),
        "tokens": None if outcome.training is None else outcome.training.get("tokens"),
        "mlflow_run_id": None if outcome.training is None else outcome.training["mlflow_run_id"],
        "per_source": {source: counts.get(source, 0) for source in pool},
        "measures": dict(outcome.measures),
        "best": outcome.subset.head(_EXAMPLES).select(columns).to_dicts(),
    }


def _markdown(content: Mapping[str, Any]) -> str:
    methods = content["methods"]
    total = sum(content["pool"].values())
    lines = [f"# {content['target']}", "", *([AWAY, ""] if content.get("direction") == "away" else [])]
    lines += markdown_table(
        ["source", "candidates", "share of pool", *(f"share of {m['method']}" for m in methods)],
        [
            [
                source,
                f"{count:,}",
                f"{count / total:.1%}",
                *(f"{m['per_source'][source] / m['documents']:.1%}" for m in methods),
            ]
            for source, count in content["pool"].items()
        ],
    )
    lines += _outcomes(content) if is_trained(content) else _costs(methods)
    for measure in measures(methods):
        lines += [f"## {measure.title}", "", measure.note, "", *markdown_table(measure.header, measure.rows)]
    lines += _evidence(methods)
    for m in methods[:1]:
        lines += [f"## Best documents by {m['method']}", ""]
        lines += markdown_table(
            ["rank", "score", "source", "text", "nearest target example"],
            [
                [
                    str(d["rank"]),
                    f"{d['score']:.4f}",
                    d["source"],
                    cell(d["text"], _WIDTH),
                    cell(d["nearest_target_text"], _WIDTH),
                ]
                for d in m["best"]
            ],
        )
    return "\n".join(lines)


def is_trained(content: Mapping[str, Any]) -> bool:
    """Whether models were trained on the selections of a report."""
    return all(m["mlflow_run_id"] is not None for m in content["methods"])


def _costs(methods: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the selections do to the transport cost, and that no more is known."""
    rows = [["pool", f"{methods[0]['worth']['before']:.5f}"]]
    rows += [[f"with {m['method']} ({m['documents']} documents)", f"{m['worth']['after']:.5f}"] for m in methods]
    return [*markdown_table(["", "transport cost to target"], rows), NOTHING_TRAINED, ""]


def _outcomes(content: Mapping[str, Any]) -> list[str]:
    """What training on the selections did."""
    methods = content["methods"]
    lines = markdown_table(
        [
            "",
            "is given",
            "tokens trained on",
            "transport cost to target",
            "held-out perplexity",
            "95% interval",
            "MLflow run",
        ],
        [
            [
                "pool / base model",
                "",
                "",
                f"{methods[0]['worth']['before']:.5f}",
                *perplexity_cells(content["base_perplexity"]),
                "",
            ],
            *(
                [
                    f"with {m['method']} ({m['documents']} documents)",
                    m["given"],
                    f"{m['tokens']:,}",
                    f"{m['worth']['after']:.5f}",
                    *perplexity_cells(m["perplexity"]),
                    m["mlflow_run_id"],
                ]
                for m in methods
            ),
        ],
    )
    if len({m["tokens"] for m in methods}) > 1:
        lines += [EQUAL_DOCUMENTS, ""]
    return [*lines, *_compared(content["base_perplexity"], methods)]


def _compared(base: Mapping[str, Any] | None, methods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Perplexities against each other, or why there are none."""
    lines = ["## Perplexity, document by document", ""]
    if base is None:
        return [*lines, NOTHING_HELD_OUT, ""]
    references = references_of(methods)
    if not references:
        return [*lines, "One held-out document: differences have no interval. Hold out more.", ""]
    lines += [
        f"{HOW_COMPARED} {ONE_SEED}",
        "",
    ]
    rows = [[m["method"], *(change_cell(m, reference) for reference in references)] for m in methods]
    return lines + markdown_table(["", *(f"against {name_of(reference)}" for reference in references)], rows)


def references_of(methods: Sequence[Mapping[str, Any]]) -> list[str]:
    """What `methods` of a report are compared with in tables."""
    known = {name for m in methods for name in m.get("perplexity_changes", {})}
    return [name for name in REFERENCES if name in known]


def name_of(reference: str) -> str:
    """A reference's name for people."""
    return "the base model" if reference == BASE else reference


def change_cell(method: Mapping[str, Any], reference: str) -> str:
    """How a method of a report compares with `reference`, as text; empty with itself."""
    change = method["perplexity_changes"].get(reference)
    return "" if change is None else str(Difference(**change))


def perplexity_cells(figures: Mapping[str, Any] | None) -> list[str]:
    """A perplexity of a report and its interval, as text."""
    if figures is None:
        return ["not measured", ""]
    low, high = figures["perplexity_low"], figures["perplexity_high"]
    return [f"{figures['perplexity']:.2f}", "one document" if low is None else f"{low:.2f} – {high:.2f}"]


def _evidence(methods: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the selections are worth before any training: transport cost by λ, diversity, stability."""
    lines = ["## Before any training", ""]
    by_mixing = {worth["mixing"]: None for m in methods for worth in m["worth_by_mixing"]}
    if by_mixing:
        after = {(m["method"], worth["mixing"]): worth["after"] for m in methods for worth in m["worth_by_mixing"]}
        before = methods[0]["worth"]["before"]
        lines += [f"OT cost from λ·selection + (1−λ)·pool to the target; from the pool alone it is {before:.5f}.", ""]
        rows = [[f"{mixing:g}", *(f"{after[m['method'], mixing]:.5f}" for m in methods)] for mixing in by_mixing]
        lines += markdown_table(["λ", *(m["method"] for m in methods)], rows)
    rows = [
        [label, *(_figure(m["figures"].get(key)) for m in methods)]
        for key, label in _FIGURES.items()
        if any(key in m["figures"] for m in methods)
    ]
    return lines + markdown_table(["", *(m["method"] for m in methods)], rows) if rows or by_mixing else []


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
