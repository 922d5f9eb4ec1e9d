"""What was asked for and never began is asked for again; of everything else a sensor says what became of it."""

import pytest

from gotd_assets.watch.asked import Asked, is_due_again, remedy
from gotd_assets.watch.memory import Memory, Sight

RUN = "0123456789abcdef"


def asked_memory() -> Memory:
    memory = Memory()
    memory.look("film", "c1", None, now=0, debounce=0)
    memory.ask("film")
    return memory


def test_what_never_began_is_asked_for_again_with_growing_patience() -> None:
    memory = asked_memory()
    keys = {memory.sights["film"].run_key}
    waits = []
    for _ in range(8):
        run = Asked(RUN, "never began", 1000.0)
        wait = next(seconds for seconds in range(10_000) if is_due_again(memory.sights["film"], run, 1000.0 + seconds))
        waits.append(wait)
        keys.add(memory.ask("film"))
        memory = Memory.of(memory.as_cursor())
        assert memory.look("film", "c1", None, now=2000, debounce=0) == "asked"
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    # Dagster starts one run for a key, ever.
    assert len(keys) == 9


@pytest.mark.parametrize("state", ["going", "failed", "canceled"])
def test_everything_else_is_left_to_a_person_who_is_told_which_run_and_what_to_do(state) -> None:
    sight = asked_memory().sights["film"]
    run = Asked(RUN, state, 0.0)
    assert not is_due_again(sight, run, 1e9)
    said = remedy(sight, run, 1e9)
    assert "run 01234567" in said
    assert ("re-execute" in said) == (state != "going")


def test_other_content_begins_anew() -> None:
    memory = asked_memory()
    memory.ask("film")
    assert memory.look("film", "c2", None, now=5, debounce=0) == "due"
    assert memory.ask("film") == "film:c2:5.000"
    assert memory.sights["film"].again == 0


def test_a_cursor_of_an_earlier_version_is_understood() -> None:
    memory = Memory.of('{"sights": {"film": {"content": "c1", "since": 1.0, "asked": "c1", "same_as": null}}}')
    assert memory.sights["film"] == Sight("c1", 1.0, "c1")
