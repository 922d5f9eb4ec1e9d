"""Folders of encoders made in many ways give the vectors that sentence-transformers gives for them."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from gotd_assets.embedding.embed import load_encoder
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets_tests.models import tiny
from gotd_assets_tests.models.sentence_folders import FOLDERS

TEXTS = [*tiny.texts(24, seed=3), "w1", "W4 w5 W6", "w7 é w8", "w9 unheard-of w10", " ".join(tiny.WORDS[:40])]


def ours(folder: Path, texts: list[str] = TEXTS, **changes: object) -> np.ndarray:
    fixed = {"dtype": "float32", "normalize": False, "device": "cpu", "batch_tokens": 64}
    settings = EncoderSettings(model=str(folder), **{**fixed, **changes})
    return np.concatenate(list(load_encoder(settings, folder.parent).encode(texts, lambda *_: None)))


def theirs(folder: Path, texts: list[str] = TEXTS, **options: object) -> np.ndarray:
    """One text at a time, so that no padding is in the way."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        return model.encode(texts, batch_size=1, show_progress_bar=False, **options)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_gives_what_sentence_transformers_gives(tmp_path: Path, name: str) -> None:
    FOLDERS[name](tmp_path / name)
    expected = theirs(tmp_path / name)
    found = ours(tmp_path / name)
    assert np.linalg.norm(expected - expected.mean(axis=0), axis=1).min() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)
