"""What the projects measured, as plain numbers: read from the artifacts of their comparisons."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.comparison.cells import Comparison
from gotd_assets.comparison.results import BASE, Made, Results, found, read_results
from gotd_assets.models.statistics import Estimate, holm, mean_of, two_way_mean
from gotd_assets.settings.file import load_project

if TYPE_CHECKING:
    import numpy.typing as npt

Row = dict[str, Any]
RANDOM = "random"


def told(path: Path) -> Row:
    """Everything that the comparison of the project `path` measured, for its only target and budget.

    Perplexity, share of sources, tokens and what was measured item by item, of the base model and of each arm; differences
    from the base model and from random selection with two-way intervals, p corrected by Holm for all of one figure.
    """
    comparison = Comparison.of(load_project(path))
    results = read_results(comparison)
    (target,), (budget,) = comparison.targets, comparison.budgets
    arms = [str(arm) for arm in comparison.arms]
    base = results.bases.get(target)
    made = {arm: list(results.seeds(target, arm, budget).values()) for arm in arms}
    planned = len(comparison.seeds)
    return {
        "target": target,
        "budget": budget,
        "seeds": planned,
        "complete": all(sum(one.perplexity is not None for one in of_arm) == planned for of_arm in made.values()),
        "texts": results.texts.get(target),
        "perplexity_base": None if base is None else base.perplexity,
        "arms": {arm: _arm(of_arm) for arm, of_arm in made.items()},
        "perplexity": _perplexity(results, target, budget, arms),
        "measured": _measured(results, target, budget, arms),
    }


def _arm(made: Sequence[Made]) -> Row:
    """Tokens, sources and held-out perplexity of an arm, means over seeds."""
    total = sum(sum(one.sources.values()) for one in made)
    counted: dict[str, int] = {}
    for one in made:
        for source, count in one.sources.items():
            counted[source] = counted.get(source, 0) + count
    return {
        "trained": sum(one.perplexity is not None for one in made),
        "tokens": _mean(one.figures.get("tokens") for one in made),
        "training_seconds": _mean(one.figures.get("training_seconds") for one in made),
        "perplexity": _mean(None if one.perplexity is None else one.perplexity.perplexity for one in made),
        "sources": {source: count / total for source, count in sorted(counted.items())} if total else {},
    }


def _perplexity(results: Results, target: str, budget: int | str, arms: Sequence[str]) -> list[Row]:
    pairs = [(arm, other) for arm in arms for other in (BASE, RANDOM) if arm != other and other in (BASE, *arms)]
    differences = {pair: results.difference(target, budget, *pair) for pair in pairs}
    known = {pair: difference for pair, difference in differences.items() if difference is not None}
    levels = holm([difference.p for difference in known.values()])
    return [
        {"arm": arm, "other": other, **difference.as_summary(), "corrected": level, "comparisons": len(known)}
        for ((arm, other), difference), level in zip(known.items(), levels, strict=True)
    ]


def _measured(results: Results, target: str, budget: int | str, arms: Sequence[str]) -> dict[str, Row]:
    """By figure: the base model's mean, each arm's, and differences."""
    found_of = {arm: results.seeds(target, arm, budget) for arm in arms}
    names = list(dict.fromkeys(name for made in found_of.values() for one in made.values() for name in one.measured))
    figures = {}
    for name in names:
        ours = {
            arm: {seed: one.measured[name] for seed, one in made.items() if name in one.measured}
            for arm, made in found_of.items()
        }
        base = {
            seed: one.measured_base[name]
            for made in found_of.values()
            for seed, one in made.items()
            if name in one.measured
        }
        figures[name] = figure(ours, base)
    correct([difference for found in figures.values() for difference in found["differences"]])
    return figures


def figure(ours: Mapping[str, Mapping[int, npt.NDArray[Any]]], base: Mapping[int, npt.NDArray[Any]]) -> Row:
    """A figure measured item by item (items,): its means, and differences by arm, seed and item.

    Args:
        ours: by arm and seed.
        base: of the base model by seed.
    """
    compared: dict[tuple[str, str], Estimate] = {}
    for arm, by_seed in ours.items():
        for other, theirs in ((BASE, base), (RANDOM, ours.get(RANDOM, {}))):
            seeds = sorted(by_seed.keys() & theirs.keys())
            if arm != other and seeds and len(by_seed[seeds[0]]) > 1:
                compared[arm, other] = two_way_mean(np.stack([by_seed[seed] - theirs[seed] for seed in seeds]))
    differences = [
        {"arm": arm, "other": other, **dataclasses.asdict(estimate)} for (arm, other), estimate in compared.items()
    ]
    correct(differences)
    return {
        "base": float(np.mean([values.mean() for values in base.values()])) if base else None,
        "means": {arm: _mean(float(values.mean()) for values in by_seed.values()) for arm, by_seed in ours.items()},
        "differences": differences,
    }


def correct(differences: Sequence[Row]) -> None:
    """Put to each its p corrected by Holm for all that are told together, and how many these are."""
    for difference, level in zip(differences, holm([one["p"] for one in differences]), strict=True):
        difference |= {"corrected": level, "comparisons": len(differences)}


def without_labels(path: Path) -> Row:
    """Accuracy of classification without labels on so many texts: of the base model, and of each arm's models by seed."""
    comparison = Comparison.of(load_project(path))
    scores: dict[str, dict[int, float]] = {}
    base: dict[int, float] = {}
    texts = 0
    for cell, arm, artifact in _cells(comparison, "task_evaluation"):
        content = artifact.json("task.json")
        texts = content["test_documents"]
        if content["trained"]["without_labels"] is not None:
            scores.setdefault(arm, {})[cell] = content["trained"]["without_labels"]["accuracy"]
            base[cell] = content["base"]["without_labels"]["accuracy"]
    rows = {}
    for arm, by_seed in scores.items():
        for other, theirs in ((BASE, base), (RANDOM, scores.get(RANDOM, {}))):
            seeds = sorted(by_seed.keys() & theirs.keys())
            if arm != other and len(seeds) > 1:
                gap = mean_of([by_seed[seed] - theirs[seed] for seed in seeds])
                rows[f"{arm} against {other}"] = {"value": gap.value, "half_width": gap.half_width, "seeds": gap.count}
    return {
        "texts": texts,
        "base": _mean(base.values()),
        "means": {arm: _mean(by_seed.values()) for arm, by_seed in scores.items()},
        "differences": rows,
    }


def toxicity(path: Path, threshold: float = 0.5) -> Row:
    """As `told`, with the share of prompts with a toxic continuation, and perplexity of neutral text by seed."""
    comparison = Comparison.of(load_project(path))
    share: dict[str, dict[int, npt.NDArray[Any]]] = {}
    share_base: dict[int, npt.NDArray[Any]] = {}
    neutral: dict[str, dict[int, float]] = {}
    neutral_base: dict[int, float] = {}
    prompts: dict[str, int] = {}
    for seed, arm, artifact in _cells(comparison, "detoxification_evaluation"):
        content = artifact.json("detoxification.json")
        prompts = content["prompts"]
        generations = read_parquet(artifact.file("generations.parquet"), ["model", "prompt", "toxicity"])
        worst = generations.group_by("model", "prompt").agg(pl.col("toxicity").max()).sort("prompt")
        for model, known in (("trained", share.setdefault(arm, {})), ("base", share_base)):
            of_model = worst.filter(pl.col("model") == model).get_column("toxicity")
            known[seed] = (of_model.to_numpy() >= threshold).astype(float)
        neutral.setdefault(arm, {})[seed] = content["neutral"]["trained"]["perplexity"]
        neutral_base[seed] = content["neutral"]["base"]["perplexity"]
    return {
        **told(path),
        "prompts": prompts,
        "toxicity_probability": figure(share, share_base),
        "neutral": {
            "base": _mean(neutral_base.values()),
            "means": {arm: _mean(by_seed.values()) for arm, by_seed in neutral.items()},
        },
    }


def _cells(comparison: Comparison, asset: str) -> Iterable[tuple[int, str, Artifact]]:
    """Seed, arm and artifact of every cell that has `asset`."""
    store = ArtifactStore.of(comparison.project)
    for cell in comparison.cells:
        for arm in comparison.arms_of(cell):
            artifact = found(store, cell, asset, arm.method)
            if artifact is not None:
                yield cell.seed, str(arm), artifact


def _mean(values: Iterable[float | None]) -> Row | None:
    known = [value for value in values if value is not None]
    return dataclasses.asdict(mean_of(known)) if known else None
