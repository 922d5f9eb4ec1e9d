"""Parquet and Arrow files, read by another process, so that one that is damaged costs itself only."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import subprocess
from typing import TYPE_CHECKING, Any

from gotd_assets.errors import InputError
from gotd_assets.execution.child import started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gotd_assets.corpus.reading.columnar_reader import Request

_READER = "gotd_assets.corpus.reading.columnar_reader"
# A part of a file takes seconds; a reader that is silent for so long does not come back.
_SILENT_SECONDS = 300.0
_DEATHS = 3


def read_columns(request: Request) -> Iterator[object]:
    """What the reader finds in a file, in order: `Columns`, then `Part`, `Slice`, `BadRow` and `Lost`.

    Where it dies, the part that killed it is `Lost`, and another one goes on behind it.

    Raises:
        ValueError: the file cannot be read.
        InputError: no process can be started.
    """
    from gotd_assets.corpus.reading.columnar_reader import End, Lost, Part

    part: Part | None = None
    for death in range(1, _DEATHS + 1):
        reader = _taken()
        reader.send(request)
        while True:
            answer = reader.receive()
            if answer is None:
                break
            if isinstance(answer, End):
                _IDLE.append(reader)
                if answer.error is not None:
                    raise ValueError(answer.error)
                return
            part = answer if isinstance(answer, Part) else part
            yield answer
        why = f"reading it ended the process ({reader.end()})"
        if part is None or part.rows is None or death == _DEATHS:
            # Nobody knows the number of the next row.
            raise ValueError(why)
        yield Lost(part.row, part.rows, part.size, why)
        request = dataclasses.replace(request, first_part=part.number + 1, first_row=part.row + part.rows)


class _Reader:
    """A process at the other end of a pipe, which ends when this one does."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        try:
            # What libraries say when they end the process is told by its exit code.
            self._process, self._pipe = started(_READER, stderr=subprocess.DEVNULL)
        except OSError as error:
            raise InputError(
                f"no process can be started to read files with ({error}): free memory, then run again"
            ) from error

    def send(self, request: Request) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send(request)

    def receive(self) -> Any:
        """What comes next; None if the process is dead."""
        try:
            if self._pipe.poll(_SILENT_SECONDS):
                return self._pipe.recv()
            self._process.kill()
        except (EOFError, OSError):
            pass
        return None

    def end(self) -> str:
        """How it ended."""
        self._pipe.close()
        code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"


_IDLE: collections.deque[_Reader] = collections.deque()


def _taken() -> _Reader:
    """A reader that has nothing to do; starting one takes longer than reading a small file."""
    while True:
        try:
            reader = _IDLE.pop()
        except IndexError:
            return _Reader()
        # A copy of this process that was made by forking must not speak through its pipes.
        if reader.owner == os.getpid():
            return reader
