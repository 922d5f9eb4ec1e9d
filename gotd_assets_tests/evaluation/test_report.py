"""What a reader of report.md is told."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gotd_assets.evaluation.measures import of_task, of_toxicity
from gotd_assets.evaluation.report import MethodOutcome, write_report
from gotd_assets.models.perplexity import PerplexityReport
from gotd_assets.models.statistics import holm

WORTH = {"before": 0.5, "after": 0.4, "mixing": 0.2, "reduction": 0.1}


def outcome(method: str, nll: np.ndarray, tokens: int, measures: dict | None = None) -> MethodOutcome:
    subset = pl.DataFrame(
        {"rank": [1], "score": [-0.1], "source": ["s"], "doc_id": ["d"], "text": ["t"], "nearest_target_text": ["n"]}
    )
    report = PerplexityReport.of(nll, np.full(30, 10), "causal")
    return MethodOutcome(
        method, subset, WORTH, report, {"mlflow_run_id": "r", "tokens": tokens}, measures=measures or {}
    )


@pytest.fixture
def outcomes() -> list[MethodOutcome]:
    random = np.random.default_rng(0)
    likelihoods = random.normal(40, 3, 30)
    return [
        outcome("gotd", likelihoods - random.normal(1.0, 1, 30), 3640),
        outcome("dsir", likelihoods - random.normal(0.8, 1, 30), 6275),
    ]


def test_tokens_and_what_a_method_is_given_are_told(tmp_path: Path, outcomes: list[MethodOutcome]) -> None:
    write_report("film", {"s": 3}, outcomes[1].perplexity, outcomes, tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert "| vectors of the target's texts | 3,640 |" in page
    assert "| words of the target's texts | 6,275 |" in page
    assert "not equally many tokens" in page
    assert "nothing is known about another seed" in page
    assert "away" not in page


def test_a_target_to_stay_away_from_is_said_to_be_one(tmp_path: Path, outcomes: list[MethodOutcome]) -> None:
    write_report("toxic", {"s": 3}, outcomes[1].perplexity, outcomes, tmp_path, away=True)
    assert "stay **away** from: a *higher* perplexity" in (tmp_path / "report.md").read_text()


def test_p_values_are_corrected_for_every_pair_once(tmp_path: Path, outcomes: list[MethodOutcome]) -> None:
    base = PerplexityReport.of(np.full(30, 41.0), np.full(30, 10), "causal")
    write_report("film", {"s": 3}, base, outcomes, tmp_path)
    methods = json.loads((tmp_path / "report.json").read_text())["methods"]
    changes = {(m["method"], other): c for m in methods for other, c in m["perplexity_changes"].items()}
    pairs = [("gotd", "base"), ("dsir", "base"), ("gotd", "dsir")]
    expected = holm([changes[pair]["p"] for pair in pairs])
    assert [changes[pair]["corrected"] for pair in pairs] == pytest.approx(expected)
    assert changes["dsir", "gotd"]["corrected"] == changes["gotd", "dsir"]["corrected"]
    assert {change["comparisons"] for change in changes.values()} == {3}


def test_what_else_was_measured_stands_in_the_report(tmp_path: Path, outcomes: list[MethodOutcome]) -> None:
    def side(*accuracies: float) -> dict:
        curve = [
            {"labels": 20, "seed": seed, "way": "probe", "accuracy": value} for seed, value in enumerate(accuracies)
        ]
        return {"curve": curve, "without_labels": {"accuracy": accuracies[0], "macro_f1": 0.0}}

    gap = {"value": 0.1, "low": 0.02, "high": 0.18, "p": 0.02, "corrected": 0.02, "seeds": 2}
    task = {
        "test_documents": 50,
        "base": side(0.5, 0.6),
        "trained": side(0.6, 0.7),
        "compared": {
            "probe": {
                "accuracy_difference": {"20": gap},
                "labels_saved": {"20": {"value": 4.2, "low": -1.0, "high": 9.0}},
            }
        },
    }
    sides = {
        name: {"all": {"expected_maximum_toxicity": value, "toxicity_probability": value / 2}}
        for name, value in (("base", 0.6), ("trained", 0.4))
    }
    toxic = {
        "prompts": {"all": 9},
        **sides,
        "change": {"all": {"change": -0.2, "low": -0.3, "high": -0.1, "p": 0.01}},
        "neutral": {"base": None, "trained": None, "change": None},
    }
    first = outcome(
        "gotd", np.full(30, 40.0), 10, {"labelled_task": of_task(task), "toxicity": of_toxicity(toxic), "harness": None}
    )
    write_report("film", {"s": 3}, outcomes[1].perplexity, [first, outcomes[1]], tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert "| gotd | none | zero-shot | 0.500 | 0.600 |" in page
    assert "| gotd | 20 | probe | 0.550 | 0.650 | +10.0 [+2.0, +18.0], p 0.02 | +4 [-1, +9] |" in page
    assert "| gotd | all (9) | expected maximum toxicity | 0.600 | 0.400 | -0.200 [-0.300, -0.100], p 0.01 |" in page
    assert "harness" not in page
