"""Cutting texts by the tokens of an encoder, at word boundaries."""

from __future__ import annotations

import bisect
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.errors import InputError
from gotd_assets.models.location import find_model, hub_options, pinned
from gotd_assets.models.model_files import tokenizer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gotd_assets.settings.encoder import EncoderSettings

# Characters that are tokenised at once: tokens of a text of megabytes would take gigabytes.
_WINDOW = 1 << 16


def token_cutter(encoder: EncoderSettings, root: Path) -> tuple[Callable[[str, int], list[str]], Callable[[str], int]]:
    """(cut, length): cut a text into pieces of at most so many tokens of `encoder`; count its tokens.

    Special tokens are not counted. Only a word of more tokens than a chunk holds is cut inside.

    Raises:
        InputError: the encoder has no tokenizer.json, or it is damaged.
    """
    tokenizer = tokenizer_of(_tokenizer_file(encoder, root), "encoder.model")
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def length(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    def cut(text: str, size: int) -> list[str]:
        pieces: list[str] = []
        begin, characters = 0, max(_WINDOW, 8 * size)
        while begin < len(text):
            end = _end_of_window(text, begin, characters)
            stops = _stops(tokenizer.encode(text[begin:end], add_special_tokens=False).offsets, text[begin:end], size)
            # What follows the last stop may go on behind the window.
            stops = [begin + stop for stop in stops] + ([len(text)] if end == len(text) else [])
            if not stops:
                characters *= 2
                continue
            pieces += [text[start:stop].strip() for start, stop in itertools.pairwise([begin, *stops])]
            begin = stops[-1]
        return [piece for piece in pieces if piece]

    return cut, length


def _end_of_window(text: str, begin: int, characters: int) -> int:
    """Where a window of `text` ends, behind a space if it has one: a token then lies in one window."""
    end = begin + characters
    if end >= len(text):
        return len(text)
    space = max(text.rfind(" ", begin + 1, end), text.rfind("\n", begin + 1, end))
    return space if space > begin else end


def _stops(offsets: list[tuple[int, int]], text: str, size: int) -> list[int]:
    """Where `text`, whose tokens stand at `offsets`, is cut so that no piece but the last has over `size` tokens."""
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    stops = []
    first = 0
    while len(offsets) - first > size:
        limit = ends[first + size - 1]
        stop = limit
        if limit < len(text) and not text[limit].isspace():
            # Behind the first token's beginning: spaces before it are no place to cut.
            inside = starts[first] + 1
            space = max(text.rfind(" ", inside, limit), text.rfind("\n", inside, limit))
            stop = space if space > 0 else limit
        stops.append(stop)
        following = bisect.bisect_left(starts, stop, lo=first)
        # A tokenizer may count the space before a word to the word's token, which then begins before the cut.
        while following > first and ends[following - 1] > stop:
            following -= 1
        first = max(following, first + 1)
    return stops


def _tokenizer_file(encoder: EncoderSettings, root: Path) -> Path:
    path = find_model(encoder.model, root, "encoder.model")
    if path is None:
        from huggingface_hub import hf_hub_download

        pinned(encoder.model, encoder.revision, "encoder.model")
        where = hub_options(encoder.model, encoder.revision, "encoder.model")
        return Path(hf_hub_download(encoder.model, "tokenizer.json", **where))
    for tokenizer in sorted(path.rglob("tokenizer.json")):
        return tokenizer
    raise InputError(
        f"encoder.model {encoder.model!r} has no tokenizer.json to count tokens with (looked in {path}): set "
        "preparation.chunk_by to 'characters', or give a folder with a tokenizer"
    )
