"""Prompts, limits and refusals of encoders, against sentence-transformers where it has an answer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from gotd_assets.embedding.embed import load_encoder
from gotd_assets.errors import InputError
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets_tests.embedding.test_sentence_folders import TEXTS, ours, theirs
from gotd_assets_tests.models import tiny
from gotd_assets_tests.models.sentence_folders import bert, dense, instructed, modules, prompted, t5, weighted, write


def test_prompts_are_taken_by_name_or_as_they_are(tmp_path: Path) -> None:
    prompted(tmp_path / "e5")
    for given in ("passage", "w3 "):
        np.testing.assert_allclose(
            ours(tmp_path / "e5", prompt=given), theirs(tmp_path / "e5", prompt_name="passage"), rtol=1e-4, atol=2e-5
        )
    np.testing.assert_allclose(
        ours(tmp_path / "e5", prompt=""), theirs(tmp_path / "e5", prompt=""), rtol=1e-4, atol=2e-5
    )
    assert np.abs(ours(tmp_path / "e5", prompt="") - ours(tmp_path / "e5")).max() > 0.01


def test_vectors_that_exist_take_no_prompt() -> None:
    with pytest.raises(ValidationError, match="drop prompt and target_prompt"):
        EncoderSettings(model="vectors", kind="precomputed", prompt="query: ")


@pytest.mark.parametrize("make", [weighted, instructed, t5])
def test_openvino_pools_and_transforms_as_well(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "model")
    found = ours(tmp_path / "model", backend="openvino")
    np.testing.assert_allclose(found, theirs(tmp_path / "model"), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["roberta", "mpnet", "bert"])
def test_texts_are_cut_to_the_positions_that_a_model_has(tmp_path: Path, kind: str) -> None:
    """64 positions are for 63 tokens where they are counted from the padding token's number 0 on, for 62 from 1 on."""
    folder = bert(tmp_path / kind) if kind == "bert" else tiny.other_encoder(tmp_path / kind, kind)
    most = {"bert": 64, "roberta": 63, "mpnet": 62}[kind]
    text = " ".join(tiny.WORDS) * 3
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        inputs = tokenizer(text, truncation=True, max_length=most, return_tensors="pt")
        expected = model(**inputs).last_hidden_state[0].mean(dim=0)
    np.testing.assert_allclose(ours(folder, [text], max_tokens=256)[0], expected, rtol=1e-4, atol=1e-5)


def lacks_a_layer(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in tensors.items() if "layer.1.output" not in k}, folder / "model.safetensors", {"format": "pt"}
    )


def prefixed(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({f"query_encoder.{k}": v for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def of_nan(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.LayerNorm.weight"][3] = np.nan
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def pickled_layer(folder: Path) -> None:
    modules(folder, ("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"))
    write(folder / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    dense(folder / "2_Dense", 16, 4, "torch.nn.modules.activation.Tanh")
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")


def odd_layer(folder: Path) -> None:
    pickled_layer(folder)
    dense(folder / "2_Dense", 12, 4, "torch.nn.modules.activation.Tanh")


def odd_activation(folder: Path) -> None:
    pickled_layer(folder)
    dense(folder / "2_Dense", 16, 4, "os.system")


def pooling_by(mode: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        modules(folder, ("Transformer", ""), ("Pooling", "1_Pooling"))
        write(folder / "1_Pooling" / "config.json", {"pooling_mode": mode})

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lacks_a_layer, r"lacks 4 of the weights of an encoder \(encoder.layer.1.output"),
        (prefixed, r"lacks \d+ of the weights .* they stand there under 'query_encoder.'"),
        (of_nan, "1 of 16 numbers of its weights embeddings.LayerNorm.weight are NaN"),
        (pickled_layer, "pickled ones .* are not loaded"),
        (odd_layer, "takes vectors of 12 numbers and is given 16"),
        (odd_activation, "activation os.system, which is none of PyTorch's"),
        (pooling_by("attention"), r"pooling \['attention'\]; supported are cls, max, mean"),
        (lambda folder: modules(folder, ("Transformer", ""), ("CNN", "1_CNN")), "asks for Transformer, CNN; supported"),
        (lambda folder: modules(folder, ("Own", ""), namespace="own_code."), "asks for code of its own"),
        (lambda folder: modules(folder, ("Transformer", "../..")), "outside the folder"),
        (
            lambda folder: (
                pooling_by("mean")(folder),
                write(folder / "sentence_bert_config.json", {"query_length": 32}),
            ),
            "asks for query_length 32",
        ),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, change: Callable[[Path], object], said: str) -> None:
    folder = bert(tmp_path / "model")
    change(folder)
    with pytest.raises(InputError, match=said):
        load_encoder(EncoderSettings(model=str(folder), dtype="float32", device="cpu"), tmp_path)


def test_a_pooler_may_be_missing(tmp_path: Path) -> None:
    folder = bert(tmp_path / "model")
    assert not [name for name in load_file(folder / "model.safetensors") if "pooler" in name]
    np.testing.assert_array_equal(ours(folder), ours(folder))
    np.testing.assert_allclose(ours(folder), theirs(folder), rtol=1e-4, atol=2e-5)
    assert len(TEXTS) == len(ours(folder))
