"""What a run shows while it works: on a terminal one line that is replaced, in a file a line now and then."""

import io

import pytest

from gotd_assets.catalogue.durations import in_words
from gotd_assets.cli.terminal import Terminal
from gotd_assets.pipeline.runs.console import Lines


def screen(written: str) -> list[str]:
    """What a terminal shows of it, line by line."""
    shown = []
    for line in written.split("\n"):
        *_, last = line.split("\r\x1b[2K")
        shown.append(last)
    return shown


def test_on_a_terminal_progress_is_one_line_that_facts_go_above() -> None:
    out = io.StringIO()
    lines = Lines(Terminal(file=out, force_terminal=True, width=40, color_system=None))
    for number in range(50):
        lines.replace(f"  embedded {number} of 50, with more words than the terminal is wide")
    assert out.getvalue().count("\n") == 0
    assert screen(out.getvalue()) == ["  embedded 49 of 50, with more words th"]
    lines.keep("  candidate_embeddings: 50 rows, 3 s")
    lines.replace("  next")
    assert screen(out.getvalue()) == ["  candidate_embeddings: 50 rows, 3 s", "  next"]
    lines.clear()
    assert screen(out.getvalue())[-1] == ""


def test_in_a_file_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    out = io.StringIO()
    lines = Lines(Terminal(file=out))
    for number in range(100):
        now += 1
        lines.replace(f"step {number}")
    lines.keep("done")
    assert out.getvalue().splitlines() == ["step 29", "step 59", "step 89", "done"]


def test_what_is_shown_does_not_act_on_the_terminal() -> None:
    out = io.StringIO()
    Lines(Terminal(file=out, force_terminal=True, width=80)).replace("a\x1b[31mb")
    assert "\x1b[31m" not in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (40, "40 s"), (100, "2 min"), (3600, "60 min"), (9000, "2.5 hours")]
)
def test_times_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
