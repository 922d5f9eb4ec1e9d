"""Lexical vectors against tf-idf counted word by word."""

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.study.lexical import write_lexical_vectors
from gotd_assets.embedding.embed import load_encoder
from gotd_assets.embedding.store import hex_ids, id_bytes
from gotd_assets.embedding.vectors import VectorShard
from gotd_assets.fingerprint import document_id
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets_tests.selection.pools import write_documents

DRAW = np.random.default_rng(0)
WORDS = [f"word{number}" for number in range(60)]
CHANCE = 1 / np.arange(1, 61)
POOL, OTHERS = (
    [" ".join(DRAW.choice(WORDS, size=20, p=CHANCE / CHANCE.sum())) + f" own{name}{row}" for row in range(count)]
    for name, count in (("pool", 40), ("other", 10))
)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    write_documents(tmp_path / "pool", "pool", POOL)
    write_documents(tmp_path / "other", "other", OTHERS)
    return tmp_path / "pool", tmp_path / "other"


def vectors_in(folder: Path) -> dict[str, np.ndarray]:
    return dict(zip(hex_ids(np.load(folder / "ids.npy")), np.load(folder / "vectors.npy"), strict=True))


def written(tmp_path: Path, fitted: Path, *others: Path, beside: tuple[VectorShard, ...] = ()) -> dict[str, np.ndarray]:
    out = tmp_path / f"lexical-{len(list(tmp_path.iterdir()))}"
    out.mkdir()
    write_lexical_vectors([fitted], others, out, beside)
    return vectors_in(out)


def weights(text: str) -> dict[tuple[str, ...], float]:
    def terms(of: str) -> Counter[tuple[str, ...]]:
        words = of.split()
        return Counter([(word,) for word in words] + list(itertools.pairwise(words)))

    frequency = Counter(term for other in POOL for term in set(terms(other)))
    raw = {
        term: (1 + math.log(count)) * (1 + math.log((1 + len(POOL)) / (1 + frequency[term])))
        for term, count in terms(text).items()
    }
    length = math.sqrt(sum(value**2 for value in raw.values()))
    return {term: value / length for term, value in raw.items()}


def test_cosines_are_those_of_tfidf(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    found = written(tmp_path, *folders)
    texts = POOL + OTHERS
    exact = [weights(text) for text in texts]
    errors, values = [], []
    for i, a in enumerate(exact):
        for j in range(i):
            cosine = sum(value * exact[j].get(term, 0.0) for term, value in a.items())
            errors.append(float(found[document_id(texts[i])] @ found[document_id(texts[j])]) - cosine)
            values.append(cosine)
    # The standard error of a projection to 384 dimensions is a twentieth; a few terms share a place.
    assert np.sqrt(np.mean(np.square(errors))) < 0.06
    assert abs(np.mean(errors)) < 0.02
    assert np.corrcoef(values, np.add(values, errors))[0, 1] > 0.5


def test_what_is_rare_is_learnt_from_the_pool_alone(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    alone, together = written(tmp_path, folders[0]), written(tmp_path, *folders)
    assert len(alone) == len(POOL)
    assert len(together) == len(POOL) + len(OTHERS)
    for doc_id, vector in alone.items():
        np.testing.assert_array_equal(vector, together[doc_id])


def test_beside_an_encoders_vectors_both_count_the_same(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    texts = POOL + OTHERS
    known = DRAW.standard_normal((len(texts), 8)).astype(np.float32)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    shard = VectorShard(id_bytes(pl.Series([document_id(text) for text in texts])), known)
    lexical, joined = written(tmp_path, *folders), written(tmp_path, *folders, beside=(shard,))
    for text, vector in zip(texts, known, strict=True):
        both = joined[document_id(text)]
        np.testing.assert_allclose(both * math.sqrt(2), np.concatenate([vector, lexical[document_id(text)]]), atol=1e-6)


def test_they_can_be_embedded_with(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    write_lexical_vectors([folders[0]], [folders[1]], tmp_path)
    encoder = load_encoder(EncoderSettings(kind="precomputed", model=str(tmp_path)), tmp_path)
    (vectors,) = encoder.encode(OTHERS, lambda *_: None)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
