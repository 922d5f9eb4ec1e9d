"""Fine-tuning on labels and classification without: against scikit-learn, brute force and a task made to be easy."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gotd_assets.corpus.labelled import LabelledTexts, read_labelled
from gotd_assets.errors import InputError
from gotd_assets.evaluation.learning_curve import learning_curves
from gotd_assets.evaluation.probe import Probe
from gotd_assets.evaluation.scores import Scores
from gotd_assets.evaluation.zero_shot import zero_shot
from gotd_assets.models.language import load_language_model
from gotd_assets.models.layers import blocks_of, choose_trainable
from gotd_assets.models.placement import place
from gotd_assets.models.prefix import FrozenPrefix
from gotd_assets.settings.evaluation import ClassificationSettings
from gotd_assets.settings.texts import DuplicateSettings, PreparationSettings
from gotd_assets_tests.models import tiny
from gotd_assets_tests.models.bfloat16 import computes_in_bfloat16
from gotd_assets_tests.selection.pools import write_documents


def task(**changes):
    fixed = {
        "target": "film",
        "path": "labelled.jsonl",
        "labels": {"1": "w1", "0": "w2 w3"},
        "template": "{text} {label}",
        "sizes": [6, 24],
        "seeds": 2,
        "learning_rate": 0.01,
        "epochs": 6,
    }
    return ClassificationSettings(**(fixed | changes))


def easy(count, seed=0):
    """Texts whose words tell the label."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    words = [tiny.WORDS[:8], tiny.WORDS[60:68]]
    return LabelledTexts([" ".join(random.choice(words[label], 8)) for label in labels], labels)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_scores_are_those_of_their_definition(pairs):
    predicted, labels = np.array(pairs).T
    scores = Scores.of(predicted, labels, 4)
    assert scores.accuracy == pytest.approx(sum(p == truth for p, truth in pairs) / len(pairs))
    f1 = []
    for label in range(4):
        right = sum(p == truth == label for p, truth in pairs)
        marked = sum((p == label) + (truth == label) for p, truth in pairs)
        f1.append(2 * right / marked if marked else 0.0)
    assert scores.macro_f1 == pytest.approx(sum(f1) / 4)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert"])
def test_more_labels_teach_an_easy_task(tmp_path, kind):
    objective = "masked" if kind == "bert" else "causal"
    settings = tiny.settings(tiny.model_folder(tmp_path / "model", kind), objective=objective)
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path)
    curves = learning_curves(
        model,
        tokenizer,
        easy(60),
        easy(80, 1),
        task=task(sizes=[2, 60], epochs=15),
        settings=settings,
        scratch=tmp_path / "points",
    )
    curve = curves["fine-tuned"]
    assert set(curve) == set(curves["probe"]) == {(2, 0), (2, 1), (60, 0), (60, 1)}
    accuracy = {key: point.scores.accuracy for key, point in curve.items()}
    assert min(accuracy[60, seed] for seed in (0, 1)) > 0.9
    assert np.mean([accuracy[60, s] for s in (0, 1)]) > np.mean([accuracy[2, s] for s in (0, 1)])


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_a_few_labels_and_the_default_settings_are_as_good_as_a_probe(tmp_path, kind):
    settings = tiny.settings(
        tiny.model_folder(tmp_path / "model", kind), objective="masked" if kind == "bert" else "causal"
    )
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path)
    train, test = easy(40), easy(120, 1)
    default = {key: ClassificationSettings.model_fields[key].default for key in ("learning_rate", "epochs")}
    curves = learning_curves(
        model, tokenizer, train, test, task=task(sizes=[30], **default), settings=settings, scratch=tmp_path / "points"
    )

    def states(texts):
        model.eval()
        means = []
        for text in texts:
            with torch.no_grad():
                means.append(model.base_model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0))
        return torch.stack(means).numpy()

    for seed in (0, 1):
        rows = np.random.default_rng((seed, 7)).permutation(40)[:30]
        reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        reference.fit(states([train.texts[row] for row in rows]), train.labels[rows])
        accuracy = reference.score(states(test.texts), test.labels)
        assert accuracy > 0.6
        assert curves["probe"][30, seed].scores.accuracy == pytest.approx(accuracy, abs=0.02)
        assert curves["fine-tuned"][30, seed].scores.accuracy >= accuracy - 0.02


def test_a_label_that_no_drawn_text_has_is_never_the_likeliest(tmp_path):
    states = np.random.default_rng(0).normal(size=(12, 5))
    probe = Probe.fit(states, np.array([0, 2] * 6), 3)
    assert set(probe.predict(np.random.default_rng(1).normal(size=(50, 5)))) <= {0, 2}
    alone = Probe.fit(states, np.full(12, 1), 3)
    assert set(alone.predict(states)) == {1}


def test_a_task_without_fine_tuning_measures_the_probe_alone(tmp_path):
    settings = tiny.settings(tiny.model_folder(tmp_path / "model", "gpt2"))
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path)
    curves = learning_curves(
        model, tokenizer, easy(30), easy(20, 1), task=task(fine_tune=False), settings=settings, scratch=tmp_path / "p"
    )
    assert set(curves) == {"probe"}


def test_points_do_not_depend_on_those_before_and_the_model_comes_back(tmp_path):
    settings = tiny.settings(tiny.model_folder(tmp_path / "model", "gpt2"))
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    whole = learning_curves(
        model, tokenizer, easy(30), easy(20, 1), task=task(), settings=settings, scratch=tmp_path / "a"
    )["fine-tuned"]
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    last = learning_curves(
        model, tokenizer, easy(30), easy(20, 1), task=task(sizes=[24]), settings=settings, scratch=tmp_path / "b"
    )["fine-tuned"]
    assert last[24, 1].predicted.tolist() == whole[24, 1].predicted.tolist()


def test_finished_points_are_not_done_again(tmp_path):
    settings = tiny.settings(tiny.model_folder(tmp_path / "model", "gpt2"))
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path)
    (tmp_path / "points").mkdir()
    kept = {"accuracy": 0.125, "macro_f1": 0.25}
    (tmp_path / "points" / "fine-tuned-6-0.json").write_text(json.dumps({**kept, "predicted": [0] * 20}))
    curves = learning_curves(
        model, tokenizer, easy(30), easy(20, 1), task=task(), settings=settings, scratch=tmp_path / "points"
    )
    assert curves["fine-tuned"][6, 0].scores == Scores(**kept)
    assert (tmp_path / "points" / "fine-tuned-24-1.json").is_file()


def test_zero_shot_is_the_most_likely_continuation(tmp_path):
    settings = tiny.settings(tiny.model_folder(tmp_path / "model", "gpt2"), max_tokens=12)
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path)
    model.eval()
    texts = [*tiny.texts(30, 3), " ".join(tiny.WORDS[:40])]
    labels = np.arange(31) % 2
    words = [tokenizer("w1 w4")["input_ids"], tokenizer("w2 w3")["input_ids"]]
    predicted = []
    for text in texts:
        prefix = tokenizer(text)["input_ids"][: 12 - 2]
        likelihoods = []
        for continuation in words:
            ids = torch.tensor([prefix + continuation])
            with torch.no_grad():
                logs = model(input_ids=ids).logits.log_softmax(-1)[0]
            positions = range(len(prefix), len(prefix) + len(continuation))
            likelihoods.append(sum(float(logs[at - 1, ids[0, at]]) for at in positions))
        predicted.append(int(np.argmax(likelihoods)))
    assert 0 < sum(predicted) < len(predicted)
    expected = Scores.of(np.array(predicted), labels, 2)
    asked = task(labels={"a": "w1 w4", "b": "w2 w3"})
    assert zero_shot(model, tokenizer, LabelledTexts(texts, labels), asked, settings) == expected


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=computes_in_bfloat16)])
def test_frozen_blocks_are_run_once_for_all_models_of_a_task(tmp_path, precision):
    settings = tiny.settings(tiny.model_folder(tmp_path / "model", "llama"), trainable_layers=1, precision=precision)
    products = getattr(torch, precision)
    train, test = easy(30), easy(40, 1)
    found, passes = [], []
    for name in ("alone", "first", "second"):
        model, tokenizer = load_language_model(settings, tmp_path, tmp_path)
        model.config.use_cache = True
        place(model, torch.device("cpu"), products, exact=choose_trainable(model, settings))
        prefix = None
        if name != "alone":
            prefix = FrozenPrefix.of(model, tmp_path / "states", products, causal=True)
            assert prefix is not None
        count = []
        # A block that is stood in for is asked, too; what it is made of is not.
        part = next(blocks_of(model)[0].children())
        hook = part.register_forward_hook(lambda *_, count=count: count.append(1))
        zero = zero_shot(model, tokenizer, test, task(), settings, prefix=prefix)
        asked = {"task": task(), "settings": settings, "scratch": tmp_path / name, "prefix": prefix}
        curves = learning_curves(model, tokenizer, train, test, **asked)
        hook.remove()
        passes.append(len(count))
        predicted = {(way, *key): p.predicted.tolist() for way, curve in curves.items() for key, p in curve.items()}
        found.append((zero, predicted))
    assert found[1] == found[2]
    if precision == "float32":
        assert found[0] == found[1]
    # What is left are probes of what the model can do.
    assert passes[2] < 5 < passes[0]


def test_a_template_that_leaves_no_room_is_refused(tmp_path):
    settings = tiny.settings(tiny.model_folder(tmp_path / "model", "gpt2"), max_tokens=8)
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path)
    long = task(template="{text} w1 w2 w3 w4 w5 w6 w7 {label}")
    with pytest.raises(InputError, match="take 9 tokens"):
        zero_shot(model, tokenizer, easy(4), long, settings)


@pytest.mark.parametrize("template", ["{label} {text}", "{text}", "{text} {text} {label}", "so {label}"])
def test_the_label_stands_at_the_end_of_a_template(template):
    with pytest.raises(ValidationError, match="at the very end"):
        task(template=template)


def labelled_file(folder, rows):
    (folder / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(count):
    texts = tiny.texts(count, 5)
    return [{"text": f"{text} number {n}", "label": str(n % 3)} for n, text in enumerate(texts)]


def read(folder, **changes):
    pool = write_documents(folder / "pool", "pool", changes.pop("pool", ["nothing like it"]))
    out = folder / "out"
    out.mkdir()
    return out, read_labelled(task(**changes), PreparationSettings(), DuplicateSettings(), [pool], root=folder, out=out)


def test_labelled_texts_are_split_and_other_labels_counted(tmp_path):
    labelled_file(tmp_path, rows(150))
    out, counts = read(tmp_path)
    train, test = (pl.read_parquet(out / side / "documents-00000.parquet") for side in ("train", "test"))
    assert counts["other_labels"] == 50
    assert train.height + test.height == 100
    assert not set(train["doc_id"]) & set(test["doc_id"])
    assert set(train["label"]) == set(test["label"]) == {"0", "1"}


def test_texts_of_the_pool_are_not_measured_on(tmp_path):
    labelled_file(tmp_path, rows(150))
    (tmp_path / "first").mkdir()
    labelled_file(tmp_path / "first", rows(150))
    before, _ = read(tmp_path / "first")
    in_pool = pl.read_parquet(before / "test" / "documents-00000.parquet")["text"][:5].to_list()
    out, counts = read(tmp_path, pool=in_pool)
    left = pl.read_parquet(out / "test" / "documents-00000.parquet")["text"]
    assert not set(in_pool) & set(left)
    assert counts["test_documents_removed"] == 5


def test_too_few_texts_are_told(tmp_path):
    labelled_file(tmp_path, rows(30))
    with pytest.raises(InputError, match="24 are wanted"):
        read(tmp_path)


def test_unknown_labels_are_told_with_those_there_are(tmp_path):
    labelled_file(tmp_path, rows(30))
    with pytest.raises(InputError, match="found are: 0, 1, 2"):
        read(tmp_path, labels={"good": "w1", "bad": "w2"})
