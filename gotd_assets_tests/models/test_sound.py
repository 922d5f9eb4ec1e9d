"""Models that are missing, cut off, damaged or only pointed to are told before anything works, in a sentence each."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gotd_assets.errors import InputError
from gotd_assets.models.language import load_language_model
from gotd_assets.models.sound import look_at_base_model, look_at_classifier, look_at_encoder
from gotd_assets.models.toxicity import ToxicityClassifier
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.evaluation import ToxicitySettings
from gotd_assets_tests.models import tiny
from gotd_assets_tests.models.sentence_folders import FOLDERS, bert, two_layers

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def look(folder: Path) -> None:
    look_at_encoder(EncoderSettings(model=str(folder)), folder.parent)


def cut(name: str, keep: float = 0.5) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * keep)])

    return change


def replace(name: str, content: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def in_parts(folder: Path) -> None:
    """Weights in two files with an index, of which one was not downloaded."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    places = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(names)}
    (folder / "model.safetensors").unlink()
    for file in set(places.values()):
        save_file({name: tensors[name] for name in names if places[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def part_missing(folder: Path) -> None:
    in_parts(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def parts_of_another(folder: Path) -> None:
    in_parts(folder)
    save_file({"other": np.zeros(2)}, folder / "model-00002-of-00002.safetensors", {"format": "pt"})


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pointer": (replace("model.safetensors", POINTER), "pointer of Git LFS, not the file of 12,345 bytes"),
    "pointer to the tokenizer": (replace("tokenizer.json", POINTER), r"tokenizer.json is a pointer of Git LFS"),
    "weights cut off": (cut("model.safetensors"), r"is cut off: [\d,]+ of its [\d,]+ bytes are there"),
    "header cut off": (cut("model.safetensors", 0.01), "is cut off"),
    "empty weights": (replace("model.safetensors", b""), "is cut off: 0 bytes are there"),
    "weights too long": (
        lambda folder: (folder / "model.safetensors").open("ab").write(b"abc"),
        "3 bytes more than its header says",
    ),
    "noise": (replace("model.safetensors", b"noise " * 900), "is no safetensors file"),
    "a page instead": (replace("model.safetensors", "<!doctype html>" * 20), "is no safetensors file"),
    "no weights": (remove("model.safetensors"), "has no weights"),
    "part missing": (part_missing, "lacks model-00002-of-00002.safetensors, of which"),
    "parts of another model": (parts_of_another, "the files do not belong together"),
    "config cut off": (cut("config.json"), "config.json is no JSON"),
    "config a list": (replace("config.json", "[1]"), "holds list where an object"),
    "config too deep": (replace("config.json", "[" * 100_000), "config.json is no JSON"),
    "config of another encoding": (replace("config.json", '{"a": "é"}'.encode("utf-16")), "is not UTF-8"),
    "no config": (remove("config.json"), "has no config.json"),
    "tokenizer cut off": (cut("tokenizer.json"), "tokenizer.json is no tokenizer"),
    "tokenizer's config cut off": (cut("tokenizer_config.json"), "tokenizer_config.json is no JSON"),
    "no tokenizer": (
        lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "tokenizer_config.json")],
        r"has no tokenizer \(tokenizer.json\)",
    ),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("sound") / "model")


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    for file in sound.iterdir():
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    return tmp_path / "model"


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_told_at_once_and_of_every_model(folder: Path, name: str) -> None:
    change, said = DAMAGES[name]
    change(folder)
    with pytest.raises(InputError, match=said) as of_encoder:
        look(folder)
    assert str(of_encoder.value).startswith("encoder.model")
    assert str(folder) in str(of_encoder.value)
    for other in (
        lambda: look_at_base_model(tiny.settings(folder), folder.parent),
        lambda: look_at_classifier(ToxicitySettings(model=str(folder)), folder.parent),
    ):
        with pytest.raises(InputError):
            other()


@pytest.mark.parametrize("name", DAMAGES)
def test_loading_says_it_too(folder: Path, name: str) -> None:
    DAMAGES[name][0](folder)
    # transformers needs no configuration of the tokenizer, reads past the end of weights that are too long, and knows a tokenizer by its model's kind.
    for load in (
        lambda: load_language_model(tiny.settings(folder, objective="masked"), folder.parent, folder.parent / "cache"),
        lambda: ToxicityClassifier(ToxicitySettings(model=str(folder)), folder.parent),
    ):
        with pytest.raises(InputError):
            load()


@pytest.mark.parametrize("name", FOLDERS)
def test_sound_folders_are_passed(tmp_path: Path, name: str) -> None:
    FOLDERS[name](tmp_path / name)
    look(tmp_path / name)


def test_layers_after_the_transformer_are_looked_at(tmp_path: Path) -> None:
    two_layers(tmp_path / "model")
    cut("2_Dense/model.safetensors", 0.9)(tmp_path / "model")
    with pytest.raises(InputError, match=r"2_Dense/model\.safetensors is cut off"):
        look(tmp_path / "model")


def test_a_gguf_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text(POINTER)
    with pytest.raises(InputError, match="pointer of Git LFS"):
        look_at_base_model(tiny.settings(tmp_path / "model.gguf"), tmp_path)
    (tmp_path / "model.gguf").write_bytes(b"noise" * 99)
    with pytest.raises(InputError, match="is no GGUF file"):
        look_at_base_model(tiny.settings(tmp_path / "model.gguf"), tmp_path)


def test_weights_that_are_no_numbers_are_told_as_that(tmp_path: Path) -> None:
    folder = tiny.model_folder(tmp_path / "model", "gpt2")
    tensors = load_file(folder / "model.safetensors")
    tensors["transformer.h.0.ln_1.bias"] = np.full_like(tensors["transformer.h.0.ln_1.bias"], np.nan)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"16 of 16 numbers of its weights transformer.h.0.ln_1.bias are NaN"):
        load_language_model(tiny.settings(folder), tmp_path, tmp_path / "cache")
