"""How far a selection is, as one bar: in a notebook, on a terminal, or nowhere."""

from __future__ import annotations

import sys
import warnings
from typing import Any


class Bar:
    """A journal of stations that shows one line: which station of how many, and what it says.

    Args:
        total: stations there are.
        shown: whether it is shown at all; by default in notebooks and on terminals.
    """

    def __init__(self, total: int, *, shown: bool | None = None) -> None:
        self._bar: Any = None
        if shown is None:
            shown = sys.stderr.isatty() or "ipykernel" in sys.modules
        if shown:
            from tqdm.auto import tqdm

            with warnings.catch_warnings():
                # Without ipywidgets it draws with characters, and warns of that.
                warnings.simplefilter("ignore")
                self._bar = tqdm(total=total, bar_format="{desc} {bar} {n_fmt}/{total_fmt} [{elapsed}]{postfix}")

    def begin(self, what: str) -> None:
        """A station begins."""
        if self._bar is not None:
            self._bar.set_description_str(f"{what:<12.12}")
            self._bar.set_postfix_str("")

    def end(self) -> None:
        """It is done."""
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        """All are done, or one failed."""
        if self._bar is not None:
            self._bar.set_postfix_str("")
            self._bar.close()

    def log(self, line: str) -> None:
        """A line for people, beside the bar until the next one."""
        if self._bar is not None:
            self._bar.set_postfix_str(line[:60])

    def progress(self, line: str) -> None:
        """How far it is."""
        self.log(line)

    def warn(self, line: str) -> None:
        """A line that people should not miss: a Python warning, whether or not there is a bar."""
        warnings.warn(line, SelectionWarning, stacklevel=2)

    def observe(self, progress: object) -> None:
        """Its lines say it already."""


class SelectionWarning(UserWarning):
    """A selection was made, and something about it is worth knowing."""
