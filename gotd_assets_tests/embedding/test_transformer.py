"""Transformer encoders against a plain forward pass of one text at a time, and the settings that say which they are."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from gotd_assets.embedding.embed import EmbeddingProgress, embed_documents, load_encoder
from gotd_assets.embedding.vectors import open_vectors
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.models import device
from gotd_assets.models.encoder import encoder_version
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets_tests.models import tiny
from gotd_assets_tests.models.bfloat16 import computes_in_bfloat16


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return tiny.model_folder(tmp_path / "encoder", "bert-headless")


def write_documents(folder: Path, texts: list[str], rows: int = 30) -> Path:
    folder.mkdir()
    frame = pl.DataFrame({"doc_id": [document_id(text) for text in texts], "text": texts})
    for number, start in enumerate(range(0, len(texts), rows)):
        frame.slice(start, rows).write_parquet(folder / f"documents-{number:05}.parquet")
    return folder


def one_by_one(encoder: Path, texts: list[str], pooling: str) -> np.ndarray:
    model, tokenizer = AutoModel.from_pretrained(encoder).eval(), AutoTokenizer.from_pretrained(encoder)
    rows = []
    with torch.no_grad():
        for text in texts:
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            rows.append(hidden[0] if pooling == "cls" else hidden.mean(dim=0))
    stacked = torch.stack(rows)
    return (stacked / stacked.norm(dim=1, keepdim=True)).numpy()


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_are_those_of_each_text_alone(
    encoder: Path, tmp_path: Path, pooling: str, backend: str, threads: int
) -> None:
    texts = list(dict.fromkeys(tiny.texts(70)))
    documents = write_documents(tmp_path / "documents", texts)
    settings = EncoderSettings(
        model=str(encoder),
        pooling=pooling,
        dtype="float32",
        storage_dtype="float32",
        batch_tokens=64,
        backend=backend,
    )
    (tmp_path / "out").mkdir()
    report = embed_documents(documents, settings, tmp_path, tmp_path / "store", tmp_path / "out")
    shards = open_vectors(tmp_path / "out")
    tokens = sum(len(ids) for ids in AutoTokenizer.from_pretrained(encoder)(texts)["input_ids"])
    assert (report.documents, report.embedded, report.tokens) == (len(texts), len(texts), tokens)
    assert shards.all_doc_ids().to_list() == [document_id(text) for text in texts]
    np.testing.assert_allclose(np.concatenate(shards.vectors), one_by_one(encoder, texts, pooling), atol=1e-5)
    assert torch.get_num_threads() == threads


def test_what_openvino_cannot_do_is_said(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = EncoderSettings(model=str(encoder), backend="openvino", device="cuda")
    with pytest.raises(InputError, match=r"set encoder\.device to 'cpu'"):
        load_encoder(on_gpu, tmp_path)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"pip install 'gotd-assets\[openvino\]'"):
        load_encoder(EncoderSettings(model=str(encoder), backend="openvino", device="cpu"), tmp_path)


def test_openvino_reports_to_nobody(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = pytest.importorskip("openvino_telemetry.utils.sender")
    sent = []
    monkeypatch.setattr(sender.TelemetrySender, "send", lambda _, backend, message: sent.append(message))
    monkeypatch.delenv("CI", raising=False)
    load_encoder(EncoderSettings(model=str(encoder), backend="openvino", device="cpu"), tmp_path)
    assert sent == []
    assert "CI" not in os.environ


def test_only_what_is_new_passes_through_the_encoder(encoder: Path, tmp_path: Path) -> None:
    texts = list(dict.fromkeys(tiny.texts(40)))
    settings = EncoderSettings(model=str(encoder))
    counts = []
    for number, part in enumerate((texts[:30], texts, texts[10:20])):
        documents = write_documents(tmp_path / f"documents-{number}", part)
        (tmp_path / f"out-{number}").mkdir()
        report = embed_documents(documents, settings, tmp_path, tmp_path / "store", tmp_path / f"out-{number}")
        counts.append((report.embedded, report.reused))
    assert counts == [(30, 0), (len(texts) - 30, 30), (0, 10)]
    first, last = (open_vectors(tmp_path / f"out-{n}") for n in (0, 2))
    np.testing.assert_array_equal(last.vectors[0], first.vectors[0][10:20])


@pytest.mark.parametrize("lexical", [None, 0.5])
def test_what_is_embedded_when_a_run_ends_is_kept_but_for_a_few_hundred(
    encoder: Path, tmp_path: Path, lexical: float | None
) -> None:
    texts = list(dict.fromkeys(tiny.texts(1600)))
    documents = write_documents(tmp_path / "documents", texts, rows=4096)
    settings = EncoderSettings(model=str(encoder), device="cpu", lexical=lexical)
    folders = {name: tmp_path / name for name in ("out", "again")}
    for folder in folders.values():
        folder.mkdir()

    def end(state: EmbeddingProgress) -> None:
        if state.done >= 1200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_documents(documents, settings, tmp_path, tmp_path / "store", folders["out"], progress=end)
    kept = {len(np.load(path)) for path in tmp_path.glob("store/*/ids-*.npy")}
    assert kept == {512}
    assert len(list(tmp_path.glob("store/*/ids-*.npy"))) == 2
    passed: list[int] = []
    embed_documents(
        documents,
        settings,
        tmp_path,
        tmp_path / "store",
        folders["again"],
        progress=lambda state: passed.append(state.tokens),
    )
    alone = load_encoder(settings.model_copy(update={"lexical": None}), tmp_path)
    tokens: list[int] = []
    list(alone.encode(texts[1024:], lambda _, n_tokens: tokens.append(n_tokens)))
    assert passed[-1] == sum(tokens), "something was embedded twice"


def test_the_version_follows_content_and_settings_not_place(encoder: Path, tmp_path: Path) -> None:
    base = encoder_version(EncoderSettings(model=str(encoder)), tmp_path)
    moved = encoder.rename(tmp_path / "elsewhere")
    assert encoder_version(EncoderSettings(model=str(moved)), tmp_path) == base
    assert encoder_version(EncoderSettings(model=str(moved), device="cuda", batch_tokens=64), tmp_path) == base
    assert encoder_version(EncoderSettings(model=str(moved), max_tokens=8), tmp_path) != base
    assert encoder_version(EncoderSettings(model=str(moved), backend="openvino"), tmp_path) != base
    (moved / "tokenizer_config.json").write_text("{}")
    assert encoder_version(EncoderSettings(model=str(moved)), tmp_path) != base


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("./missing", "does not exist"),
        ("package:no_such_package", "no installed package"),
        ("org/name", "set encoder.revision"),
        ("empty", "has no weights"),
    ],
)
def test_a_model_that_cannot_be_used_is_named(tmp_path: Path, model: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        encoder_version(EncoderSettings(model=model), tmp_path)


# DeBERTa as transformers has it mixes float32 into its attention scores.
@computes_in_bfloat16
@pytest.mark.parametrize("kind", ["distilbert", "roberta", "mpnet"])
def test_other_architectures_compute_in_bfloat16(tmp_path: Path, kind: str) -> None:
    encoder = tiny.other_encoder(tmp_path / kind, kind)
    texts = tiny.texts(40, seed=5)
    settings = EncoderSettings(model=str(encoder), dtype="bfloat16", device="cpu", batch_tokens=64)
    (vectors,) = load_encoder(settings, tmp_path).encode(texts, lambda *_: None)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (vectors * one_by_one(encoder, texts, "mean")).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("kind", ["distilbert", "roberta", "mpnet"])
def test_openvino_in_the_arithmetic_of_the_processor(tmp_path: Path, kind: str, pooling: str) -> None:
    encoder = tiny.other_encoder(tmp_path / kind, kind)
    texts = tiny.texts(40, seed=5)
    settings = EncoderSettings(
        model=str(encoder), dtype="auto", device="cpu", backend="openvino", pooling=pooling, batch_tokens=64
    )
    (vectors,) = load_encoder(settings, tmp_path).encode(texts, lambda *_: None)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (vectors * one_by_one(encoder, texts, pooling)).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("most_copied", [0, 1 << 30])
def test_openvino_gives_texts_of_common_and_rare_lengths_their_vectors(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_copied: int
) -> None:
    monkeypatch.setattr("gotd_assets.embedding.encoders.openvino_model._MOST_COPIED", most_copied)
    words = " ".join(tiny.texts(30, seed=5)).split()
    lengths = [3] * 37 + [20] * 21 + [29] * 9 + [24, 14, 13]
    texts = [" ".join(words[number : number + length]) for number, length in enumerate(lengths)]
    settings = EncoderSettings(model=str(encoder), dtype="float32", device="cpu", backend="openvino", batch_tokens=64)
    ticks: list[tuple[int, int]] = []
    (vectors,) = load_encoder(settings, tmp_path).encode(texts, lambda *tick: ticks.append(tick))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, one_by_one(encoder, texts, "mean"), atol=1e-5)
    assert sum(documents for documents, _ in ticks) == len(texts)


def test_a_length_that_openvino_cannot_compile_is_said(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EncoderSettings(model=str(encoder), dtype="float32", device="cpu", backend="openvino", batch_tokens=64)
    loaded = load_encoder(settings, tmp_path)

    def reshape(*_: object) -> None:
        raise RuntimeError("no such shape\nin the graph")

    monkeypatch.setattr("openvino.Model.reshape", reshape)
    with pytest.raises(InputError, match=r"cannot run \w+ \(no such shape\): set it to 'torch'"):
        list(loaded.encode(["w1 w2 w3"] * 40, lambda *_: None))


@pytest.mark.parametrize("kind", ["deberta", "distilbert", "roberta", "mpnet"])
def test_other_architectures_give_the_vectors_of_each_text_alone(tmp_path: Path, kind: str) -> None:
    encoder = tiny.other_encoder(tmp_path / kind, kind)
    # Three segments, so that one is cut into tokens while another is computed.
    texts = list(dict.fromkeys(tiny.texts(90, seed=5)))
    settings = EncoderSettings(model=str(encoder), dtype="float32", batch_tokens=64)
    ticks: list[tuple[int, int]] = []
    loaded = load_encoder(settings, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gotd_assets.embedding.encoders.transformer.SEGMENT_ROWS", 32)
        segments = list(loaded.encode(texts, lambda *tick: ticks.append(tick)))
    vectors = np.concatenate(segments)
    assert [len(segment) for segment in segments] == [32, 32, len(texts) - 64]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, one_by_one(encoder, texts, "mean"), atol=1e-5)
    assert sum(documents for documents, _ in ticks) == len(texts)


def test_hardly_anything_is_padded(encoder: Path, tmp_path: Path) -> None:
    settings = EncoderSettings(model=str(encoder), dtype="float32", batch_tokens=256)
    loaded = load_encoder(settings, tmp_path)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(loaded.model), "forward", _counted(type(loaded.model).forward, lambda ids: seen.append(ids.shape))
        )
        tokens: list[int] = []
        list(loaded.encode(tiny.texts(1500), lambda _, n_tokens: tokens.append(n_tokens)))
    computed = sum(rows * length for rows, length in seen)
    assert max(rows * length for rows, length in seen) <= 256
    assert sum(tokens) <= computed < 1.05 * sum(tokens)


def _counted(forward, note):
    def counting(self, input_ids, **others):
        note(input_ids)
        return forward(self, input_ids=input_ids, **others)

    return counting


@computes_in_bfloat16
def test_arithmetic_is_bfloat16_only_where_the_processor_has_it(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for has_it, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(device, "has_bfloat16", lambda _, found=has_it: found)
        loaded = load_encoder(EncoderSettings(model=str(encoder), device="cpu"), tmp_path)
        assert loaded.model.dtype is dtype
        (vectors,) = loaded.encode(["w1 w2 w3", "w4"], lambda *_: None)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = (vectors * one_by_one(encoder, ["w1 w2 w3", "w4"], "mean")).sum(axis=1)
        assert cosines.min() > 0.999


def test_code_that_comes_with_a_model_runs_only_if_asked(encoder: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (encoder / "own.py").write_text(
        f"open({str(ran)!r}, 'w').close()\nfrom transformers import BertConfig, BertModel\n"
        "class OwnConfig(BertConfig):\n    model_type = 'own'\nclass OwnModel(BertModel):\n    config_class = OwnConfig\n"
    )
    config = json.loads((encoder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}}
    (encoder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="cannot be loaded"):
        load_encoder(EncoderSettings(model=str(encoder)), tmp_path)
    assert not ran.exists()


def test_a_model_on_the_hub_is_read_at_its_revision(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as hub

    revision = "b" * 40
    snapshot = tmp_path / "hub" / "models--org--name" / "snapshots" / revision
    snapshot.parent.mkdir(parents=True)
    encoder.rename(snapshot)
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    settings = EncoderSettings(model="org/name", revision=revision, dtype="float32")
    (found,) = load_encoder(settings, tmp_path).encode(["w1 w2"], lambda *_: None)
    there = load_encoder(EncoderSettings(model=str(snapshot), dtype="float32"), tmp_path)
    (others,) = there.encode(["w1 w2"], lambda *_: None)
    np.testing.assert_array_equal(found, others)
    assert encoder_version(settings, tmp_path) != encoder_version(
        settings.model_copy(update={"revision": "c" * 40}), tmp_path
    )
    with pytest.raises(InputError, match="cannot be loaded"):
        load_encoder(settings.model_copy(update={"revision": "c" * 40}), tmp_path)
