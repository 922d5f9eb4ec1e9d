"""What the folder of an encoder says of how it is used, as sentence-transformers reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from gotd_assets.errors import InputError
from gotd_assets.models.model_files import json_object, json_of

if TYPE_CHECKING:
    from gotd_assets.settings.encoder import EncoderSettings

SETTING = "encoder.model"
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
"""Ways to make one vector of those of tokens; where a folder asks for several, they are put beside each other in this order."""
_SWITCHES = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
# The first names of releases before 0.4; the first of them that is there counts.
_TRANSFORMERS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
_AFTER = frozenset({"Dense", "LayerNorm", "Normalize"})
# What sentence-transformers writes of its own Transformer that changes no vector, or is looked at here.
_HARMLESS = frozenset({"unpad_inputs", "max_seq_length", "do_lower_case"})
_ARGUMENTS = {"model": "model_args", "processor": "tokenizer_args", "config": "config_args"}
_FIXED: dict[str, Any] = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "tokenizer_name_or_path": None,
    "query_length": None,
    "document_length": None,
    "query_expansion": None,
    "processing_kwargs": {},
}
# How numbers are held and computed is for the settings to say.
_OURS = frozenset({"dtype", "torch_dtype", "device_map", "attn_implementation", "trust_remote_code"})


@dataclasses.dataclass(frozen=True)
class Pooling:
    """How the vectors of a text's tokens become one.

    Attributes:
        modes: of `MODES`; several are put beside each other.
        skipped: so many tokens at the start, those of a prompt, do not count.
    """

    modes: tuple[str, ...] = ("mean",)
    skipped: int = 0


@dataclasses.dataclass(frozen=True)
class Step:
    """A transformation of the pooled vectors: 'Dense', 'LayerNorm' or 'Normalize', and its folder."""

    kind: str
    folder: Path


@dataclasses.dataclass(frozen=True)
class EncoderFolder:
    """How an encoder is used.

    Attributes:
        transformer: folder of the transformer, or of the static embeddings, inside the whole; '' for the whole.
        is_static: it holds static embeddings.
        modes: of pooling.
        pools_prompt: whether a prompt's tokens count in pooling.
        after: what is done with the pooled vectors, in order.
        max_tokens: texts are cut to so many; None where the tokenizer says it.
        lower_case: texts are put in lower case first.
        prompts: by name.
        default_prompt: name of the one that is put before every text.
        dimensions: vectors are cut to so many numbers.
        arguments: further ones for 'model', 'processor' (the tokenizer) and 'config'.
    """

    transformer: str = ""
    is_static: bool = False
    modes: tuple[str, ...] = ("mean",)
    pools_prompt: bool = True
    after: tuple[Step, ...] = ()
    max_tokens: int | None = None
    lower_case: bool = False
    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_prompt: str | None = None
    dimensions: int | None = None
    arguments: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def prompt(self, settings: EncoderSettings) -> str:
        """What is put before every text: as set, by name or as it is, else the folder's own.

        Raises:
            InputError: the folder's own is not among its prompts.
        """
        if settings.prompt is not None:
            return self.prompts.get(settings.prompt, settings.prompt)
        if self.default_prompt is None:
            return ""
        if self.default_prompt not in self.prompts:
            raise InputError(
                f"{SETTING} {settings.model!r}: its default prompt {self.default_prompt!r} is not among its prompts "
                f"({', '.join(self.prompts) or 'none'}): set encoder.prompt"
            )
        return self.prompts[self.default_prompt]


def read_encoder_folder(path: Path | None, settings: EncoderSettings) -> EncoderFolder:
    """What the folder says, with what the settings say of pooling; that of a plain transformer if there is none.

    Raises:
        InputError: it asks for something that is not supported, or a file in it is damaged.
    """
    own = () if settings.pooling == "auto" else (settings.pooling,)
    if path is None or not path.is_dir():
        return EncoderFolder(modes=own or ("mean",))
    listing = path / "modules.json"
    modules = _modules(listing) if listing.is_file() else []
    whole = json_object(path / "config_sentence_transformers.json", SETTING) if modules else {}
    if whole.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        raise InputError(
            f"{SETTING}: {path} is a {whole['model_type']}, not an encoder of sentences: take another model"
        )
    if not modules:
        return EncoderFolder(modes=own or _usual_modes(path))
    (first, inside), *others = modules
    common = EncoderFolder(
        transformer=inside,
        after=tuple(Step(kind, path / place) for kind, place in others if kind in _AFTER),
        prompts={str(name): str(text) for name, text in (whole.get("prompts") or {}).items()},
        default_prompt=whole.get("default_prompt_name"),
        dimensions=whole.get("truncate_dim"),
    )
    if first == "StaticEmbedding":
        if {kind for kind, _ in others} - {"Normalize", "Dropout"}:
            raise _unsupported(listing, [kind for kind, _ in others])
        return dataclasses.replace(common, is_static=True)
    kinds = [kind for kind, _ in others if kind != "Dropout"]
    if first != "Transformer" or kinds[:1] != ["Pooling"] or set(kinds[1:]) - _AFTER:
        raise _unsupported(listing, [kind for kind, _ in modules])
    pooling = path / next(place for kind, place in others if kind == "Pooling") / "config.json"
    said = json_object(pooling, SETTING)
    return dataclasses.replace(
        _with_transformer(common, path / inside),
        modes=own or _modes(said, pooling),
        pools_prompt=bool(said.get("include_prompt", True)),
    )


def earlier_modes(settings: EncoderSettings, path: Path) -> tuple[str, ...] | None:
    """The pooling that release 0.1 took for a folder, which followed no modules.json; None if it refused it."""
    config = path / "1_Pooling" / "config.json"
    if settings.pooling != "auto":
        return (settings.pooling,)
    if not config.is_file():
        return ("mean",)
    modes = _modes(json_object(config, SETTING), config)
    return modes if modes in (("mean",), ("cls",)) else None


def _modules(listing: Path) -> list[tuple[str, str]]:
    """Kind and folder of each module, in order.

    Raises:
        InputError: the list is not one, or names a folder outside.
    """
    said = json_of(listing, SETTING)
    try:
        modules = [(str(module["type"]).rsplit(".", 1)[-1], str(module["path"])) for module in said]
        strange = [
            str(module["type"]) for module in said if not str(module["type"]).startswith("sentence_transformers.")
        ]
    except (TypeError, KeyError) as error:
        raise InputError(f"{SETTING}: {listing} is no list of modules with type and path: copy it again") from error
    if strange:
        raise InputError(
            f"{SETTING}: {listing} asks for code of its own ({strange[0]}), which is not run: take another model"
        )
    for _, place in modules:
        if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
            raise InputError(f"{SETTING}: {listing} names {place!r}, which is outside the folder: correct it")
    return modules


def _modes(said: Mapping[str, Any], config: Path) -> tuple[str, ...]:
    """Modes of pooling: named, or, before release 6 of sentence-transformers, a switch for each."""
    named = said.get("pooling_mode")
    if named is None:
        return tuple(mode for mode, switch in _SWITCHES.items() if said.get(switch)) or ("mean",)
    modes = (named,) if isinstance(named, str) else tuple(map(str, named))
    unknown = sorted(set(modes) - set(MODES))
    if unknown or not modes:
        raise InputError(f"{config} asks for pooling {unknown}; supported are {', '.join(MODES)}: set encoder.pooling")
    return modes


def _usual_modes(path: Path) -> tuple[str, ...]:
    """Of a folder without modules: the last token's state for what was made to continue text, else the mean."""
    config = json_object(path / "config.json", SETTING)
    pooling = path / "1_Pooling" / "config.json"
    if pooling.is_file():
        return _modes(json_object(pooling, SETTING), pooling)
    continues = str((config.get("architectures") or [""])[0]).endswith("ForCausalLM")
    return ("lasttoken",) if continues and config.get("is_causal", True) else ("mean",)


def _with_transformer(common: EncoderFolder, folder: Path) -> EncoderFolder:
    """What the Transformer module's own file says, too."""
    files = [folder / f"sentence_{name}_config.json" for name in _TRANSFORMERS]
    file = next((file for file in files if file.is_file()), files[0])
    said = json_object(file, SETTING)
    for key, usual in _FIXED.items():
        if (value := said.pop(key, usual)) not in (usual, None):
            raise InputError(f"{SETTING}: {file} asks for {key} {value!r}, which is not supported: take another model")
    text = (said.pop("modality_config", None) or {}).get("text")
    if text is not None and (text.get("method"), text.get("method_output_name")) != ("forward", "last_hidden_state"):
        raise InputError(f"{SETTING}: {file} takes {text} for text, which is not supported: take another model")
    arguments = {}
    for kind, before in _ARGUMENTS.items():
        given = {**(said.pop(before, None) or {}), **(said.pop(f"{kind}_kwargs", None) or {})}
        arguments[kind] = {name: value for name, value in given.items() if name not in _OURS}
    unknown = sorted(set(said) - _HARMLESS)
    if unknown:
        raise InputError(f"{SETTING}: {file} sets {', '.join(unknown)}, which is not known: take another model")
    limit = arguments["processor"].pop("model_max_length", said.get("max_seq_length"))
    return dataclasses.replace(
        common,
        max_tokens=int(limit) if limit else None,
        lower_case=bool(said.get("do_lower_case", False)),
        arguments={kind: given for kind, given in arguments.items() if given},
    )


def _unsupported(listing: Path, kinds: list[str]) -> InputError:
    return InputError(
        f"{listing} asks for {', '.join(kinds)}; supported are Transformer and Pooling, then Dense, LayerNorm and Normalize, "
        "or StaticEmbedding: take another model"
    )
