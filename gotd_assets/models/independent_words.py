"""Whether a tokenizer cuts every word into tokens without looking at the words beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACES = " \t\n\r"
"""What surely ends a word. Of other white space BERT's normaliser deletes some, which joins what stood on either side."""

# Steps that look at a character, or at a run of characters in which no space can stand.
_NORMALIZERS = frozenset({"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"})
_AT_SPACES = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
_WITHIN_WORDS = frozenset({"Punctuation", "Digits"})
_MODELS = frozenset({"WordPiece", "WordLevel", "BPE", "Unigram"})


def has_independent_words(tokenizer: Tokenizer) -> bool:
    """Whether the tokens of a text are those of its words at `SPACES`, one word after the other.

    Only steps that are known to keep to words are taken for such: SentencePiece's spaces as letters, bytes as letters,
    tables of a normaliser, patterns and steps yet unknown are not. Special tokens are not put around the text.
    """
    said = json.loads(tokenizer.to_str())
    return (
        all(_normalizes_within_words(step) for step in _steps(said["normalizer"], "normalizers"))
        and _splits_at_spaces([*_steps(said["pre_tokenizer"], "pretokenizers")])
        and said["model"]["type"] in _MODELS
        and not said["model"].get("dropout")
        and all(_is_within_words(tokenizer, token) for token in said["added_tokens"])
    )


def _steps(said: dict[str, Any] | None, name: str) -> Iterator[dict[str, Any]]:
    """The steps of a step, however deep."""
    if said is None:
        return
    if said["type"] == "Sequence":
        for step in said[name]:
            yield from _steps(step, name)
    else:
        yield said


def _normalizes_within_words(step: dict[str, Any]) -> bool:
    if step["type"] != "Replace":
        return step["type"] in _NORMALIZERS
    replaced = step["pattern"].get("String")
    return bool(replaced) and not _has_space(replaced)


def _splits_at_spaces(steps: list[dict[str, Any]]) -> bool:
    kinds = [step["type"] for step in steps]
    return bool(kinds) and kinds[0] in _AT_SPACES and set(kinds) <= _AT_SPACES | _WITHIN_WORDS


def _is_within_words(tokenizer: Tokenizer, added: dict[str, Any]) -> bool:
    """Whether an added token can be in a word only, as it is looked for: as it is written, or normalised as the text."""
    sought = added["content"]
    if added["normalized"] and tokenizer.normalizer is not None:
        sought = tokenizer.normalizer.normalize_str(sought)
    return bool(sought) and not _has_space(sought)


def _has_space(text: str) -> bool:
    return any(character.isspace() for character in text)
