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
from gotd_assets.evaluation.report import AWAY
from gotd_assets.models.comparison import HOW_COMPARED, Difference
from gotd_assets.models.statistics import holm, mean_of, mean_overlap
from gotd_assets.selection.methods.given import given

if TYPE_CHECKING:
    from gotd_assets.comparison.cells import Comparison

_FEW = 10
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
            f"{_counted(comparison.arms, 'method')}, {_counted(comparison.budgets, 'budget')}, "
            f"{_counted(comparison.seeds, 'seed')}: {cells} cells. Each seed draws {comparison.project.settings.comparison.target_share:.0%} of the target's texts, "
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


def answers(comparison: Comparison, results: Results) -> list[str]:
    """What is sure of every target, a sentence each."""
    lines = []
    for target in comparison.targets:
        verdicts = results.verdicts(target, comparison.budgets, [str(arm) for arm in comparison.arms])
        away = comparison.project.settings.target(target).direction == "away"
        told = _sentences(verdicts, comparison, away=away) or ["nothing was trained yet, or nothing is held out"]
        lines += [f"{target}: {line.replace('*', '').replace('`', '')}" for line in told]
    return lines


def _counted(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}" if len(things) == 1 else f"{len(things)} {name}s"


def _target(comparison: Comparison, results: Results, target: str) -> list[str]:
    settings = comparison.project.settings.target(target)
    away = settings.direction == "away"
    lines = [f"## {markdown(target)}", ""]
    if away:
        lines += [AWAY, ""]
    arms = [str(arm) for arm in comparison.arms]
    verdicts = results.verdicts(target, comparison.budgets, arms)
    if target in results.texts:
        guiding, held = results.texts[target]
        few = " So few say little of the task, and draws of them hardly differ." if guiding < _FEW else ""
        lines += [f"{guiding} documents of the target guide each selection, {held} are held out.{few}", ""]
    lines += _verdicts(verdicts, comparison, away=away)
    lines += _plots(comparison, results, target, verdicts)
    for budget in comparison.budgets:
        lines += [f"### Budget {budget}", "", *_budget(comparison, results, target, budget, verdicts)]
    return lines


def _plots(
    comparison: Comparison, results: Results, target: str, verdicts: dict[tuple[int | str, str, str], Difference]
) -> list[str]:
    """Perplexity and transport cost over budgets, and which sources the largest budget comes from."""
    arms = [str(arm) for arm in comparison.arms]
    budgets = [str(budget) for budget in comparison.budgets]
    changes = {
        arm: [
            100 * found.change if (found := verdicts.get((budget, arm, BASE))) is not None else None
            for budget in comparison.budgets
        ]
        for arm in arms
    }
    saved = {
        arm: [
            _value(one.figures.get("transport_saved") for one in results.seeds(target, arm, budget).values())
            for budget in comparison.budgets
        ]
        for arm in arms
    }
    lines: list[str] = []
    for values, label in (
        (changes, "% change of perplexity by budget, mean over seeds; below the line it falls"),
        (saved, "transport cost saved by budget, mean over seeds"),
    ):
        if any(value is not None for line in values.values() for value in line):
            lines += [plots.over_budgets(values, budgets, label), ""]
    return lines


def _verdicts(
    verdicts: dict[tuple[int | str, str, str], Difference], comparison: Comparison, *, away: bool
) -> list[str]:
    """What is sure, in sentences."""
    if not verdicts:
        return ["Nothing was trained yet, or nothing is held out: selections only.", ""]
    sentences = _sentences(verdicts, comparison, away=away)
    return [f"{HOW_COMPARED} {len(verdicts)} comparisons.", "", *(f"- {sentence}" for sentence in sentences), ""]


def _sentences(
    verdicts: dict[tuple[int | str, str, str], Difference], comparison: Comparison, *, away: bool
) -> list[str]:
    lines = []
    for (budget, method, other), found in verdicts.items():
        if found.sure:
            word = "better" if (found.change > 0) == away else "worse"
            than = "the base model" if other == BASE else f"`{other}`"
            lines.append(f"Budget {budget}: `{method}` is **{word}** than {than}: {found}.")
    if verdicts and not lines:
        several = len(comparison.seeds) > 1
        lines = [
            "No difference is beyond chance." if several else "Nothing is sure: one seed says nothing about another."
        ]
    return lines


def _budget(
    comparison: Comparison,
    results: Results,
    target: str,
    budget: int | str,
    verdicts: dict[tuple[int | str, str, str], Difference],
) -> list[str]:
    base = results.bases.get(target)
    arms = [str(arm) for arm in comparison.arms]
    others = [BASE, *arms[:-1]]
    rows = [["base model", "–", "–", "" if base is None else f"{base.perplexity:.2f}", *("" for _ in others)]]
    for method in arms:
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
    for arm in comparison.arms:
        made = list(results.seeds(target, str(arm), budget).values())
        if not made:
            continue
        overlap = mean_overlap([one.doc_ids for one in made])
        total = sum(sum(one.sources.values()) for one in made)
        rows.append(
            [
                str(arm),
                given(arm.method),
                *(f"{sum(one.sources.get(source, 0) for one in made) / total:.1%}" for source in sources),
                _mean((one.figures.get("transport_saved") for one in made), "{:.5f}"),
                _mean((one.figures.get("near_duplicate_share") for one in made), "{:.1%}"),
                _mean((one.figures.get("mean_nearest_distance") for one in made), "{:.3f}"),
                "one seed" if overlap is None else f"{overlap:.0%}",
                _mean((one.figures.get("selection_seconds") for one in made), "{:.1f}"),
                _mean((one.figures.get("training_seconds") for one in made), "{:.1f}"),
            ]
        )
    header = ["method", "is given", *(markdown(source) for source in sources)]
    header += ["transport cost saved", "near-duplicates", "distance to the nearest", "stays with another seed"]
    return markdown_table([*header, "seconds to select", "seconds to train"], rows) if rows else []


def _tasks(comparison: Comparison, results: Results, target: str, budget: int | str) -> list[str]:
    """Labelled tasks and toxicity, where they were measured, with what models gain over the base model."""
    arms = [str(arm) for arm in comparison.arms]
    made = {arm: list(results.seeds(target, arm, budget).values()) for arm in arms}
    names = list(dict.fromkeys(name for of_arm in made.values() for one in of_arm for name in one.measured))
    if not names:
        return []
    base = {
        name: values.mean() for of_arm in made.values() for one in of_arm for name, values in one.measured_base.items()
    }
    gains = {(arm, name): results.gain(target, budget, arm, name) for arm in arms for name in names}
    known = [pair for pair, gain in gains.items() if gain is not None]
    levels = dict(zip(known, holm([gain.p for gain in gains.values() if gain is not None]), strict=True))
    rows = [["base model", *(f"{base[name]:.3f}" for name in names)]]
    for arm in arms:
        cells = []
        for name in names:
            values = [one.measured[name].mean() for one in made[arm] if name in one.measured]
            gain = gains[arm, name]
            told = (
                ""
                if gain is None
                else f" ({gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], p {levels[arm, name]:.2g})"
            )
            cells.append(f"{sum(values) / len(values):.3f}{told}" if values else "")
        rows.append([arm, *cells])
    note = (
        "In brackets the difference from the base model with its 95 % interval over seeds and texts or prompts, p corrected by "
        f"Holm for {len(known)} comparisons at this budget."
    )
    return [*markdown_table(["method", *names], rows), note, ""]


def _value(values: Iterable[float | None]) -> float | None:
    """The mean of what is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


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
