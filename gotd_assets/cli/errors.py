"""What every command does with errors made for people: a sentence and an exit code, never a traceback."""

import contextlib
import signal
import tempfile
import threading
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from gotd_assets.cli.terminal import say
from gotd_assets.errors import GotdError, masked

DIFFERENT = 1
"""Exit code of a command that did its work and whose answer is no: `verify`, `reproduce`, `settings-reference`."""
TROUBLE = 2
"""Exit code of a command that could not do its work, wrong usage included.

A command that was stopped by signal n has 128 + n, as in a shell: 130 after Ctrl-C, 143 after SIGTERM.
"""


class Commands(TyperGroup):
    """Commands whose errors are shown as sentences."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with errors_shown():
            return super().invoke(ctx)


@contextlib.contextmanager
def errors_shown() -> Iterator[None]:
    """Tell an error on stderr as it was written, without markup, and exit with `TROUBLE`."""
    with _terminable():
        try:
            yield
        except (GotdError, OSError) as error:
            say(f"error: {error}", error=True)
            raise typer.Exit(TROUBLE) from None
        except (typer.Exit, typer.Abort, TyperException):
            raise
        except Exception as error:  # noqa: BLE001 - the last place before the user
            say(f"error: {_unforeseen(error)}", error=True)
            raise typer.Exit(TROUBLE) from None
        except KeyboardInterrupt as stop:
            number = stop.args[0] if stop.args else signal.SIGINT
            say("stopped; the same command goes on from there", error=True)
            raise typer.Exit(128 + number) from None


def _unforeseen(error: Exception) -> str:
    """A sentence for what a library raised and nobody foresaw; its traceback is kept for whoever mends that."""
    with tempfile.NamedTemporaryFile("w", prefix="gotd-error-", suffix=".txt", delete=False, encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    what = (str(error).strip().splitlines() or [""])[0]
    return masked(
        f"{type(error).__module__}.{type(error).__name__}: {what}. This was not foreseen. If a file may be damaged, "
        f"`gotd verify` compares them all with their checksums; the traceback for a report is in {file.name}"
    )


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM, by which systemd, docker and `kill` stop a program, end it as Ctrl-C does: with its clean-up.

    Dagster gives SIGTERM the handler of SIGINT, so both have one.
    """

    def stop(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
