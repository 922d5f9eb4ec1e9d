"""Texts of megabytes, of which only the first tokens are used, cut before they pass through a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

# Shorter texts are tokenised whole; beyond, a beginning is tried, twice as long each time.
_WHOLE_PER_TOKEN = 64
_TRIED_PER_TOKEN = 16
# So many tokens must follow those that are used. What a tokenizer does depends on what follows by some letters: a word
# to its end, a run of spaces, a merge, the best path through a word.
_FOLLOWING = 64
_SPACE_WITHIN = 512


def beginnings(texts: Sequence[str], max_tokens: int, tokens_of: Callable[[str, int], int]) -> list[str]:
    """For each text itself or a beginning of it whose first `max_tokens` tokens are the text's.

    A beginning ends before a space where one is near, and is taken only if it has `_FOLLOWING` tokens more than are used.

    Args:
        texts: of any length.
        max_tokens: so many tokens are used, special ones included.
        tokens_of: how many tokens a text has, counted up to a number; the tokenizer must cut texts at the end.
    """
    return [
        text if len(text) <= _WHOLE_PER_TOKEN * max_tokens else _beginning(text, max_tokens, tokens_of)
        for text in texts
    ]


def _beginning(text: str, max_tokens: int, tokens_of: Callable[[str, int], int]) -> str:
    wanted = max_tokens + _FOLLOWING
    length = _TRIED_PER_TOKEN * max_tokens + _SPACE_WITHIN
    while length < len(text):
        start = text[: _end(text, length)]
        if tokens_of(start, wanted) >= wanted:
            return start
        length *= 2
    return text


def _end(text: str, length: int) -> int:
    """Where to cut, at `length` or after a word a little before."""
    for place in range(length, length - _SPACE_WITHIN, -1):
        if text[place].isspace() and not text[place - 1].isspace():
            return place
    return length
