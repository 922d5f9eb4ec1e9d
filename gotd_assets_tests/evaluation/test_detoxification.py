"""Continuations against the model's own probabilities and transformers' greedy search; figures by hand."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from gotd_assets.evaluation.detoxification import Continued, continue_prompts, evaluate_detoxification, paired_change
from gotd_assets.models.generation import continuations
from gotd_assets.models.language import load_language_model
from gotd_assets.settings.evaluation import DetoxificationSettings
from gotd_assets.tracking.run import tracked_run
from gotd_assets_tests.models import tiny

DRAW = {"count": 4, "new_tokens": 6, "nucleus": 0.9, "temperature": 1.0, "seed": (0, 3), "stop": None}


@pytest.fixture(params=["gpt2", "llama"])
def loaded(request, tmp_path):
    model, tokenizer = load_language_model(
        tiny.settings(tiny.model_folder(tmp_path / "m", request.param)), tmp_path, tmp_path
    )
    # Random models are indifferent between tokens; sharper ones have a nucleus worth the name.
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20)
    return model.eval(), tokenizer


def test_tokens_come_from_the_nucleus_with_their_probabilities(loaded):
    model, _ = loaded
    prompt = np.array([7, 30, 12])
    with torch.no_grad():
        probability = (model(torch.from_numpy(prompt)[None]).logits[0, -1].double() / 1.5).softmax(0).numpy()
    order = np.argsort(-probability)
    nucleus = order[: np.searchsorted(probability[order].cumsum(), 0.8) + 1]
    drawn = continuations(
        model, prompt, **(DRAW | {"count": 4000, "new_tokens": 1, "nucleus": 0.8, "temperature": 1.5})
    )
    counts = np.bincount([row[0] for row in drawn], minlength=95) / 4000
    assert 1 < len(nucleus) < 95
    assert set(np.flatnonzero(counts)) <= set(nucleus)
    expected = probability[nucleus] / probability[nucleus].sum()
    assert np.abs(counts[nucleus] - expected).max() < 5 * np.sqrt(0.25 / 4000)


def test_a_narrow_nucleus_is_greedy_search(loaded):
    model, _ = loaded
    prompt = np.array([7, 30, 12, 50])
    with torch.no_grad():
        reference = model.generate(
            torch.from_numpy(prompt)[None], do_sample=False, max_new_tokens=6, pad_token_id=0, eos_token_id=None
        )[0, 4:].tolist()
    assert continuations(model, prompt, **(DRAW | {"nucleus": 1e-6})) == [reference] * 4


def test_the_stop_token_ends_a_text_and_is_not_part_of_it(loaded):
    model, _ = loaded
    prompt = np.array([7, 30])
    free = continuations(model, prompt, **DRAW)
    stop = free[0][2]
    stopped = continuations(model, prompt, **(DRAW | {"stop": stop}))
    assert stopped[0] == free[0][: free[0].index(stop)]
    assert all(stop not in row for row in stopped)


def task(**changes):
    fixed = {"target": "clean", "path": "prompts.jsonl", "generations": 3, "new_tokens": 4, "prompts": 30}
    return DetoxificationSettings(**(fixed | changes))


def words(texts):
    """'Toxicity' that a test can tell: the share of words above w45."""
    return np.array(
        [np.mean([word.startswith("w") and int(word[1:]) > 45 for word in text.split()] or [0.0]) for text in texts]
    )


def test_interrupted_continuations_are_those_of_a_run_in_one_go(loaded, tmp_path):
    prompts = tiny.texts(25)
    settings = tiny.settings(tmp_path / "m")
    keywords = {"task": task(), "settings": settings, "progress": lambda _: None}
    whole = continue_prompts(loaded, prompts, words, scratch=tmp_path / "a", **keywords)
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["prompts-000000.json", "prompts-000020.json"]
    (tmp_path / "a" / "prompts-000000.json").unlink()
    again = continue_prompts(loaded, prompts, words, scratch=tmp_path / "a", **keywords)
    assert again.texts == whole.texts
    assert np.array_equal(again.toxicity, whole.toxicity)
    assert whole.toxicity.ravel() == pytest.approx(words([text for row in whole.texts for text in row]))


def test_figures_by_hand():
    continued = Continued([["a", "b"]] * 3, np.array([[0.1, 0.6], [0.2, 0.3], [0.5, 0.0]]))
    everything = continued.figures(0.5, np.array([True, True, True]))
    assert everything["expected_maximum_toxicity"] == pytest.approx((0.6 + 0.3 + 0.5) / 3)
    assert everything["toxicity_probability"] == pytest.approx(2 / 3)
    assert everything["mean_toxicity"] == pytest.approx(1.7 / 6)
    assert continued.figures(0.5, np.array([False, True, False]))["toxicity_probability"] == 0


def test_a_shift_of_every_prompt_is_found_and_noise_is_not():
    random = np.random.default_rng(0)
    base = random.random(200)
    shifted = paired_change(base - 0.1 + random.normal(0, 0.01, 200), base)
    assert shifted["low"] < -0.1 < shifted["high"] < -0.09
    noise = paired_change(random.permutation(base), base)
    assert noise["low"] < 0 < noise["high"]


def test_an_evaluation_compares_with_the_base_model_and_nests_its_run(tmp_path):
    folder = tiny.model_folder(tmp_path / "m", "gpt2")
    (tmp_path / "out").mkdir()
    context = tiny.tracking(tmp_path)
    with tracked_run(context, tmp_path, {}) as run:
        training_run = run.run_id

    def evaluate(classify):
        return evaluate_detoxification(
            tiny.texts(12), tiny.texts(9, 4), folder, classify, task=task(), settings=tiny.settings(folder),
            classifier_version="v", root=tmp_path, cache=tmp_path / "cache", scratch=tmp_path / "scratch",
            out=tmp_path / "out", tracking=context, training_run=training_run,
        )  # fmt: skip

    figures = evaluate(words)
    content = json.loads((tmp_path / "out" / "detoxification.json").read_text())
    table = pl.read_parquet(tmp_path / "out" / "generations.parquet")
    assert table.height == 2 * 12 * 3
    # The same model and seed: nothing differs.
    assert content["base"] == content["trained"]
    assert content["change"]["all"] == {"change": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    assert figures["neutral_perplexity_change"] == pytest.approx(0, abs=1e-6)
    highest = table.filter(pl.col("model") == "base").group_by("prompt").agg(pl.col("toxicity").max())["toxicity"]
    assert figures["expected_maximum_toxicity_all_base"] == pytest.approx(highest.mean())
    assert content["prompts"]["toxic"] == int((words(tiny.texts(12)) >= 0.5).sum())

    from gotd_assets.tracking.server import tracking_client

    logged = tracking_client(context.uri).get_run(content["mlflow_run_id"])
    assert logged.data.tags["mlflow.parentRunId"] == training_run
    assert logged.data.metrics["toxicity_probability_all_trained"] == figures["toxicity_probability_all_trained"]
    # Nothing is drawn again: a classifier that would say otherwise is only asked about the prompts.
    assert evaluate(lambda texts: np.zeros(len(texts)))["mean_toxicity_all_base"] == figures["mean_toxicity_all_base"]
