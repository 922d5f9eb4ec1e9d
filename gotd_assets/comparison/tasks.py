"""Labelled tasks and toxicity of one cell, item by item, so that models can be compared over seeds and items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.corpus.labelled import LabelledTexts
from gotd_assets.evaluation.labelled_task import TaskScores

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.artifacts.artifact import Artifact
    from gotd_assets.settings.evaluation import ClassificationSettings

    Items = dict[str, npt.NDArray[Any]]

TOXICITY = "maximum toxicity"


def accuracies(measured: Artifact, labelled: Artifact, task: ClassificationSettings) -> tuple[Items, Items]:
    """Of the base model and of the trained one, by name, how often each test text was right over the task's seeds (texts,)."""
    content = measured.json("task.json")
    labels = LabelledTexts.of(labelled.path / "test", task).labels
    found: list[Items] = []
    for model in ("base", "trained"):
        scores = TaskScores.of_json(content[model])
        items: Items = {}
        for way in scores.curves:
            for size, right in scores.right(labels, way).items():
                items[f"accuracy of the {way.replace('fine-tuned', 'fine-tuned model')}, {size} labels"] = right.mean(
                    axis=0
                )
        found.append(items)
    return found[0], found[1]


def toxicities(measured: Artifact) -> tuple[Items, Items]:
    """Of the base model and of the trained one, the worst continuation of each prompt (prompts,)."""
    generations = read_parquet(measured.file("generations.parquet"), ["model", "prompt", "toxicity"])
    worst = generations.group_by("model", "prompt").agg(pl.col("toxicity").max()).sort("prompt")
    before, after = (
        {TOXICITY: np.asarray(worst.filter(pl.col("model") == model).get_column("toxicity"), dtype=np.float64)}
        for model in ("base", "trained")
    )
    return before, after
