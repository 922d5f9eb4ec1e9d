"""Static embeddings against one text at a time, as model2vec's own code goes about it."""

import functools
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gotd_assets.embedding.embed import load_encoder
from gotd_assets.errors import InputError
from gotd_assets.execution.threads import torch_threads
from gotd_assets.models.encoder import encoder_version
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets_tests.models import tiny

DRAW = np.random.default_rng(0)
TOKENS = 95
EMBEDDINGS = DRAW.standard_normal((TOKENS, 8)).astype(np.float32)
WEIGHTS = DRAW.uniform(0.1, 2, TOKENS).astype(np.float32)
CLUSTERS = DRAW.integers(0, 12, TOKENS)
FORMS = {
    "plain": {"embeddings": EMBEDDINGS},
    "weighted": {"embeddings": EMBEDDINGS, "weights": WEIGHTS},
    "int8": {"embeddings": (EMBEDDINGS * 20).astype(np.int8)},
    "mapped": {"embeddings": EMBEDDINGS[:12], "mapping": CLUSTERS, "weights": WEIGHTS},
    "of sentence-transformers": {"embedding.weight": EMBEDDINGS},
}
TEXTS = [*tiny.texts(40), "w1 unheard-of w2", "nothing known", "", "w3"]


def folder_of(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    path.mkdir()
    save_file(tensors, path / "model.safetensors")
    tiny.tokenizer().backend_tokenizer.save(str(path / "tokenizer.json"))
    return path


def one_by_one(tensors: dict[str, np.ndarray], max_tokens: int) -> np.ndarray:
    tokenizer = tiny.tokenizer()
    table = tensors.get("embeddings", tensors.get("embedding.weight")).astype(np.float64)
    rows = []
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][:max_tokens]
        known = [i for i in ids if i != tokenizer.unk_token_id]
        weights = [float(tensors["weights"][i]) if "weights" in tensors else 1.0 for i in known]
        places = [int(tensors["mapping"][i]) if "mapping" in tensors else i for i in known]
        found = [weight * table[place] for weight, place in zip(weights, places, strict=True)]
        rows.append(np.mean(found, axis=0) if found else np.zeros(table.shape[1]))
    return np.array(rows)


@pytest.mark.parametrize("form", FORMS)
def test_a_text_is_the_mean_of_its_known_tokens(tmp_path: Path, form: str) -> None:
    settings = EncoderSettings(model=str(folder_of(tmp_path / "static", FORMS[form])), kind="static", max_tokens=9)
    (vectors,) = load_encoder(settings, tmp_path).encode(TEXTS, lambda *_: None)
    np.testing.assert_allclose(vectors, one_by_one(FORMS[form], 9), rtol=1e-4, atol=1e-5)
    assert not vectors[TEXTS.index("nothing known")].any()


@pytest.mark.parametrize("form", FORMS)
def test_vectors_are_added_in_the_order_of_the_text_whatever_the_batch_and_the_threads(
    tmp_path: Path, form: str
) -> None:
    texts = tiny.texts(60)
    settings = EncoderSettings(model=str(folder_of(tmp_path / "static", FORMS[form])), kind="static", normalize=False)
    encoder = load_encoder(settings, tmp_path)
    (together,) = encoder.encode(texts, lambda *_: None)
    with torch_threads(1):
        alone = np.concatenate([next(encoder.encode([text], lambda *_: None)) for text in reversed(texts)])[::-1]
    np.testing.assert_array_equal(together, alone)
    tensors, tokenizer = FORMS[form], tiny.tokenizer()
    table = tensors.get("embeddings", tensors.get("embedding.weight")).astype(np.float32)
    rows = table[tensors.get("mapping", np.arange(len(table)))] * tensors.get(
        "weights", np.ones((1, 1), np.float32)
    ).reshape(-1, 1)
    for text, vector in zip(texts, together, strict=True):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        total = functools.reduce(np.add, rows[ids], np.zeros(table.shape[1], dtype=np.float32))
        np.testing.assert_array_equal(vector, (total / len(ids)).astype(np.float32))


def test_it_is_told_from_a_transformer_by_its_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "static", FORMS["plain"])
    for config in (None, '{"model_type": "model2vec", "normalize": true}', '{"normalize": true}'):
        if config is not None:
            (folder / "config.json").write_text(config)
        assert load_encoder(EncoderSettings(model=str(folder)), tmp_path).dimension == 8
        assert encoder_version(EncoderSettings(model=str(folder)), tmp_path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"vectors": EMBEDDINGS}, "has no tensor 'embeddings'; it has: vectors"),
        ({"embeddings": EMBEDDINGS[:50]}, "they do not belong together"),
        ({"embeddings": EMBEDDINGS[:5], "mapping": CLUSTERS}, "they do not belong together"),
        ({"embeddings": EMBEDDINGS, "weights": WEIGHTS[:9]}, "they do not belong together"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path, tensors: dict[str, np.ndarray], message: str) -> None:
    folder = folder_of(tmp_path / "static", tensors)
    with pytest.raises(InputError, match=message):
        load_encoder(EncoderSettings(model=str(folder), kind="static"), tmp_path)
