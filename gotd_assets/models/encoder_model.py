"""An encoder's model as sentence-transformers would use it: loaded, and saved so that it is read again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd_assets.errors import InputError
from gotd_assets.models.encoder_folder import SETTING, EncoderFolder, Pooling, read_encoder_folder
from gotd_assets.models.location import find_model, hub_folder, hub_options
from gotd_assets.models.lower_case import put_in_lower_case
from gotd_assets.models.model_files import remote_code

if TYPE_CHECKING:
    import torch

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.encoder import EncoderSettings

_UNLIMITED = 1 << 62
# The encoders of models that have a decoder too, whose states are not the text's.
_ENCODERS = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "longt5": "LongT5EncoderModel",
    "switch_transformers": "SwitchTransformersEncoderModel",
}


@dataclasses.dataclass(frozen=True)
class LoadedTransformer:
    """A transformer as sentence-transformers would use it.

    Attributes:
        model: on the processor.
        tokenizer: its tokenizer.
        folder: what its folder says.
        prompt: put before every text.
        pooling: from the states of tokens to a vector.
        dimension: of a token's state.
    """

    model: Any
    tokenizer: Any
    folder: EncoderFolder
    prompt: str
    pooling: Pooling
    dimension: int


def load_transformer(settings: EncoderSettings, root: Path, dtype: torch.dtype) -> LoadedTransformer:
    """The encoder's model on the processor, its tokenizer, and how they are used.

    Raises:
        InputError: it is not there, is damaged, is no encoder of transformers, or asks for what is not supported.
    """
    from gotd_assets.models.pretrained import load_config, load_tokenizer, load_weights

    path = find_model(settings.model, root, SETTING)
    options: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    if path is None:
        options |= hub_options(settings.model, settings.revision, SETTING)
    here = path or hub_folder(settings.model, settings.revision, SETTING)
    folder = read_encoder_folder(here, settings)
    if settings.trust_remote_code and here is not None:
        list(remote_code(here / folder.transformer, SETTING))
    if path is None:
        where: Path | str = settings.model
        options |= {"subfolder": folder.transformer} if folder.transformer else {}
    else:
        where = path / folder.transformer
    subject = f"{SETTING} {settings.model!r}"
    remedy = "name a local folder with config.json, tokenizer and *.safetensors that save_pretrained wrote"
    tokenizer = load_tokenizer(where, subject, **options, **folder.arguments.get("processor", {}))
    if folder.lower_case:
        put_in_lower_case(tokenizer)
    arguments = {**options, **folder.arguments.get("config", {})}
    model = load_weights(
        _architecture(load_config(where, subject, **arguments)),
        where,
        subject,
        "an encoder",
        remedy=remedy,
        # Texts are pooled here, so that the pooler of a model is not used, and often left out of its file.
        may_lack=lambda name: "pooler" in name.split("."),
        dtype=dtype,
        **arguments,
        **folder.arguments.get("model", {}),
    )
    dimension = _probed(model, tokenizer, subject)
    prompt = folder.prompt(settings)
    skipped = _tokens_of_prompt(tokenizer, prompt) if prompt and not folder.pools_prompt else 0
    return LoadedTransformer(model, tokenizer, folder, prompt, Pooling(folder.modes, skipped), dimension)


def most_tokens(settings: EncoderSettings, loaded: LoadedTransformer) -> int:
    """How many tokens of a text the model is given, special ones included."""
    from gotd_assets.models.pretrained import positions_of

    said = loaded.folder.max_tokens or loaded.tokenizer.model_max_length
    return int(min(settings.max_tokens, said, positions_of(loaded.model) or _UNLIMITED))


def write_pooling(folder: Path, modes: tuple[str, ...], dimension: int, max_tokens: int) -> None:
    """Make the model in `folder` one that sentence-transformers loads, and that says how it is pooled."""
    modules = ("Transformer", ""), ("Pooling", "1_Pooling")
    listing = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(modules)
    ]
    switches: dict[str, Json] = {
        f"pooling_mode_{name}": modes == (mode,) for mode, name in (("mean", "mean_tokens"), ("cls", "cls_token"))
    }
    if not any(switches.values()):
        switches = {"pooling_mode": list(modes)}
    (folder / "1_Pooling").mkdir()
    for name, content in (
        ("modules.json", listing),
        ("sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False}),
        ("1_Pooling/config.json", {"word_embedding_dimension": dimension, **switches}),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _architecture(config: Any) -> Any:
    """The class of the encoder."""
    import transformers

    name = _ENCODERS.get(config.model_type)
    return transformers.AutoModel if name is None else getattr(transformers, name)


def _probed(model: Any, tokenizer: Any, subject: str) -> int:
    """The dimension of a token's state, of a text that passed through.

    Raises:
        InputError: the model gives no states for a text alone, or needs more of it than its tokens.
    """
    import torch

    encoded = tokenizer("a text")
    if any(encoded.get("token_type_ids") or []):
        raise InputError(
            f"{subject}: its tokenizer numbers the parts of a text, which is not supported: take another model"
        )
    ids = torch.tensor([encoded["input_ids"] or [tokenizer.pad_token_id or 0]])
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    except Exception as error:  # whatever a model of any kind does with a text alone
        raise InputError(
            f"{subject} gives no states for the tokens of a text ({type(error).__name__}: {error}): it is no encoder of "
            "text, or its tokenizer belongs to another model"
        ) from error
    finally:
        model.train(training)
    return int(states.shape[-1])


def _tokens_of_prompt(tokenizer: Any, prompt: str) -> int:
    """Tokens of the prompt at the start of a text, special ones included."""
    ids = tokenizer(prompt)["input_ids"]
    return len(ids) - (1 if ids and ids[-1] in tokenizer.all_special_ids else 0)
