"""What was measured on models beside perplexity, for reports: labelled tasks, toxicity, the harness."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gotd_assets.evaluation.task_table import accuracy_gained, labels_saved

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json

_TASK = (
    "From the pre-fine-tuned model's weights and from the base model's, on the same labels. Gains are over seeds and test "
    "texts, p corrected by Holm for the numbers of labels; labels saved are below zero where more are needed."
)
_TOXICITY = "Means over prompts of the worst continuation, and of whether one is toxic; paired by prompt."
_HARNESS = "The same items for both models; the interval is over items."


@dataclasses.dataclass(frozen=True)
class Measure:
    """One table of a report.

    Attributes:
        title: what was measured.
        note: how to read it.
        header: of the columns.
        rows: cells, row by row.
    """

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def of_task(content: Mapping[str, Any]) -> dict[str, Json]:
    """What a report keeps of `task.json`: scores by way and number of labels, and those without labels."""
    means: dict[str, dict[str, dict[str, list[float]]]] = {}
    for model in ("base", "trained"):
        for point in content[model]["curve"]:
            by_size = means.setdefault(point["way"], {}).setdefault(str(point["labels"]), {})
            by_size.setdefault(model, []).append(point["accuracy"])
    ways = [
        {
            "way": way,
            "labels": int(size),
            **{model: sum(scores) / len(scores) for model, scores in by_model.items()},
            "gained": accuracy_gained(content, way, int(size)),
            "labels_saved": labels_saved(content, way, int(size)),
        }
        for way, by_size in means.items()
        for size, by_model in sorted(by_size.items(), key=lambda pair: int(pair[0]))
    ]
    without = {model: content[model]["without_labels"] for model in ("base", "trained")}
    known = all(scores is not None for scores in without.values())
    zero_shot = {model: scores["accuracy"] for model, scores in without.items()} if known else None
    return {"test_documents": content["test_documents"], "points": ways, "zero_shot": zero_shot}


def of_toxicity(content: Mapping[str, Any]) -> dict[str, Json]:
    """What a report keeps of `detoxification.json`."""
    return {name: content[name] for name in ("prompts", "base", "trained", "change", "neutral")}


def of_harness(compared: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
    """What a report keeps of the harness: both models by task and metric."""
    return {"compared": [dict(row) for row in compared]}


def measures(methods: Sequence[Mapping[str, Any]]) -> list[Measure]:
    """The tables of a report whose `methods` have `measures`; none of what was not measured."""
    found = [
        (method["method"], kind, content)
        for method in methods
        for kind, content in method.get("measures", {}).items()
        if content is not None
    ]
    tables = {
        "labelled_task": ("A labelled task", _TASK, _TASK_HEADER, _task_rows),
        "toxicity": ("Toxicity of what the model writes", _TOXICITY, _TOXICITY_HEADER, _toxicity_rows),
        "harness": ("Tasks of the lm-evaluation-harness", _HARNESS, _HARNESS_HEADER, _harness_rows),
    }
    return [
        Measure(
            title,
            note,
            header,
            [row for method, which, content in found if which == kind for row in rows(method, content)],
        )
        for kind, (title, note, header, rows) in tables.items()
        if any(which == kind for _, which, _ in found)
    ]


_TASK_HEADER = ("trained on", "labels", "way", "accuracy, base model", "accuracy", "gained, points", "labels saved")
_TOXICITY_HEADER = ("trained on", "prompts", "figure", "base model", "after", "change")
_HARNESS_HEADER = ("trained on", "task", "metric", "items", "base model", "after", "gained")


def _task_rows(method: str, content: Mapping[str, Any]) -> list[list[str]]:
    zero = content["zero_shot"]
    rows = (
        [] if zero is None else [[method, "none", "zero-shot", f"{zero['base']:.3f}", f"{zero['trained']:.3f}", "", ""]]
    )
    return rows + [
        [
            method,
            str(point["labels"]),
            point["way"],
            f"{point['base']:.3f}",
            f"{point['trained']:.3f}",
            point["gained"],
            point["labels_saved"],
        ]
        for point in content["points"]
    ]


def _toxicity_rows(method: str, content: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for kind, before in content["base"].items():
        after = content["trained"][kind]
        prompts = f"{kind} ({content['prompts'][kind]})"
        change = content["change"].get(kind)
        told = "" if change is None else _interval(change, "change", "{:+.3f}")
        for name, label, beside in (
            ("expected_maximum_toxicity", "expected maximum toxicity", told),
            ("toxicity_probability", "toxicity probability", ""),
        ):
            rows.append([method, prompts, label, f"{before[name]:.3f}", f"{after[name]:.3f}", beside])
    neutral = content["neutral"]
    if neutral["base"] is not None and neutral["trained"] is not None:
        change = neutral["change"]
        told = "" if change is None else _interval(change, "change", "{:+.1%}")
        cells = [f"{neutral[model]['perplexity']:.2f}" for model in ("base", "trained")]
        rows.append([method, "neutral text", "perplexity", *cells, told])
    return rows


def _harness_rows(method: str, content: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            method,
            row["task"],
            row["metric"],
            str(row["items"]),
            f"{row['base']:.3f}",
            f"{row['trained']:.3f}",
            "one item" if row["low"] is None else _interval(row, "gain", "{:+.3f}"),
        ]
        for row in content["compared"]
    ]


def _interval(figures: Mapping[str, Any], name: str, form: str) -> str:
    value, low, high = (form.format(figures[key]) for key in (name, "low", "high"))
    return f"{value} [{low}, {high}], p {figures['p']:.2g}"
