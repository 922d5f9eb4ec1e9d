"""Cutting texts by the tokens of an encoder, at word boundaries."""

from __future__ import annotations

import bisect
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gotd_assets.settings import EncoderSettings


def token_cutter(encoder: EncoderSettings, root: Path) -> tuple[Callable[[str, int], list[str]], Callable[[str], int]]:
    """(cut, length): cut a text into pieces of at most so many tokens of `encoder`; count its tokens.

    Special tokens are not counted. Only a word of more tokens than a chunk holds is cut inside.

    Raises:
        InputError: the encoder has no tokenizer.json.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_tokenizer_file(encoder, root)))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def length(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    def cut(text: str, size: int) -> list[str]:
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
        pieces = []
        first, begin = 0, 0
        while len(offsets) - first > size:
            limit = ends[first + size - 1]
            stop = limit
            if limit < len(text) and not text[limit].isspace():
                space = max(text.rfind(" ", begin, limit), text.rfind("\n", begin, limit))
                stop = space if space > begin else limit
            pieces.append(text[begin:stop].strip())
            begin = stop
            following = bisect.bisect_left(starts, stop, lo=first)
            # A tokenizer may count the space before a word to the word's token, which then begins before the cut.
            while following > first and ends[following - 1] > stop:
                following -= 1
            first = max(following, first + 1)
        pieces.append(text[begin:].strip())
        return [piece for piece in pieces if piece]

    return cut, length


def _tokenizer_file(encoder: EncoderSettings, root: Path) -> Path:
    if encoder.model.startswith("package:"):
        package, _, inside = encoder.model.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(package.replace("-", "_"))
        folders = [Path(place) / inside for place in (spec.submodule_search_locations or [])] if spec else []
    else:
        folders = [root / Path(encoder.model).expanduser()]
    for folder in folders:
        for path in sorted(folder.rglob("tokenizer.json")):
            return path
    if not encoder.model.startswith("package:") and encoder.revision is not None:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(encoder.model, "tokenizer.json", revision=encoder.revision))
    raise InputError(
        f"encoder.model {encoder.model!r} has no tokenizer.json to count tokens with (looked in "
        f"{', '.join(map(str, folders)) or 'no folder: the package is not installed'}): set preparation.chunk_by to "
        "'characters', or give a folder with a tokenizer"
    )
