"""Texts in lower case, where a model's folder wants it and its tokenizer does not see to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gotd_assets.models.encoder_folder import SETTING
from gotd_assets.models.model_files import json_object, tokenizer_of


def has_lower_case(transformer: Path) -> bool:
    """Whether the tokenizer puts texts in lower case by itself."""
    file = transformer / "tokenizer.json"
    if not file.is_file():
        return bool(json_object(transformer / "tokenizer_config.json", SETTING).get("do_lower_case", False))
    return _lowers(tokenizer_of(file, SETTING).normalizer)


def put_in_lower_case(tokenizer: Any) -> None:
    """Let the tokenizer of a model put texts in lower case, unless it does."""
    from tokenizers.normalizers import Lowercase, Sequence

    own = tokenizer.backend_tokenizer.normalizer
    if not _lowers(own):
        others = [] if own is None else list(own) if isinstance(own, Sequence) else [own]  # type: ignore[call-overload]
        tokenizer.backend_tokenizer.normalizer = Sequence([Lowercase(), *others])


def _lowers(normalizer: Any) -> bool:
    from tokenizers.normalizers import BertNormalizer, Lowercase, Sequence

    if isinstance(normalizer, Sequence):
        return any(_lowers(part) for part in normalizer)  # type: ignore[attr-defined]  # it is iterable from 0.21 on
    return isinstance(normalizer, Lowercase) or (isinstance(normalizer, BertNormalizer) and bool(normalizer.lowercase))
