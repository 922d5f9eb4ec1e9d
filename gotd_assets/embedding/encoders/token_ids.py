"""Token ids of texts, by a table of words where a tokenizer cuts each by itself: most words come again and again."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from gotd_assets.models.encoder import unknown_token
from gotd_assets.models.independent_words import SPACES, has_independent_words
from gotd_assets.models.long_texts import beginnings

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

    Ids = npt.NDArray[np.int32]

_MOST_WORDS = 1 << 20
_MOST_CHARACTERS = 1 << 24
# New words that pass through the tokenizer as one text.
_JOINED = 64


class TokenIds:
    """The first `most` tokens of a text as `tokenizer` gives them, without special ones around it.

    A table keeps the tokens of the words that were met. It is begun anew before a call when it holds more than `most_words`
    of them, or words of more than 16 million letters, so that it takes some 200 MB and what one call adds. It changes how
    fast tokens are found, and never which.
    """

    def __init__(self, tokenizer: Tokenizer, most: int, *, most_words: int = _MOST_WORDS) -> None:
        self._tokenizer, self._most, self._most_words = tokenizer, most, most_words
        tokenizer.no_padding()
        tokenizer.enable_truncation(most)
        self.by_words = has_independent_words(tokenizer)
        self._separator = _separator(tokenizer)
        self._table = _Table()

    def __call__(self, texts: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
        """Ids of all tokens in a row, and how many each text has."""
        cut = beginnings(texts, self._most, self._count)
        return self._looked_up(cut) if self.by_words else self._tokenized(cut)

    def _looked_up(self, texts: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
        table = self._table
        if not table.is_whole or len(table.counts) > self._most_words or table.characters > _MOST_CHARACTERS:
            table = self._table = _Table()
        n_words, words, distinct = _words(texts)
        numbers = np.fromiter(map(table.numbers.__getitem__, distinct), np.int64, len(distinct))[words]
        if new := table.new_words():
            table.add(new, *(self._joined(new) or self._tokenized(new)))
        counts = table.counts[numbers]
        ends = np.cumsum(counts)
        places = np.arange(int(counts.sum())) + np.repeat(table.starts[numbers] - ends + counts, counts)
        ids = table.tokens[places]
        ends_of_texts = np.concatenate([[0], ends])[np.cumsum(n_words)]
        lengths = np.diff(ends_of_texts, prepend=0)
        if lengths.max(initial=0) > self._most:
            place_in_text = np.arange(len(ids)) - np.repeat(ends_of_texts - lengths, lengths)
            ids, lengths = ids[place_in_text < self._most], np.minimum(lengths, self._most)
        return ids, lengths

    def _joined(self, words: list[str]) -> tuple[Ids, npt.NDArray[np.int64]] | None:
        """Ids and how many each word has, of many words at a time, which takes half the time; None if that tells too little."""
        if self._separator is None:
            return None
        content, separator = self._separator
        parts = [words[start : start + _JOINED] for start in range(0, len(words), _JOINED)]
        self._tokenizer.no_truncation()
        ids, lengths = self._tokenized([f" {content} ".join(part) for part in parts])
        self._tokenizer.enable_truncation(self._most)
        is_between = ids == separator
        # Else some word has this token in it.
        if is_between.sum() != len(words) - len(parts):
            return None
        word = np.cumsum(is_between) + np.repeat(np.arange(len(parts)), lengths)
        return ids[~is_between], np.bincount(word[~is_between], minlength=len(words))

    def _tokenized(self, texts: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
        batch = [entry.ids for entry in self._tokenizer.encode_batch_fast([*texts], add_special_tokens=False)]
        lengths = np.fromiter(map(len, batch), dtype=np.int64, count=len(batch))
        return np.fromiter(itertools.chain.from_iterable(batch), np.int32, int(lengths.sum())), lengths

    def _count(self, text: str, most: int) -> int:
        """Tokens of a text, up to `most`."""
        self._tokenizer.enable_truncation(most)
        found = len(self._tokenizer.encode(text, add_special_tokens=False).ids)
        self._tokenizer.enable_truncation(self._most)
        return found


class _Table:
    """Words by number, and by number where the tokens of each begin among `tokens`, and how many there are."""

    def __init__(self) -> None:
        self.numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        self.tokens: Ids = np.empty(0, dtype=np.int32)
        self.starts = np.empty(0, dtype=np.int64)
        self.counts = np.empty(0, dtype=np.int64)
        self.characters = 0

    @property
    def is_whole(self) -> bool:
        """Whether every word has its tokens; an interrupted call leaves some without."""
        return len(self.counts) == len(self.numbers)

    def new_words(self) -> list[str]:
        """Words that were given numbers, and have no tokens yet."""
        return [*itertools.islice(reversed(self.numbers), len(self.numbers) - len(self.counts))][::-1]

    def add(self, words: list[str], ids: Ids, counts: npt.NDArray[np.int64]) -> None:
        """The tokens of `new_words`, all in a row, and how many each has."""
        self.starts = np.concatenate([self.starts, len(self.tokens) + np.cumsum(counts) - counts])
        self.tokens = np.concatenate([self.tokens, ids])
        self.characters += sum(map(len, words))
        self.counts = np.concatenate([self.counts, counts])


def _separator(tokenizer: Tokenizer) -> tuple[str, int] | None:
    """A special token, as it is written, and its id, that texts have only if they have it as it is written."""
    unknown = unknown_token(tokenizer)
    for number, token in sorted(tokenizer.get_added_tokens_decoder().items()):
        is_changed = token.normalized or token.lstrip or token.rstrip or token.single_word
        if token.special and not is_changed and number != unknown:
            return token.content, number
    return None


def _words(texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], list[str]]:
    """How many words each text has, all words in a row as rows of the third, and the distinct words.

    Words stand between `SPACES`; where two follow each other or begin a text, the word between is empty.
    """
    split = pl.Series(texts, dtype=pl.String).str.replace_all(f"[{SPACES}]", " ").str.split(" ")
    # Arrow numbers what is distinct in half the time that Polars takes.
    encoded = split.explode().to_arrow().dictionary_encode()
    return split.list.len().cast(pl.Int64).to_numpy(), encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
