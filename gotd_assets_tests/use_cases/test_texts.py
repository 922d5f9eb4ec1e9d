"""How texts of the use cases are dealt out, and the settings of their projects."""

from pathlib import Path

import pytest

from benchmarks.use_cases.projects import Projects
from benchmarks.use_cases.sizes import FULL, TINY
from benchmarks.use_cases.texts import _Deck
from gotd_assets.comparison.cells import Comparison
from gotd_assets.errors import InputError
from gotd_assets.settings.file import load_project

TEXTS = [
    (f"number {number} of many texts, " + "long enough to be taken, " * 3, str(number % 2)) for number in range(30)
]


def test_no_text_is_dealt_twice_and_the_order_they_come_in_does_not_matter() -> None:
    deck, other = _Deck("lines", TEXTS), _Deck("lines", [*reversed(TEXTS), TEXTS[3], ("short", "1")])
    first, second = deck.deal(12), deck.deal(18)
    assert len({text for text, _ in [*first, *second]}) == 30
    assert other.deal(30) == [*first, *second]
    with pytest.raises(InputError, match="has only 0 texts left, 1 are wanted"):
        deck.deal(1)


@pytest.mark.parametrize("sizes", [FULL, TINY], ids=lambda sizes: sizes.name)
def test_projects_are_settings_that_load_and_cross_what_the_page_tells(tmp_path: Path, sizes) -> None:
    projects = Projects(sizes, tmp_path, tmp_path / "encoder", tmp_path / "model.gguf")
    crossed = {
        projects.labelled("sentiment"): (["random", "tapt-c", "dsir", "gotd"], sizes.seeds),
        projects.labelled("topics"): (["random", "tapt-c", "dsir", "gotd"], sizes.seeds),
        projects.tuned(): (["tapt-c", "gotd", "tapt-c on tuned", "gotd on tuned"], sizes.few_seeds),
        projects.masked(tmp_path / "masked"): (["random", "tapt-c", "dsir", "gotd"], sizes.seeds),
        projects.pretraining(tmp_path / "masked"): (["random"], 1),
        projects.detoxified("clean", ("random", "rtp", "gotd"), tmp_path): (["random", "rtp", "gotd"], sizes.few_seeds),
        projects.detoxified("toxic", ("gotd",), tmp_path): (["gotd"], sizes.few_seeds),
    }
    for path, (arms, seeds) in crossed.items():
        project = load_project(path)
        comparison = Comparison.of(project)
        assert ([str(arm) for arm in comparison.arms], len(comparison.seeds)) == (arms, seeds)
        assert (len(comparison.targets), len(comparison.budgets)) == (1, 1)
        assert project.home.path.resolve() == tmp_path / "home"
    away = load_project(tmp_path / "toxic" / "gotd.yaml").settings
    assert away.targets[0].direction == "away"
    assert away.sources[-1].name == "outspoken"
    tuned = load_project(tmp_path / "tuned" / "gotd.yaml").settings.comparison.vectors["tuned"]
    assert tuned.tune.target == "topics"
    # A masked model's cells are of a target of their own: in one home they would be taken for the language model's.
    names = {load_project(path).settings.targets[0].name for path in crossed}
    assert {"sentiment", "sentiment-masked"} <= names
