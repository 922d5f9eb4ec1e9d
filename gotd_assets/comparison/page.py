"""A comparison's page, in Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.catalogue import plots
from gotd_assets.catalogue.foreign import markdown
from gotd_assets.catalogue.tables import markdown_table
from gotd_assets.comparison.results import BASE, Results
from gotd_assets.models.comparison import HOW_COMPARED, Difference
from gotd_assets.models.statistics import mean_of, mean_overlap

if TYPE_CHECKING:
    from gotd_assets.comparison.cells import Comparison

_GIVEN = {
    "random": "nothing",
    "all-domains": "which source each document is of",
    "dapt": "which source each document is of, and vectors",
    "dsir": "words of the target's texts",
    "rtp": "a classifier of toxicity, no target",
}
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
    "td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:left}"
)


def write_page(comparison: Comparison, results: Results, failures: Sequence[str], folder: Path) -> tuple[Path, Path]:
    """Write comparison.md and comparison.html to `folder`, made if missing; returns both."""
    lines = page(comparison, results, failures)
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "comparison.md", folder / "comparison.html"
    text = "\n".join(lines)
    write_atomically(files[0], text)
    write_atomically(files[1], _html(text))
    return files


def page(comparison: Comparison, results: Results, failures: Sequence[str]) -> list[str]:
    """The page, in lines of Markdown."""
    cells = len(comparison.cells)
    lines = [
        "# Comparison",
        "",
        (
            f"{len(comparison.methods)} methods, {len(comparison.budgets)} budgets, {len(comparison.seeds)} seeds: {cells} cells "
            f"of every method. Each seed draws {comparison.project.settings.comparison.target_share:.0%} of the target's texts, "
            "what methods draw, and the order of training; held-out texts are the same for all."
        ),
        "",
        *(f"- {remark}" for remark in comparison.remarks),
        *(f"- Left out: {markdown(failure)}" for failure in failures),
        "",
    ]
    for target in comparison.targets:
        lines += _target(comparison, results, target)
    return lines


def _target(comparison: Comparison, results: Results, target: str) -> list[str]:
    settings = comparison.project.settings.target(target)
    away = settings.direction == "away"
    lines = [f"## {markdown(target)}", ""]
    if away:
        lines += [
            (
                "This target is one to stay **away** from: a *higher* perplexity on it is what was asked for, and a lower one no "
                "success."
            ),
            "",
        ]
    verdicts = results.verdicts(target, comparison.budgets, comparison.methods)
    lines += _verdicts(verdicts, comparison, away=away)
    changes = {
        method: [
            100 * found.change if (found := verdicts.get((budget, method, BASE))) is not None else None
            for budget in comparison.budgets
        ]
        for method in comparison.methods
    }
    if any(value is not None for line in changes.values() for value in line):
        budgets = [str(budget) for budget in comparison.budgets]
        lines += [plots.over_budgets(changes, budgets, "% change of perplexity over budgets"), ""]
    for budget in comparison.budgets:
        lines += [f"### Budget {budget}", "", *_budget(comparison, results, target, budget, verdicts)]
    return lines


def _verdicts(
    verdicts: dict[tuple[int | str, str, str], Difference], comparison: Comparison, *, away: bool
) -> list[str]:
    """What is sure, in sentences."""
    if not verdicts:
        return ["Nothing was trained yet, or nothing is held out: selections only.", ""]
    lines = [f"{HOW_COMPARED} {len(verdicts)} comparisons.", ""]
    for (budget, method, other), found in verdicts.items():
        if found.sure:
            word = "better" if (found.change > 0) == away else "worse"
            than = "the base model" if other == BASE else f"`{other}`"
            lines.append(f"- Budget {budget}: `{method}` is **{word}** than {than}: {found}.")
    if lines[-1] == "":
        several = len(comparison.seeds) > 1
        lines.append(
            "- No difference is beyond chance."
            if several
            else "- Nothing is sure: one seed says nothing about another."
        )
    return [*lines, ""]


def _budget(
    comparison: Comparison,
    results: Results,
    target: str,
    budget: int | str,
    verdicts: dict[tuple[int | str, str, str], Difference],
) -> list[str]:
    base = results.bases.get(target)
    others = [BASE, *comparison.methods[:-1]]
    rows = [["base model", "–", "–", "" if base is None else f"{base.perplexity:.2f}", *("" for _ in others)]]
    for method in comparison.methods:
        made = list(results.seeds(target, method, budget).values())
        if not made:
            rows.append([method, "not made", "", "", *("" for _ in others)])
            continue
        perplexities = [one.perplexity.perplexity for one in made if one.perplexity is not None]
        rows.append(
            [
                method,
                f"{sum(len(one.doc_ids) for one in made) / len(made):,.0f}",
                _mean((one.figures.get("tokens") for one in made), "{:,.0f}"),
                _mean(perplexities, "{:.2f}"),
                *(str(verdicts.get((budget, method, other), "")) for other in others),
            ]
        )
    header = ["method", "documents", "tokens trained on", "perplexity"]
    header += [f"against {'the base model' if other == BASE else other}" for other in others]
    lines = markdown_table(header, rows)
    lines += _selections(comparison, results, target, budget)
    return [*lines, *_tasks(comparison, results, target, budget)]


def _selections(comparison: Comparison, results: Results, target: str, budget: int | str) -> list[str]:
    """Composition by source, likeness, stability and cost of every method."""
    rows, sources = [], sorted({s for made in results.made.values() for s in made.sources})
    for method in comparison.methods:
        made = list(results.seeds(target, method, budget).values())
        if not made:
            continue
        overlap = mean_overlap([one.doc_ids for one in made])
        total = sum(sum(one.sources.values()) for one in made)
        rows.append(
            [
                method,
                _GIVEN.get(method, "vectors of the target's texts"),
                *(f"{sum(one.sources.get(source, 0) for one in made) / total:.1%}" for source in sources),
                _mean((one.figures.get("mean_gradient") for one in made), "{:.4f}"),
                _mean((one.figures.get("near_duplicate_share") for one in made), "{:.1%}"),
                _mean((one.figures.get("mean_nearest_distance") for one in made), "{:.3f}"),
                "one seed" if overlap is None else f"{overlap:.0%}",
                _mean((one.figures.get("selection_seconds") for one in made), "{:.1f}"),
                _mean((one.figures.get("training_seconds") for one in made), "{:.1f}"),
            ]
        )
    header = ["method", "is given", *(markdown(source) for source in sources)]
    header += ["mean gradient", "near-duplicates", "distance to the nearest", "stays with another seed"]
    return markdown_table([*header, "seconds to select", "seconds to train"], rows) if rows else []


def _tasks(comparison: Comparison, results: Results, target: str, budget: int | str) -> list[str]:
    """Labelled tasks and toxicity, where they were measured."""
    by_method = {method: list(results.seeds(target, method, budget).values()) for method in comparison.methods}
    sizes = sorted({size for made in by_method.values() for one in made for size in one.accuracy})
    has_toxicity = any(one.toxicity is not None for made in by_method.values() for one in made)
    if not sizes and not has_toxicity:
        return []
    header = ["method", *(f"accuracy, {size} labels" for size in sizes)]
    header += ["expected maximum toxicity"] if has_toxicity else []
    rows = [
        [
            method,
            *(_mean((one.accuracy.get(size) for one in made), "{:.3f}") for size in sizes),
            *([_mean((one.toxicity for one in made), "{:.3f}")] if has_toxicity else []),
        ]
        for method, made in by_method.items()
    ]
    return markdown_table(header, rows)


def _mean(values: Iterable[float | None], form: str) -> str:
    """A mean over seeds and half its interval; empty if there is no value."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    mean = mean_of(known)
    return form.format(mean.value) + ("" if mean.half_width is None else f" ± {form.format(mean.half_width)}")


def _html(text: str) -> str:
    from markdown_it import MarkdownIt

    # Pictures are drawn by us; of everything else raw HTML stays text.
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.validateLink = lambda url: url.startswith("data:image/svg+xml,")  # type: ignore[method-assign]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Comparison</title>'
        f"<style>{_STYLE}</style></head><body>{reader.render(text)}</body></html>\n"
    )
