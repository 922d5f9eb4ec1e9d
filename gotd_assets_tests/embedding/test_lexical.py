"""Vectors of the words used, alone and beside a model's, against sums over words."""

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from gotd_assets.embedding.embed import embed_documents, load_encoder
from gotd_assets.embedding.encoders.lexical import rank_weights
from gotd_assets.embedding.vectors import open_vectors
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.models.encoder import encoder_version
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets_tests.end_to_end.project import topic_encoder
from gotd_assets_tests.models.tiny import WORDS, tokenizer
from gotd_assets_tests.selection.pools import write_documents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    topic_encoder(tmp_path / "encoder")
    return tmp_path


def texts(count: int = 40) -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(WORDS, size=int(draw.integers(5, 30)))) for _ in range(count)]


def encoded(settings: EncoderSettings, root: Path, some: list[str]) -> np.ndarray:
    return np.concatenate([*load_encoder(settings, root).encode(some, lambda *_: None)])


def by_definition(text: str) -> dict[object, float]:
    """(1 + log tf)·weight of words and of pairs, from log(1 + rank) in the vocabulary without special tokens."""
    words = text.split()
    rank = {word: math.log(2 + number) for number, word in enumerate(WORDS)}
    most = math.log(1 + len(WORDS))
    counts = Counter(words) + Counter(pairwise(words))
    return {
        key: (1 + math.log(count)) * (rank[key] if isinstance(key, str) else min(rank[key[0]] + rank[key[1]], most))
        for key, count in counts.items()
    }


def cosine(left: dict, right: dict) -> float:
    product = sum(value * right.get(key, 0.0) for key, value in left.items())
    return product / math.sqrt(sum(v * v for v in left.values()) * sum(v * v for v in right.values()))


def test_cosines_are_those_of_weighted_words_and_pairs(folder: Path) -> None:
    some = texts()
    vectors = encoded(EncoderSettings(model="encoder", kind="lexical"), folder, some)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    bags = [by_definition(text) for text in some]
    exact = np.array([[cosine(a, b) for b in bags] for a in bags])
    errors = (vectors @ vectors.T - exact)[~np.eye(len(some), dtype=bool)]
    # A projection to 384 dimensions moves a cosine by 1/√384 on average over directions.
    assert np.sqrt((errors**2).mean()) < 1.2 / math.sqrt(384)
    assert abs(errors.mean()) < 0.02


def test_a_vector_depends_on_its_text_alone(folder: Path) -> None:
    settings, some = EncoderSettings(model="encoder", kind="lexical", max_tokens=8), texts()
    together = encoded(settings, folder, some)
    np.testing.assert_allclose(
        np.concatenate([encoded(settings, folder, [one]) for one in some[:5]]), together[:5], atol=1e-6
    )
    cut = encoded(settings, folder, [" ".join(some[0].split()[:8])])
    np.testing.assert_allclose(cut[0], together[0], atol=1e-6)
    assert not encoded(settings, folder, [""]).any()


def test_special_tokens_weigh_nothing() -> None:
    weights = rank_weights(tokenizer().get_vocab())
    assert not weights[:5].any()
    np.testing.assert_allclose(weights[5:], np.log1p(np.arange(1, 91)))


def test_beside_a_model_each_has_its_share_of_the_distance_and_the_model_runs_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = texts()
    plain, words = EncoderSettings(model="encoder"), EncoderSettings(model="encoder", kind="lexical")
    both = EncoderSettings(model="encoder", lexical=0.3, storage_dtype="float32")
    write_documents(folder / "documents", "s", some)
    alone = plain.model_copy(update={"storage_dtype": "float32"})
    (folder / "plain").mkdir()
    embed_documents(folder / "documents", alone, folder, folder / "store", folder / "plain")
    monkeypatch.setattr(
        "gotd_assets.embedding.encoders.static.StaticEncoder.encode", lambda *_: pytest.fail("embedded again")
    )
    (folder / "both").mkdir()
    report = embed_documents(folder / "documents", both, folder, folder / "store", folder / "both")
    assert (report.documents, report.dimension) == (40, 16 + 384)
    monkeypatch.undo()
    (shard,) = open_vectors(folder / "both")
    found = np.asarray(shard.vectors)

    def distances(vectors: np.ndarray) -> np.ndarray:
        return ((vectors[:, None] - vectors[None]) ** 2).sum(-1)

    order = pl.Series(shard.doc_ids()).to_list()
    place = {document_id(text): number for number, text in enumerate(some)}
    in_order = [some[place[doc_id]] for doc_id in order]
    own = encoded(plain, folder, in_order)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    lexical = encoded(words, folder, in_order)
    np.testing.assert_allclose(distances(found), 0.7 * distances(own) + 0.3 * distances(lexical), atol=1e-4)
    np.testing.assert_allclose(encoded(both, folder, in_order), found, atol=1e-5)


def test_versions_change_with_words_and_no_other_does(folder: Path) -> None:
    plain = EncoderSettings(model="encoder")
    versions = {
        encoder_version(settings, folder)
        for settings in (
            plain,
            plain.model_copy(update={"lexical": 0.3}),
            plain.model_copy(update={"lexical": 0.5}),
            EncoderSettings(model="encoder", kind="lexical"),
        )
    }
    assert len(versions) == 4


def test_what_cannot_be_is_a_sentence(folder: Path) -> None:
    with pytest.raises(ValidationError, match="name a model and drop kind"):
        EncoderSettings(model="encoder", kind="lexical", lexical=0.5)
    with pytest.raises(ValidationError, match="of length one"):
        EncoderSettings(model="encoder", lexical=0.5, normalize=False)
    (folder / "encoder" / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"the folder of any model that has it"):
        encoder_version(EncoderSettings(model="encoder", kind="lexical"), folder)
