import pytest
import torch
from transformers import RobertaConfig, RobertaForMaskedLM

from gotd_assets.errors import InputError
from gotd_assets.models.language import load_language_model, model_version
from gotd_assets.settings.training import TrainingSettings
from gotd_assets_tests.models import tiny


def test_version_follows_the_content_not_the_place(tmp_path):
    one = tiny.model_folder(tmp_path / "one", "gpt2")
    two = tiny.model_folder(tmp_path / "two", "gpt2")
    version = model_version(tiny.settings(one), tmp_path)
    assert model_version(tiny.settings(two), tmp_path) == version
    (two / "config.json").write_text((two / "config.json").read_text() + "\n")
    assert model_version(tiny.settings(two), tmp_path) != version


def test_hub_model_is_its_id_and_revision(tmp_path):
    assert model_version(TrainingSettings(model="org/name", revision="a" * 40), tmp_path) == "org/name@" + "a" * 40


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("org/name", "set training.revision"),
        ("./missing", "does not exist"),
        ("models/none/here", "does not exist"),
        ("gone.gguf", "does not exist"),
        ("package:no_such_package_here", "no installed package"),
        ("package:yaml/../..", "leaves the package"),
    ],
)
def test_unusable_names_are_explained(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        model_version(TrainingSettings(model=name), tmp_path)


@pytest.mark.parametrize(("file", "message"), [("config.json", "no weights"), ("pytorch_model.bin", "can run code")])
def test_folders_without_safetensors_are_refused(tmp_path, file, message):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / file).write_text("{}")
    with pytest.raises(InputError, match=message):
        model_version(TrainingSettings(model="m"), tmp_path)


def test_masked_model_without_its_head_is_refused(tmp_path):
    settings = tiny.settings(tiny.model_folder(tmp_path / "m", "bert-headless"), objective="masked")
    with pytest.raises(InputError, match="head is missing"):
        load_language_model(settings, tmp_path, tmp_path / "cache")


def test_more_tokens_than_positions_are_refused(tmp_path):
    settings = tiny.settings(tiny.model_folder(tmp_path / "m", "gpt2"), max_tokens=65)
    with pytest.raises(InputError, match="at most 64"):
        load_language_model(settings, tmp_path, tmp_path / "cache")


def test_positions_are_counted_from_the_padding_token_on(tmp_path):
    """As RoBERTa's 514 positions are for 512 tokens."""
    config = RobertaConfig(
        vocab_size=95,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=34,
        pad_token_id=1,
    )
    RobertaForMaskedLM(config).save_pretrained(tmp_path / "m")
    tiny.tokenizer(masked=True).save_pretrained(tmp_path / "m")
    settings = tiny.settings(tmp_path / "m", objective="masked", max_tokens=33)
    with pytest.raises(InputError, match="at most 32"):
        load_language_model(settings, tmp_path, tmp_path / "cache")
    model, _ = load_language_model(settings.model_copy(update={"max_tokens": 32}), tmp_path, tmp_path / "cache")
    ids = torch.full((1, 32), 9)
    assert torch.isfinite(model(input_ids=ids).logits).all()
    with pytest.raises((IndexError, RuntimeError), match="index"):
        model(input_ids=torch.full((1, 33), 9))


def test_model_inside_an_installed_package(tmp_path, monkeypatch):
    folder = tiny.model_folder(tmp_path / "carrier" / "weights", "llama")
    (tmp_path / "carrier" / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    settings = tiny.settings(folder).model_copy(update={"model": "package:carrier/weights"})
    model, _ = load_language_model(settings, tmp_path, tmp_path / "cache")
    direct, _ = load_language_model(tiny.settings(folder), tmp_path, tmp_path / "cache")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), direct.parameters(), strict=True))


def test_an_encoder_is_no_causal_model(tmp_path):
    folder = tiny.model_folder(tmp_path / "model", "bert")
    with pytest.raises(InputError, match="is not causal"):
        load_language_model(TrainingSettings(model=str(folder), objective="causal", max_tokens=32), tmp_path, tmp_path)
