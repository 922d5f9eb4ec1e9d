"""The page of the use cases, from a record that is made up; and what large models take."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.use_cases import large
from benchmarks.use_cases.models import POSITIONS, SHAPES, VOCABULARY
from benchmarks.use_cases.page import write_page
from benchmarks.use_cases.results import correct, figure
from benchmarks.use_cases.sizes import TINY
from gotd_assets.models.comparison import compare

SEEDS, TEXTS = 5, 80
ARMS = ("random", "gotd")


def measured(effect: float) -> dict[str, Any]:
    """GOT-D's models are right more often by `effect` than random ones, and those as often as the base model."""
    draw = np.random.default_rng(0)
    base = draw.random(TEXTS)
    ours = {
        arm: {seed: base + (effect if arm == "gotd" else 0) + draw.normal(0, 0.02, TEXTS) for seed in range(SEEDS)}
        for arm in ARMS
    }
    return figure(ours, dict.fromkeys(range(SEEDS), base))


def told(effect: float, *, complete: bool = True) -> dict[str, Any]:
    """As `results.told`."""
    draw = np.random.default_rng(1)
    nll = {seed: draw.normal(40, 3, 30) for seed in range(SEEDS)}
    better = {seed: values - 30 * effect for seed, values in nll.items()}
    difference = compare(better, nll, np.full(30, 10))
    assert difference is not None
    rows = [{"arm": "gotd", "other": "random", **difference.as_summary()}]
    correct(rows)
    figures = {f"accuracy of the probe, {size} labels": measured(effect) for size in (5, 10)}
    mean = {"value": 50.0, "half_width": 1.0, "count": SEEDS}
    arm = {"trained": SEEDS, "perplexity": mean, "tokens": mean, "training_seconds": mean, "sources": {"tech": 1.0}}
    return {
        "target": "sentiment",
        "budget": 8,
        "seeds": SEEDS,
        "complete": complete,
        "texts": (16, 10),
        "perplexity_base": 51.0,
        "arms": dict.fromkeys(ARMS, arm),
        "perplexity": rows,
        "measured": figures,
    }


def part(name: str, content: dict[str, Any]) -> dict[str, Any]:
    machine = {"date": "2026-11-28", "processor": "a processor", "cores": 2}
    return {"name": name, "machine": machine, "sizes": dataclasses.asdict(TINY), "minutes": 3.0, "told": content}


def page_of(tmp_path: Path, **parts: dict[str, Any]) -> str:
    write_page({name: part(name, content) for name, content in parts.items()}, tmp_path / "page.md")
    return (tmp_path / "page.md").read_text(encoding="utf-8")


def test_what_is_sure_is_said_and_what_is_not(tmp_path: Path) -> None:
    without = {"base": None, "means": {}, "differences": {}}
    found = page_of(tmp_path, labelled={"sentiment": {**told(0.1), "without_labels": without}})
    sentence = next(line for line in found.splitlines() if line.startswith("Sure, of 6 differences"))
    assert re.findall(r"(\w+) \+\d+\.\d against ([\w ]+) \((\d+) labels\)", sentence) == [
        ("gotd", other, size) for size in ("5", "10") for other in ("the base model", "random")
    ]
    assert "random +" not in sentence
    assert "Sure: gotd lower than random." in found
    none = page_of(tmp_path, labelled={"sentiment": {**told(0.0), "without_labels": without}})
    assert "None of the 6 differences is sure; their intervals leave room for " in none
    assert "No change is sure." in none


def test_parts_that_were_not_run_or_not_finished_say_so(tmp_path: Path) -> None:
    found = page_of(tmp_path, tune={"topics": told(0.1, complete=False)})
    assert "**Not finished**: of 5 seeds are trained random 5, gotd 5." in found
    assert "| gotd | 100% |" in found
    for name in ("labelled", "detox", "masked", "large"):
        assert f"Not run yet: `python -m benchmarks.use_cases docs/use-cases.md --part {name}`." in found
    assert "--part tune`." not in found


def test_differences_are_paired_by_seed_and_text() -> None:
    found = measured(0.1)
    values = {(d["arm"], d["other"]): d for d in found["differences"]}
    assert set(values) == {("random", "base"), ("gotd", "base"), ("gotd", "random")}
    assert values["gotd", "base"]["value"] == pytest.approx(0.1, abs=0.005)
    assert values["gotd", "base"]["low"] > 0.08
    assert {d["comparisons"] for d in found["differences"]} == {3}
    assert all(d["corrected"] >= d["p"] for d in found["differences"])


@pytest.mark.parametrize("name", ["124M", "1.5B"])
def test_weights_are_counted_as_the_model_has_them(name: str) -> None:
    shape = SHAPES[name]
    config = GPT2Config(
        n_layer=shape.layers, n_embd=shape.width, n_head=4, n_positions=POSITIONS, vocab_size=VOCABULARY
    )
    with torch.device("meta"):
        model = GPT2LMHeadModel(config)
    weights = large.Weights.of(name)
    assert weights.all == sum(weight.numel() for weight in model.parameters())
    assert weights.block == sum(weight.numel() for weight in model.transformer.h[0].parameters())


def test_larger_models_take_more_in_proportion() -> None:
    known = {"seconds_per_token": 0.01, "gib": 3.0}
    rows = {(row["model"], row["trained"]): row for row in large.rows({"124M": {"all": known, "last": known}})}
    assert len(rows) == 2 * len(SHAPES)
    assert rows["124M", "all"]["hours"] == pytest.approx(0.01 * large.DOCUMENTS * large.TOKENS / 3600)
    times = rows["2.7B", "all"]["hours"] / rows["124M", "all"]["hours"]
    assert times == pytest.approx(large.Weights.of("2.7B").all / large.Weights.of("124M").all)
    assert rows["2.7B", "all"]["gib"] == pytest.approx(16 * large.Weights.of("2.7B").all / 2**30)
    # Loading is what takes most where little is trained.
    assert rows["2.7B", "last 4 layers"]["gib"] < rows["2.7B", "all"]["gib"] / 3
