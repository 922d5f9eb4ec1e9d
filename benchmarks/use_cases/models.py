"""Models of the use cases: those of packages, one with a masked-language-modelling head, and GPT-2 in the paper's sizes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from gotd_assets.artifacts.atomic import folder_made
from gotd_assets.errors import InputError
from gotd_assets.models.language import load_language_model
from gotd_assets.settings.training import TrainingSettings

_RECIPE = Path(__file__).parents[2] / "examples" / "toxicity" / "prepare.py"


@dataclasses.dataclass(frozen=True)
class Shape:
    """A causal model's size: what the paper trained at it, transformer blocks, and numbers of a state."""

    like: str
    layers: int
    width: int


VOCABULARY = 50_257
POSITIONS = 1024
SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "124M": Shape("GPT-2", 12, 768),
        "355M": Shape("GPT-2 medium", 24, 1024),
        "774M": Shape("GPT-2 large", 36, 1280),
        "1.5B": Shape("GPT-2 XL", 48, 1600),
        "2.7B": Shape("GPT-Neo 2.7B", 32, 2560),
    }
)


def toxicity_classifier(folder: Path, wheels: Path) -> Path:
    """The classifier that `examples/toxicity` makes, made in `folder` unless it is there.

    Raises:
        InputError: the recipe failed, as without h5py.
    """
    if not folder.is_dir():
        with folder_made(folder) as partial:
            made = partial / "classifier"
            command = [sys.executable, str(_RECIPE), "--out", str(made), "--packages", str(wheels)]
            if subprocess.run(command, check=False).returncode:
                raise InputError(f"{_RECIPE} failed; its README says what it needs (pip install h5py)")
            for file in made.iterdir():
                file.rename(partial / file.name)
            made.rmdir()
    return folder


def with_masked_head(encoder: Path, folder: Path) -> Path:
    """The encoder with a masked-language-modelling head that knows nothing yet, in `folder`; made unless it is there.

    The head is drawn at random with a fixed seed; its output layer is the embedding of tokens, as in BERT.
    """
    if folder.is_dir():
        return folder
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_pretrained(encoder, local_files_only=True)
    with folder_made(folder) as partial:
        model.save_pretrained(partial)
        AutoTokenizer.from_pretrained(encoder, local_files_only=True).save_pretrained(partial)
    return folder


def of_shape(name: str, language_model: Path, cache: Path, folder: Path) -> Path:
    """A GPT-2 of the shape `name` with random weights, and the tokenizer of `language_model`; made unless it is there.

    What a training takes in memory and time depends on the shape alone.
    """
    if folder.is_dir():
        return folder
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = SHAPES[name]
    _, tokenizer = load_language_model(TrainingSettings(model=str(language_model)), folder.parent, cache)
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=shape.layers,
        n_embd=shape.width,
        n_head=shape.width // 64,
        n_positions=POSITIONS,
        vocab_size=VOCABULARY,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = GPT2LMHeadModel(config)
    with folder_made(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    return folder
