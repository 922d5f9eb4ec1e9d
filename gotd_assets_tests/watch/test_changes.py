"""A change is asked for once, when it is still, and what happens during a run asks for one more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.watch.memory import Memory, Sight

DEBOUNCE = 10.0


class World:
    """One target, the sensor that looks at it, and the runs it starts; a run reads the files when it ends."""

    def __init__(self) -> None:
        self.now = 0.0
        self.content = "first"
        self.standing: str | None = "first"
        self.running = False
        self.fails = False
        self.cursor: str | None = None
        self.run_keys: list[str] = []

    def look(self, seconds: float = 0.0) -> str:
        self.now += seconds
        memory = Memory.of(self.cursor)
        state = memory.look("film", self.content, self.standing, now=self.now, debounce=DEBOUNCE, busy=self.running)
        if state == "due":
            self.run_keys.append(memory.ask("film"))
            self.running = True
        self.cursor = memory.as_cursor()
        return state

    def finish(self) -> None:
        self.running = False
        if not self.fails:
            self.standing = self.content


def test_a_change_waits_until_it_is_still() -> None:
    world = World()
    assert world.look() == "unchanged"
    world.content = "half"
    assert world.look(5) == "moving"
    world.content = "whole"
    assert world.look(9) == "moving"
    assert world.look(9) == "moving"
    assert world.look(1) == "due"
    assert world.look(60) == "asked"


def test_a_burst_during_a_run_ends_in_one_more() -> None:
    world = World()
    world.content = "second"
    world.look()
    world.look(20)
    for number in range(5):
        world.content = f"burst {number}"
        world.look(15)
        assert world.look(15) == "busy"
    world.standing, world.running = "second", False
    assert world.look(15) == "due"
    world.finish()
    assert world.look(100) == "unchanged"
    assert len(set(world.run_keys)) == 2


def test_content_that_a_run_already_read_asks_for_nothing_more() -> None:
    world = World()
    world.content = "second"
    world.look()
    world.look(20)
    world.content = "third"
    world.look(1)
    world.finish()
    assert world.look(100) == "unchanged"


def test_what_failed_is_not_tried_again_until_it_changes() -> None:
    world = World()
    world.fails = True
    world.content = "bad"
    world.look()
    assert world.look(20) == "due"
    world.finish()
    assert world.look(1000) == "asked"
    world.fails = False
    world.content = "good"
    world.look()
    assert world.look(20) == "due"


def test_content_that_comes_back_is_a_new_change() -> None:
    world = World()
    for content in ("second", "first", "second"):
        world.content = content
        world.look(1)
        assert world.look(20) == "due"
        world.finish()
        world.look(1)
    assert len(set(world.run_keys)) == 3


def test_a_clock_that_was_years_ahead_delays_nothing() -> None:
    world = World()
    world.content = "second"
    world.now = 1e9
    assert world.look() == "moving"
    world.now = 100.0
    assert world.look() == "moving"
    assert world.look(DEBOUNCE) == "due"


def test_other_files_of_the_same_meaning_ask_for_nothing_while_what_they_equal_stands() -> None:
    world = World()
    world.content = "first, in another order"
    assert world.look() == "moving"
    memory = Memory.of(world.cursor)
    assert memory.look("film", world.content, "first", now=20, debounce=DEBOUNCE) == "due"
    memory.settle("film", "first")
    world.cursor, world.now = memory.as_cursor(), 20
    assert world.look(20) == "unchanged"
    world.standing = "what somebody selected for by hand"
    assert world.look(20) == "due"
    world.finish()
    assert world.look(20) == "unchanged"


def test_a_look_repeated_after_a_crash_asks_with_the_same_key() -> None:
    world = World()
    world.content = "second"
    world.look()
    before = world.cursor
    world.look(20)
    world.cursor, world.running = before, False
    world.look(5)
    assert len(world.run_keys) == 2
    assert len(set(world.run_keys)) == 1


@given(
    st.lists(st.sampled_from(["look", "finish", *"abc"]), max_size=60),
    st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_whatever_happens_the_last_content_stands_in_the_end(actions: list[str], lose_cursor: list[bool]) -> None:
    world = World()
    for action, lost in zip(actions, lose_cursor, strict=False):
        if lost and action == "look":
            world.cursor = None
        if action == "look":
            world.look(7)
        elif action == "finish":
            world.finish()
        else:
            world.content = action
        assert len(set(world.run_keys)) == len(world.run_keys)
    world.finish()
    for _ in range(4):
        world.look(11)
        if world.running:
            world.finish()
    assert world.standing == world.content
    assert world.look(11) == "unchanged"


@pytest.mark.parametrize(
    "cursor", [None, "", "not JSON", "[]", '{"sights": {"film": 3}}', '{"sights": {"film": {"x": 1}}}']
)
def test_a_cursor_that_is_not_ours_is_an_empty_memory(cursor: str | None) -> None:
    assert Memory.of(cursor) == Memory()


def test_the_cursor_keeps_everything() -> None:
    memory = Memory({"film": Sight("c", 1.5, "b"), "film#pool": Sight("p", 2.0)}, {"old": "2026-01-01T00:00:00+00:00"})
    assert Memory.of(memory.as_cursor()) == memory
    memory.retire(["film"], "now")
    assert memory.sights == {}
    assert set(memory.retired) == {"film", "old"}
