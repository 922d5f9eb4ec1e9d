"""Methods that ask the base model, against plain transformers, one text at a time."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gotd_assets.embedding.kept import KeptVectors, state_encoder
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.methods import SelectionProblem, select
from gotd_assets.settings.training import TrainingSettings
from gotd_assets.training.gradients import DIMENSION, LastLayerGradients
from gotd_assets.training.warm_up import WarmUp
from gotd_assets_tests.models.tiny import WORDS, model_folder
from gotd_assets_tests.selection.pools import make_pool, write_documents


def topic(words: list[str], count: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(words, size=int(draw.integers(4, 12)))) for _ in range(count)]


def problem_of(folder: Path, **changes) -> SelectionProblem:
    """Sixty documents of words that the tiny model knows, and five of the target; vectors and scores are any."""
    draw = np.random.default_rng(5)
    texts = sorted(set(topic(WORDS, 60, 7)), key=document_id)
    pool = make_pool(folder, {"s": (texts, draw.standard_normal((len(texts), 4)))})
    scores = pool.doc_ids().with_columns(score=pl.Series(draw.standard_normal(pool.n_rows)))
    arguments = {
        "budget": 10,
        "seed": 0,
        "documents": {"s": write_documents(folder / "text", "s", texts)},
        "target_texts": pl.Series(topic(WORDS[:20], 5, 1)),
        **changes,
    }
    return SelectionProblem(scores, pool, draw.standard_normal((5, 4)).astype(np.float32), **arguments)


def plain_states(folder: Path, text: str) -> np.ndarray:
    """Σ_t t·h_t / Σ_t t of the last hidden states, of length one."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        states = model(ids, output_hidden_states=True).hidden_states[-1][0].double().numpy()
    mean = (np.arange(1, len(states) + 1)[:, None] * states).sum(axis=0)
    return mean / np.linalg.norm(mean)


def test_rds_plus_takes_turns_by_weighted_states(tmp_path: Path) -> None:
    model = model_folder(tmp_path / "model", "gpt2")
    training = TrainingSettings(model=str(model), max_tokens=32, precision="float32")
    encoder = state_encoder(training, tmp_path, tmp_path / "cache").model_copy(
        update={"dtype": "float32", "storage_dtype": "float32"}
    )
    states = KeptVectors(encoder, tmp_path, tmp_path / "vectors")
    problem = problem_of(tmp_path / "pool", budget=15, states=states)
    texts = pl.concat([pl.read_parquet(path / "documents-00000.parquet") for path in problem.documents.values()])
    pool = np.stack([plain_states(model, text) for text in texts["text"]])
    target = np.stack([plain_states(model, text) for text in problem.target_texts])
    np.testing.assert_allclose(states(texts.select("doc_id", "text")), pool, atol=1e-5)
    similarity, picked = target @ pool.T, []
    while len(picked) < 15:
        best = int(similarity[len(picked) % len(target)].argmax())
        picked.append(texts["doc_id"][best])
        similarity[:, best] = -np.inf
    assert select("rds-plus", problem)["doc_id"].to_list() == picked


def test_what_rds_plus_embedded_is_not_embedded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = TrainingSettings(model=str(model_folder(tmp_path / "model", "gpt2")), max_tokens=32)
    encoder = state_encoder(training, tmp_path, tmp_path / "cache")
    problem = problem_of(tmp_path / "pool", budget=5, states=KeptVectors(encoder, tmp_path, tmp_path / "vectors"))
    first = select("rds-plus", problem)
    monkeypatch.setattr("gotd_assets.embedding.kept.load_encoder", lambda *_: pytest.fail("embedded again"))
    again = problem_of(tmp_path / "again", budget=5, states=KeptVectors(encoder, tmp_path, tmp_path / "vectors"))
    assert select("rds-plus", again).equals(first)


def test_masked_models_and_targets_to_stay_away_from_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="objective is 'masked'"):
        state_encoder(TrainingSettings(model="m", objective="masked"), tmp_path, tmp_path)
    with pytest.raises(InputError, match=r"set training\.model"):
        select("rds-plus", problem_of(tmp_path / "pool"))
    with pytest.raises(InputError, match="cannot select away"):
        select("rds-plus", problem_of(tmp_path / "away", direction="away", states=lambda _: np.zeros((0, 2))))
    with pytest.raises(InputError, match=r"set training\.model"):
        select("tacs", problem_of(tmp_path / "tacs"))


def warm_up(folder: Path, target: list[str]) -> WarmUp:
    settings = TrainingSettings(
        model=str(folder / "model"), max_tokens=32, learning_rate=0.01, epochs=4.0, batch_size=4, precision="float32"
    )
    return WarmUp(settings, target, root=folder, cache=folder / "cache")


def test_tacs_takes_what_the_target_made_easier(tmp_path: Path) -> None:
    model = model_folder(tmp_path / "model", "gpt2")
    target = topic(WORDS[:20], 24, 1)
    drops = warm_up(tmp_path, target)
    like, unlike = topic(WORDS[:20], 20, 2), topic(WORDS[40:60], 20, 3)
    frame = pl.DataFrame({"doc_id": [document_id(text) for text in like + unlike], "text": like + unlike})
    found = drops(frame)
    # The chance that a text like the target is found easier than one that is not.
    assert (found[:20, None] > found[None, 20:]).mean() > 0.95

    # The losses behind it, by transformers' own loss of each text.
    tokenizer = AutoTokenizer.from_pretrained(model)
    losses = []
    for weights in drops._weights:
        plain = AutoModelForCausalLM.from_pretrained(model).eval()
        plain.load_state_dict(weights, strict=False)
        ids = [torch.tensor([tokenizer(text)["input_ids"]]) for text in frame["text"]]
        with torch.no_grad():
            losses.append(np.array([plain(one, labels=one).loss.item() for one in ids]))
    np.testing.assert_allclose(found, (losses[0] - losses[1]) / losses[0], atol=1e-4)

    problem = problem_of(tmp_path / "pool", budget=10, loss_drops=drops)
    texts = pl.concat([pl.read_parquet(path / "documents-00000.parquet") for path in problem.documents.values()])
    order = np.argsort(-drops(texts.select("doc_id", "text")), kind="stable")[:10]
    assert set(select("tacs", problem)["doc_id"]) == set(texts["doc_id"].gather(order))


def test_a_warm_up_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model_folder(tmp_path / "model", "gpt2")
    frame = pl.DataFrame({"doc_id": [document_id("w1 w2 w3"), document_id("w4")], "text": ["w1 w2 w3", "w4"]})
    first = warm_up(tmp_path, ["w1 w2", "w2 w3 w1"])(frame)
    assert np.isfinite(first[0])
    monkeypatch.setattr("gotd_assets.training.warm_up.train", lambda *_, **__: pytest.fail("trained again"))
    np.testing.assert_array_equal(warm_up(tmp_path, ["w1 w2", "w2 w3 w1"])(frame), first)


def plain_gradient(folder: Path, text: str) -> np.ndarray:
    """By transformers' own loss, of the last block and what comes after it."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    model(ids, labels=ids).loss.backward()
    last = [*model.transformer.h[-1].parameters(), *model.transformer.ln_f.parameters()]
    return np.concatenate([weights.grad.flatten().double().numpy() for weights in last])


def test_less_lite_takes_turns_by_gradients_of_the_last_layer(tmp_path: Path) -> None:
    model = model_folder(tmp_path / "model", "gpt2")
    training = TrainingSettings(model=str(model), max_tokens=32, precision="float32")
    gradients = LastLayerGradients(training, tmp_path, tmp_path / "cache")
    texts = topic(WORDS[:40], 12, 4)
    frame = pl.DataFrame({"doc_id": [document_id(text) for text in texts], "text": texts})
    sketched = gradients(frame)
    exact = np.stack([plain_gradient(model, text) for text in texts])
    lengths = np.linalg.norm(exact, axis=1)
    errors = (sketched @ sketched.T - exact @ exact.T) / np.outer(lengths, lengths)
    # Each product has a standard error of at most √2 over the root of the sketch's size.
    assert np.sqrt((errors**2).mean()) < np.sqrt(2 / DIMENSION) * 1.3

    problem = problem_of(tmp_path / "pool", budget=4, gradients=gradients)
    first = problem.scores.sort("score", "doc_id").head(40)["doc_id"].to_list()
    documents = pl.concat([pl.read_parquet(path / "documents-00000.parquet") for path in problem.documents.values()])
    documents = documents.filter(pl.col("doc_id").is_in(first)).sort("doc_id").select("doc_id", "text")
    target = pl.DataFrame(
        {"doc_id": [document_id(text) for text in problem.target_texts], "text": problem.target_texts}
    )

    def directions(of: pl.DataFrame) -> np.ndarray:
        found = gradients(of)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    similarity, picked = directions(target) @ directions(documents).T, []
    while len(picked) < 4:
        best = int(similarity[len(picked)].argmax())
        picked.append(documents["doc_id"][best])
        similarity[:, best] = -np.inf
    assert select("less-lite", problem)["doc_id"].to_list() == picked
