"""What a reader of report.md is told."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gotd_assets.evaluation.report import MethodOutcome, write_report
from gotd_assets.models.perplexity import PerplexityReport
from gotd_assets.models.statistics import holm

WORTH = {"before": 0.5, "after": 0.4, "mixing": 0.2, "reduction": 0.1}


def outcome(method: str, nll: np.ndarray, tokens: int) -> MethodOutcome:
    subset = pl.DataFrame(
        {"rank": [1], "score": [-0.1], "source": ["s"], "doc_id": ["d"], "text": ["t"], "nearest_target_text": ["n"]}
    )
    report = PerplexityReport.of(nll, np.full(30, 10), "causal")
    return MethodOutcome(method, subset, WORTH, report, {"mlflow_run_id": "r", "tokens": tokens})


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
