import math

import numpy as np
import pytest
import torch

from gotd_assets.errors import TrainingError
from gotd_assets.models.heldout import evaluate_perplexity
from gotd_assets.models.language import load_language_model
from gotd_assets.models.perplexity import Measuring, PerplexityReport, perplexity
from gotd_assets_tests.models import tiny


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_is_exp_of_the_mean_nll_of_every_next_token(tmp_path, kind):
    settings = tiny.settings(tiny.model_folder(tmp_path / "m", kind))
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path / "cache")
    texts = [*tiny.texts(13), "w1"]
    model.eval()
    nll = []
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"][:12]])
        with torch.no_grad():
            log_p = model(ids).logits.double().log_softmax(-1)[0]
        nll.append([-float(log_p[at, ids[0, at + 1]]) for at in range(ids.shape[1] - 1)])
    report = perplexity(model, tokenizer, texts, Measuring(12, batch_tokens=40))
    flat = [value for document in nll for value in document]
    assert report.perplexity == pytest.approx(math.exp(sum(flat) / len(flat)), rel=1e-5)
    assert report.document_nll == pytest.approx([sum(document) for document in nll[:-1]], rel=1e-5)
    assert report.document_tokens.tolist() == [len(document) for document in nll[:-1]]
    assert (report.documents, report.skipped, report.tokens) == (13, 1, len(flat))
    assert report.low < report.perplexity < report.high


def test_masked_perplexity_does_not_depend_on_batches(tmp_path):
    settings = tiny.settings(tiny.model_folder(tmp_path / "m", "bert"), objective="masked")
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path / "cache")
    one, many = (perplexity(model, tokenizer, tiny.texts(9), Measuring(32, "masked", batch_tokens=n)) for n in (1, 500))
    assert one.document_nll == pytest.approx(many.document_nll, rel=1e-4)
    assert one.document_tokens.min() >= 1
    assert one.tokens < sum(len(text.split()) for text in tiny.texts(9))


def test_interval_covers_like_a_bootstrap_by_hand():
    random = np.random.default_rng(3)
    tokens = random.integers(5, 50, 40)
    nll = tokens * random.normal(3, 0.4, 40)
    report = PerplexityReport.of(nll, tokens, "causal")
    draws = [random.integers(0, 40, 40) for _ in range(4000)]
    by_hand = np.exp(np.quantile([nll[d].sum() / tokens[d].sum() for d in draws], (0.025, 0.975)))
    assert (report.low, report.high) == pytest.approx(by_hand, rel=0.02)


def test_nothing_to_predict_is_an_error(tmp_path):
    settings = tiny.settings(tiny.model_folder(tmp_path / "m", "llama"))
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path / "cache")
    with pytest.raises(TrainingError, match="none of 1 documents"):
        perplexity(model, tokenizer, ["w1"], Measuring(8))


def test_base_and_identical_copy_are_equal_and_the_base_is_measured_once(tmp_path):
    folder = tiny.model_folder(tmp_path / "m", "llama")
    settings = tiny.settings(folder)
    tiny.write_documents(tmp_path / "held" / "documents-0.parquet", tiny.texts(8))
    told: list[str] = []

    def measure() -> dict[str, PerplexityReport]:
        models = {"base": None, "copy": folder}
        return evaluate_perplexity(
            settings,
            models,
            tmp_path / "held",
            root=tmp_path,
            cache=tmp_path / "c",
            progress=lambda p: told.append(str(p)),
        )

    first = measure()
    assert first["base"].document_nll.tolist() == first["copy"].document_nll.tolist()
    told.clear()
    assert measure()["base"].as_summary() == first["base"].as_summary()
    assert not [line for line in told if line.startswith("base")]
