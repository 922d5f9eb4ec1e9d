"""A pool of a million documents of about 1 KB out of the packages that the demonstration uses, as JSON Lines.

The packages have about 71 MB of text: those documents come first. The rest is filled up with documents of whole
sentences of the real ones, drawn at random and joined: their words are real, what they say is not.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from benchmarks.real_texts import PIECE, documents, pieces

FILE_DOCUMENTS = 100_000
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
# Longer than most sentences of a document, and shorter than a document.
_SENTENCE = range(20, 400)


@dataclasses.dataclass(frozen=True)
class PoolFiles:
    """What was written.

    Attributes:
        real: documents made of consecutive text of the packages.
        filled: documents of sentences joined at random.
        planted_exact: documents of the source `copies` that the pool has too.
        planted_near: documents of it that differ from one of the pool in one word.
        target_exact: texts of the target that the pool has too.
        target_near: texts of it that differ from one of the pool in one word.
        size: bytes of the pool.
    """

    real: int
    filled: int
    planted_exact: int
    planted_near: int
    target_exact: int
    target_near: int
    size: int


def write_pool(wheels: Path, out: Path, wanted: int) -> PoolFiles:
    """Write `out/pool-*.jsonl` (`wanted` documents), `out/copies.jsonl` and `out/target.jsonl`; the same every time."""
    generator = random.Random(0)  # noqa: S311 - no secret
    real: list[tuple[str, str]] = [
        (kind, text) for kind, texts in documents(wheels).items() for text in _joined(pieces(texts))
    ]
    generator.shuffle(real)
    real = real[:wanted]
    sentences = [sentence for _, text in real for sentence in _SENTENCE_END.split(text) if len(sentence) in _SENTENCE]
    out.mkdir(parents=True)
    size = 0
    kept: list[str] = []
    planted = min(3000, wanted // 20)
    every = wanted // planted
    for number, first in enumerate(range(0, wanted, FILE_DOCUMENTS)):
        path = out / f"pool-{number:02}.jsonl"
        with path.open("wb") as file:
            for row in range(first, min(first + FILE_DOCUMENTS, wanted)):
                kind, text = real[row] if row < len(real) else ("filled", _filled(sentences, generator))
                file.write(orjson.dumps({"id": row, "kind": kind, "text": text}) + b"\n")
                if len(kept) < planted and row >= every * len(kept) and len(text) > PIECE // 2:
                    kept.append(text)
        size += path.stat().st_size
    third = planted // 3
    same, altered = kept[:third], [_altered(text) for text in kept[third : 2 * third]]
    _write(out / "copies.jsonl", [*same, *altered, *(_filled(sentences, generator) for _ in range(third))])
    tenth = third // 10
    apart = kept[2 * third :]
    target_same, target_altered = apart[:tenth], [_altered(text) for text in apart[tenth : 2 * tenth]]
    _write(
        out / "target.jsonl", [*target_same, *target_altered, *(_filled(sentences, generator) for _ in range(third))]
    )
    return PoolFiles(len(real), wanted - len(real), third, third, tenth, tenth, size)


def _joined(texts: Iterable[str]) -> Iterator[str]:
    """Consecutive short texts together, up to 1000 characters."""
    held = ""
    for text in texts:
        if held and len(held) + 1 + len(text) > PIECE:
            yield held
            held = ""
        held = f"{held} {text}" if held else text
    if held:
        yield held


def _filled(sentences: list[str], generator: random.Random) -> str:
    text = ""
    while len(text) < PIECE - 100:
        text += sentences[int(generator.random() * len(sentences))] + " "
    return text[:PIECE].rstrip()


def _altered(text: str) -> str:
    """`text` with another word in the middle."""
    words = text.split(" ")
    words[len(words) // 2] = "altogether-otherwise"
    return " ".join(words)


def _write(path: Path, texts: list[str]) -> None:
    path.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
