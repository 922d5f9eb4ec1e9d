"""Plots in metadata: what they show can be read off the SVG, and many sources do not break them."""

import re

import numpy as np
import polars as pl
import pytest

from gotd_assets.catalogue import plots
from gotd_assets_tests.catalogue.svg import drawn

_SVG = "{http://www.w3.org/2000/svg}"
SOURCES = ["news", "politics", "health", "sport", "business", "reviews"]


def texts(markdown: str) -> list[str]:
    return [element.text or "" for element in drawn(markdown).iter(f"{_SVG}text")]


def vertical_places(path: str) -> list[int]:
    return [int(y) for y in re.findall(r"V(\d+)", path)]


def many_scores() -> pl.DataFrame:
    draw = np.random.default_rng(0)
    scores = np.concatenate([draw.normal(0, 0.1, 6000), draw.normal(-0.3, 0.05, 400)])
    return pl.DataFrame({"source": draw.choice(SOURCES, len(scores)), "score": scores}).sort("score")


def test_pictures_of_real_sizes_are_shown_in_place() -> None:
    scores = many_scores()
    before = dict.fromkeys(SOURCES, 1 / 6)
    drawings = [
        plots.scores_with_cut(scores.get_column("score"), scores.get_column("score").head(200)),
        plots.scores_by_source(scores),
        plots.shares(before, before),
        plots.bars(before, "OT distance to the target"),
        plots.curve([[step, 4 + np.sin(step)] for step in range(1000)], "step", "loss"),
        plots.budget_curves({name: [[k + 1, -np.sqrt(k) * 7] for k in range(200)] for name in ("gotd", "random")}),
        plots.histogram({"edges": [2**k for k in range(14)], "counts": [1000 + k for k in range(14)]}, "characters"),
    ]
    for drawing in drawings:
        assert drawn(drawing).attrib["width"] == "440"
        assert len(drawing) < 1000


def test_the_cut_is_named_and_the_highest_column_reaches_the_top() -> None:
    scores = many_scores().get_column("score")
    picture = plots.scores_with_cut(scores, scores.head(200))
    assert texts(picture)[0] == f"200 selected, the last at {scores[199]:.3g}"
    candidates = drawn(picture).find(f"{_SVG}path")
    assert candidates is not None
    assert min(vertical_places(candidates.attrib["d"])) == 18


def test_shares_are_drawn_in_their_order_and_a_source_not_selected_has_no_bar() -> None:
    picture = plots.shares({"a<b": 0.75, "c": 0.25}, {"a<b": 1.0})
    assert texts(picture)[:2] == ["a<b 75.0 to 100.0", "c 25.0 to 0.0"]
    before, after = drawn(picture).findall(f"{_SVG}path")
    assert re.findall(r"h(\d+)", before.attrib["d"]) == ["218", "72"]
    assert re.findall(r"h(\d+)", after.attrib["d"]) == ["290"]


def test_a_curve_ends_where_its_points_end() -> None:
    (line, _axis) = drawn(plots.curve([[1, 4.0], [2, 2.0], [3, 3.0]], "step", "loss")).findall(f"{_SVG}path")
    assert line.attrib["d"] == "M0,20l220,78l220,-39"
    assert texts(plots.curve([[1, 4.0], [2, 2.0], [3, 3.0]], "step", "loss"))[0] == "loss 4 → 3, lowest 2"


@pytest.mark.parametrize("scores", [[0.0], [0.5, 0.5], [-1.0, 2.0]])
def test_few_or_equal_scores_can_be_drawn(scores: list[float]) -> None:
    series = pl.Series(scores)
    drawn(plots.scores_with_cut(series, series.head(1)))
    drawn(plots.scores_by_source(pl.DataFrame({"source": ["only"] * len(scores), "score": scores})))
    drawn(plots.curve([[1, scores[0]]], "step", "loss"))
    drawn(plots.budget_curves({"gotd": [[1, scores[0]]]}))


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it, of a colour written as #rgb."""
    channels = [int(digit * 2, 16) / 255 for digit in colour[1:]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_words_are_legible_in_a_light_and_a_dark_theme() -> None:
    lines = {name: [[1, -0.1], [10, -3.0]] for name in SOURCES}
    picture = drawn(plots.budget_curves(lines))
    # A ground of its own, so that the theme of the page does not matter.
    assert "background:#fff" in picture.attrib["style"]
    default = picture.attrib["fill"]
    used = {element.attrib.get("fill", default) for element in picture.iter(f"{_SVG}text")}
    assert len(used) == len(SOURCES) + 1
    assert min(1.05 / (luminance(colour) + 0.05) for colour in used) >= 4.5
