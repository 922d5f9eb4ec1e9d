"""What a reader of comparison.md is told, from results that are made up."""

from pathlib import Path

import numpy as np
import pytest

from gotd_assets.comparison.cells import Comparison
from gotd_assets.comparison.page import answers, page, write_page
from gotd_assets.comparison.results import Made, Results
from gotd_assets.models.perplexity import PerplexityReport
from gotd_assets.models.statistics import two_way_mean
from gotd_assets.settings.file import load_project
from gotd_assets_tests.end_to_end.project import make_project

TOKENS = np.full(40, 10)
NAME = "accuracy of the probe, 20 labels"


def comparison_of(folder: Path, **section: object) -> Comparison:
    asked = {"methods": ["random", "gotd"], "budgets": [4, 8, 16], "seeds": 3, **section}
    return Comparison.of(load_project(make_project(folder, comparison=asked)))


def results_of(comparison: Comparison, *, measured: bool = True) -> Results:
    """GOT-D's models are better by 2 nats a document, and right in more of 30 texts."""
    draw = np.random.default_rng(0)
    base = draw.normal(40, 3, 40)
    made = {}
    for budget in comparison.budgets:
        for seed in comparison.seeds:
            for arm in comparison.arms:
                better = 2.0 if arm.method == "gotd" else 0.0
                nll = base - better + draw.normal(0, 0.3, 40)
                right = (draw.random(30) < (0.9 if arm.method == "gotd" else 0.5)).astype(float)
                made["film", str(arm), budget, seed] = Made(
                    [f"{arm.method}{seed}{number}" for number in range(4)],
                    {"news": 3, "mixed": 1},
                    {"tokens": 50.0, "transport_saved": 0.01 * better, "selection_seconds": 1.0},
                    PerplexityReport.of(nll, TOKENS, "causal"),
                    {NAME: right} if measured else {},
                    {NAME: np.full(30, 0.5)} if measured else {},
                )
    return Results(made, {"film": PerplexityReport.of(base, TOKENS, "causal")})


def test_the_base_model_is_a_row_and_what_is_sure_is_a_sentence(tmp_path: Path) -> None:
    comparison = comparison_of(tmp_path)
    text = "\n".join(page(comparison, results_of(comparison), []))
    assert text.count("| base model | – | – |") == 3
    assert "- Budget 8: `gotd` is **better** than the base model: -1" in text
    assert "- Budget 8: `gotd` is **better** than `random`" in text
    assert "`random` is **" not in text
    assert any(
        line.startswith("film: Budget 8: gotd is better than random: -")
        for line in answers(comparison, results_of(comparison))
    )
    assert text.count("![") == 2
    assert "| 0.02000" in text


def test_a_higher_perplexity_is_better_where_a_target_is_to_stay_away_from(tmp_path: Path) -> None:
    asked = {"methods": ["random", "gotd"], "budgets": [4, 8, 16], "seeds": 3}
    path = make_project(
        tmp_path,
        targets=[{"name": "film", "path": "data/target.jsonl", "direction": "away"}],
        comparison=asked,
    )
    comparison = Comparison.of(load_project(path))
    assert "`gotd` is **worse** than the base model" in "\n".join(page(comparison, results_of(comparison), []))


def test_gains_on_texts_are_over_seeds_and_texts(tmp_path: Path) -> None:
    comparison = comparison_of(tmp_path)
    results = results_of(comparison)
    rows = [made.measured[NAME] for made in results.seeds("film", "gotd", 8).values()]
    expected = two_way_mean(np.stack(rows) - 0.5)
    found = results.gain("film", 8, "gotd", NAME)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    text = "\n".join(page(comparison, results, []))
    assert f"({found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}], p" in text
    assert "| base model | 0.500 |" in text


def test_one_seed_is_said_to_tell_nothing_of_another(tmp_path: Path) -> None:
    comparison = comparison_of(tmp_path, seeds=1, methods=["gotd"])
    text = "\n".join(page(comparison, results_of(comparison, measured=False), ["film, budget 4, seed 0: too *much*"]))
    assert "Nothing is sure: one seed says nothing about another" in text
    assert "compared with the base model only" in text
    assert r"too \*much\*" in text
    assert "1 method, 3 budgets, 1 seed" in text


def test_methods_without_vectors_are_not_repeated_on_others(tmp_path: Path) -> None:
    comparison = comparison_of(
        tmp_path, methods=["random", "gotd", "dsir", "dapt"], vectors={"other": {"model": "encoder", "pooling": "mean"}}
    )
    assert [str(arm) for arm in comparison.arms] == [
        "random",
        "gotd",
        "dsir",
        "dapt",
        "gotd on other",
        "dapt on other",
    ]
    cells = [cell for cell in comparison.cells if cell.seed == 0 and cell.budget == 4]
    assert [cell.vectors for cell in cells] == [None, "other"]
    assert len({cell.run_id for cell in comparison.cells}) == len(comparison.cells)
    settings = comparison.project_of(cells[1]).settings
    assert settings.selection.methods == ["gotd", "dapt"]
    assert settings.encoder.pooling == "mean"


def test_the_page_for_browsers_has_pictures_and_no_markup_of_others(tmp_path: Path) -> None:
    comparison = comparison_of(tmp_path)
    _, html = write_page(comparison, results_of(comparison), ["<script>alert(1)</script>"], tmp_path / "out")
    text = html.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert text.count('<img src="data:image/svg+xml,') == 2
    assert "<table>" in text
