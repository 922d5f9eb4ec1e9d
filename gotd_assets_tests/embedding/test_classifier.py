"""Toxicity against the model's own forward pass, one text at a time."""

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from gotd_assets.errors import InputError
from gotd_assets.models.toxicity import KeptToxicity, ToxicityClassifier, toxicity_version
from gotd_assets.settings.evaluation import ToxicitySettings
from gotd_assets_tests.models import tiny

LABELS = ["clean", "insult", "threat"]


def settings(folder, **changes):
    return ToxicitySettings(model=str(folder), **({"labels": ["insult", "threat"], "max_tokens": 12} | changes))


@pytest.mark.parametrize("together", [True, False])
def test_is_what_the_model_says_of_each_text_alone(tmp_path, together):
    folder = tiny.classifier_folder(tmp_path / "c", LABELS, together=together)
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    expected = []
    for text in tiny.texts(30):
        with torch.no_grad():
            logits = model(**tokenizer(text, truncation=True, max_length=12, return_tensors="pt")).logits[0].double()
        expected.append(float(logits.sigmoid()[1:].max() if together else logits.softmax(0)[1:].sum()))
    found = ToxicityClassifier(settings(folder, batch_tokens=64), tmp_path)(tiny.texts(30))
    assert np.ptp(expected) > 0.01
    assert found == pytest.approx(expected, abs=1e-5)


def test_an_unknown_label_is_told_with_those_there_are(tmp_path):
    folder = tiny.classifier_folder(tmp_path / "c", LABELS)
    with pytest.raises(InputError, match="no label 'toxic'; it has: clean, insult, threat"):
        ToxicityClassifier(settings(folder, labels=["toxic"]), tmp_path)


def test_a_model_without_its_head_is_refused(tmp_path):
    folder = tiny.model_folder(tmp_path / "m", "bert")
    with pytest.raises(InputError, match="saved with its head"):
        ToxicityClassifier(settings(folder), tmp_path)


def test_nothing_is_downloaded(tmp_path):
    with pytest.raises(InputError, match="classifiers are not downloaded"):
        toxicity_version(ToxicitySettings(model="org/name"), tmp_path)


def test_version_follows_weights_and_labels(tmp_path):
    folder = tiny.classifier_folder(tmp_path / "c", LABELS)
    version = toxicity_version(settings(folder), tmp_path)
    assert toxicity_version(settings(folder, batch_tokens=64), tmp_path) == version
    assert toxicity_version(settings(folder, labels=["insult"]), tmp_path) != version


def test_a_shard_is_scored_once_for_all_runs(tmp_path):
    folder = tiny.classifier_folder(tmp_path / "c", LABELS)
    documents = pl.DataFrame({"doc_id": ["a", "b"], "text": ["w1 w2", "w3"]})
    first = KeptToxicity(settings(folder), tmp_path, tmp_path / "cache")(documents)
    (kept,) = (tmp_path / "cache").rglob("*.npy")
    np.save(kept, np.array([0.25, 0.75]))
    again = KeptToxicity(settings(folder), tmp_path, tmp_path / "cache")
    assert again(documents).tolist() == [0.25, 0.75]
    assert again(documents.head(1)) == pytest.approx(first[:1])
