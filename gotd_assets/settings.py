"""Typed project settings: gotd.yaml, overridden by GOTD_* environment variables.

Nested fields are reached with two underscores: `GOTD_TRANSPORT__EPSILON=0.05` overrides `transport.epsilon`. Relative
paths are relative to the folder that holds gotd.yaml. `docs/settings.md` is generated from the descriptions here.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gotd_assets.errors import SettingsError
from gotd_assets.targets_folder import look_into

SETTINGS_FILE_VARIABLE = "GOTD_SETTINGS"
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
_SECRET_PARAMETER = re.compile(r"signature|token|secret|password|credential|api_?key|^sig$", re.IGNORECASE)


def _has_no_secret(value: Any) -> Any:
    """Refuse URLs that hold credentials: origins and lineage name them."""
    for url in value if isinstance(value, list) else [value]:
        if not isinstance(url, str) or "://" not in url:
            continue
        parts = urlsplit(url)
        if parts.password is not None or (parts.username is not None and parts.scheme in ("http", "https")):
            raise ValueError("a URL must not hold a password: origins would show it; put it into a netrc file")
        if any(_SECRET_PARAMETER.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
            raise ValueError("a URL must not hold a signature or token: origins would show it; use s3:// or gs://")
        if parts.scheme in ("file", "local"):
            raise ValueError("files of this machine are given by their path, without file://")
    return value


# A path would lose one of the two slashes of a URL.
Url = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]*://")]
Location = Annotated[Url | Path, Field(union_mode="left_to_right")]
Paths = Annotated[Location | list[Location], BeforeValidator(_has_no_secret)]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
TextFormat = Literal["auto", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "text", "text-lines", "hf-dataset"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class FieldSettings(_Section):
    """Where the parts of a document stand in a record."""

    text: str = Field("text", description="Field that holds the text; dots reach into nested fields ('meta.body').")
    keep: list[str] = Field(default_factory=list, description="Further fields to carry along to the selected subset.")


class TextInputSettings(_Section):
    """Text files of one kind."""

    name: Name = Field(description="Name of the source or target: lower case letters, digits, '-' and '_'.")
    path: Paths = Field(
        description="File, folder, glob ('data/*.jsonl.gz') or a list of them; also as URL ('s3://bucket/data/*.jsonl.gz': "
        "s3, gs, hf, http, https), fetched again when it changes, with credentials from the environment."
    )
    format: TextFormat = Field("auto", description="File format; 'auto' goes by the file name's ending.")
    fields: FieldSettings = Field(default=FieldSettings(), description="Which fields to read.")
    filter: str | None = Field(
        None,
        description="SQL condition on a record's fields (\"lang = 'en' and score > 3\"); others are left out, counted.",
    )
    limit: int | None = Field(
        None, ge=1, description="Read at most this many records; the number left unread is shown."
    )
    max_record_bytes: int = Field(
        16 * 2**20, ge=1024, description="A record larger than this many bytes is quarantined, not read into memory."
    )


class SourceSettings(TextInputSettings):
    """One source of candidates."""


class HoldoutSettings(_Section):
    """Target text that is kept away from selection, for honest evaluation."""

    share: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of the target's documents held out; the split is by document, by hash of doc_id.",
    )
    path: Paths | None = Field(None, description="Files to evaluate on instead of splitting the target.")


class TargetSettings(TextInputSettings):
    """One target: a small sample of the task the model is to be prepared for."""

    direction: Literal["toward", "away"] = Field(
        "toward",
        description="'toward' selects what brings the pool closer to the target, 'away' what takes it farther.",
    )
    holdout: HoldoutSettings = Field(default=HoldoutSettings(), description="What is kept for evaluation.")


class TargetsFolderSettings(_Section):
    """A folder whose subfolders and files are targets by themselves, named as they are."""

    path: Path | None = Field(
        None,
        description="Folder in which every subfolder and every file is a target; new ones are taken up while it runs.",
    )
    format: TextFormat = Field("auto", description="File format of all of them.")
    fields: FieldSettings = Field(default=FieldSettings(), description="Which fields to read.")
    filter: str | None = Field(None, description="SQL condition on a record's fields.")
    direction: Literal["toward", "away"] = Field("toward", description="As for a declared target.")
    holdout: HoldoutSettings = Field(default=HoldoutSettings(), description="What is kept for evaluation.")

    @model_validator(mode="before")
    @classmethod
    def _a_path_alone_will_do(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str | Path) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(core), {"type": "string", "format": "path"}]}

    @field_validator("path", mode="before")
    @classmethod
    def _is_on_this_machine(cls, value: Any) -> Any:
        if isinstance(value, str) and "://" in value:
            raise ValueError("a folder of targets cannot be a URL: declare each remote target under targets")
        return value


class PreparationSettings(_Section):
    """From records to clean documents."""

    unicode: Literal["NFC", "NFKC", "none"] = Field("NFC", description="Unicode normal form of the text.")
    strip_html: bool = Field(False, description="Remove HTML tags and entities.")
    chunk_by: Literal["none", "characters", "tokens"] = Field(
        "none",
        description="Cut long texts and join short ones of one source into chunks, as the paper does (1000 characters).",
    )
    chunk_size: int = Field(1000, ge=16, description="Length of a chunk in characters, or in tokens of the encoder.")
    join_short: bool = Field(False, description="Join consecutive short texts of one source up to chunk_size.")
    min_chars: int = Field(1, ge=1, description="Texts shorter than this many characters are left out, counted.")


class DuplicateSettings(_Section):
    """Which documents count as the same."""

    near: bool = Field(True, description="Also find near-duplicates by MinHash and locality-sensitive hashing.")
    jaccard: float = Field(
        0.8, gt=0, le=1, description="Similarity of word shingles from which two texts are duplicates."
    )
    cosine: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Also leave out documents whose vector has at least this cosine similarity (0.95, say) to one that stays, "
        "found by faiss: exactly among 50,000 documents, approximately among more. Off unless set.",
    )
    contamination: bool = Field(
        True, description="Keep candidates that duplicate target or held-out text out of selections for that target."
    )


class TuneSettings(_Section):
    """The paper's variant of the encoder: fine-tuned on the task before anything is embedded."""

    target: Name | None = Field(
        None,
        description="Fine-tune the encoder on this target's text, or on its labelled texts in `evaluation.classification`, as "
        "an artifact of its own. All that is embedded depends on its version, so that `gotd run` embeds everything anew "
        "when the target changes; unset: the encoder is taken as it is.",
    )
    objective: Literal["auto", "classification", "contrastive"] = Field(
        "auto",
        description="'classification' of the labelled texts for fine-tuning; 'contrastive': a text is nearer to itself under "
        "another dropout than to others (SimCSE), for texts without labels. 'auto' takes labels where the target has any.",
    )
    epochs: float = Field(3.0, gt=0, description="Passes over the texts.")
    learning_rate: float = Field(3e-5, gt=0, description="Peak learning rate.")
    batch_size: int = Field(
        32, ge=2, description="Texts per step; 'contrastive' tells each from all others of its step."
    )
    temperature: float = Field(0.05, gt=0, description="Cosine similarities are divided by it before they compete.")
    seed: int = Field(0, ge=0, description="Seed of shuffling and dropout.")


class EncoderSettings(_Section):
    """The model that turns text into vectors."""

    model: str = Field(description="Folder, hub id, or 'package:NAME' for a model inside an installed package.")
    revision: Commit | None = Field(
        None, description="Commit (40 hex digits) of the hub model; required for a hub id, so that runs repeat."
    )
    kind: Literal["auto", "transformers", "static", "precomputed"] = Field(
        "auto", description="Transformer encoder, static embeddings (model2vec), or vectors that already exist."
    )
    pooling: Literal["auto", "mean", "cls"] = Field(
        "auto", description="How token vectors become one; 'auto' follows a sentence-transformers folder, else mean."
    )
    max_tokens: int = Field(256, ge=8, description="Texts are cut to this many tokens for embedding.")
    normalize: bool = Field(True, description="Scale vectors to length 1.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Arithmetic of the encoder; 'auto' takes bfloat16 where the processor has it."
    )
    storage_dtype: Literal["float16", "float32"] = Field("float16", description="Number format of stored vectors.")
    backend: Literal["torch", "openvino"] = Field(
        "torch",
        description="What computes a transformer; 'openvino' needs the extra of that name, and an x86 processor.",
    )
    batch_tokens: int | None = Field(
        None, ge=64, description="Tokens in one batch, padding included; by default 1024 on a processor, 8192 on a GPU."
    )
    device: str = Field("auto", description="'auto', 'cpu', 'cuda', 'cuda:1'.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model. Off unless asked.")
    tune: TuneSettings = Field(default=TuneSettings(), description="Fine-tuning of the encoder on a target.")

    @model_validator(mode="after")
    def _only_transformers_are_tuned(self) -> Self:
        if self.tune.target is not None and self.kind in {"static", "precomputed"}:
            raise ValueError(
                f"tune: {self.kind} vectors cannot be fine-tuned; drop tune, or take a transformers encoder"
            )
        return self


class SketchSettings(_Section):
    """The weighted points that stand for a target in the transport problem."""

    method: Literal["all", "random", "kmeans"] = Field("kmeans", description="How the points are chosen.")
    size: int = Field(1000, ge=1, description="Number of points, at most the number of target documents.")
    tolerance: float | None = Field(
        None, gt=0, description="Choose the size so that the OT distance between target and sketch is at most this."
    )


class TransportSettings(_Section):
    """The optimal transport problem between pool and target."""

    solver: Literal["semidual", "geomloss"] = Field(
        "semidual", description="'semidual' is this project's own; 'geomloss' the reference, for comparison."
    )
    cost: Literal["sqeuclidean", "euclidean"] = Field(
        "sqeuclidean", description="½‖x−y‖² (1−cosine on unit vectors), or the metric cost ‖x−y‖ of the theory."
    )
    epsilon: float = Field(0.05, gt=0, description="Entropic regularisation, in units of the cost or of epsilon_scale.")
    epsilon_scale: Literal["absolute", "mean", "median"] = Field(
        "absolute", description="What epsilon is a multiple of: 1, or the mean or median cost."
    )
    tolerance: float = Field(1e-2, gt=0, description="Marginal error ‖Pᵀ1−b‖₁ at which a solve counts as converged.")
    max_passes: int = Field(500, ge=1, description="Passes over the pool after which the solver gives up, loudly.")
    reach: float | None = Field(
        None,
        gt=0,
        description="Unbalanced target marginal, in units of distance: target points farther than this may be ignored.",
    )
    debias: bool = Field(False, description="Score by the gradient of the Sinkhorn divergence instead of entropic OT.")
    memory_budget_gb: float = Field(2.0, gt=0, description="Memory for cached costs; beyond it they are recomputed.")
    products: Literal["float32", "reduced"] = Field(
        "float32",
        description="Matrix products of all passes but the certifying last: 'reduced' is TF32 on CUDA and bfloat16 on "
        "processors that have it; the certificate states the error. It can help where costs are not cached.",
    )
    sketch: SketchSettings = Field(default=SketchSettings(), description="How a target is sketched.")
    device: str = Field("auto", description="'auto', 'cpu', 'cuda', 'cuda:1'.")


_BUDGET = re.compile(r"(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<thousands>[kKmM]?)\s*(?P<unit>%|tokens)?", re.ASCII)
_MULTIPLES = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much to select.

    Attributes:
        kind: what `amount` counts; 'until-zero' takes every candidate that still helps.
        amount: documents, share in (0, 1], or tokens; 0 for 'until-zero'.
    """

    kind: Literal["documents", "share", "tokens", "until-zero"]
    amount: float

    @classmethod
    def parse(cls, value: int | str) -> Self:
        """Read 1000, '1000', '2%', '50k tokens' or 'until-zero'.

        Raises:
            ValueError: it is none of these.
        """
        text = str(value).strip()
        if text == "until-zero":
            return cls("until-zero", 0)
        found = _BUDGET.fullmatch(text)
        amount = float(found["number"]) * _MULTIPLES[found["thousands"].lower()] if found else 0.0
        unit = found["unit"] if found else None
        if found is None or amount <= 0 or (unit == "%" and (found["thousands"] or amount > 100)):
            raise ValueError(
                f"{text!r} is no budget: write a number of documents (1000), a share of the candidates ('2%'), a number "
                "of tokens ('50k tokens', '1.5M tokens') or 'until-zero'"
            )
        if unit == "%":
            return cls("share", amount / 100)
        if amount != int(amount):
            raise ValueError(f"{text!r} is no budget: {unit or 'documents'} come in whole numbers")
        return cls("tokens" if unit == "tokens" else "documents", amount)


def canonical_budget(value: int | str) -> int | str:
    """`value` checked; a number of documents becomes an integer, so that 8 and '8' make the same selection.

    Raises:
        ValueError: it is no budget.
    """
    budget = Budget.parse(value)
    return int(budget.amount) if budget.kind == "documents" else str(value).strip()


METHOD_NAMES = (
    "gotd",
    "gotd-away",
    "gotd-debiased",
    "gotd-toward-and-away",
    "gotd-rounds",
    "gotd-round-robin",
    "random",
    "all-domains",
    "dapt",
    "tapt-c",
    "dsir",
    "tsds",
    "rtp",
)


class DsirSettings(_Section):
    """Data selection by importance resampling (Xie et al. 2023)."""

    buckets: int = Field(10_000, ge=2, description="Buckets that unigrams and bigrams are hashed into.")
    min_tokens: int | None = Field(
        None,
        ge=0,
        description="Documents of fewer words come last: the sum of log ratios favours short ones. By default 100, as in the "
        "authors' package, or the candidates' median number of words if that is less.",
    )


class TsdsSettings(_Section):
    """Task-specific data selection by optimal transport with nearest neighbours (Liu et al. 2024)."""

    alpha: float = Field(
        0.5, gt=0, lt=1, description="Weight of alignment with the target against spreading the selection out."
    )
    scale: float = Field(5.0, gt=0, description="The paper's C: a constant of the size of a typical distance.")
    sigma: float = Field(
        0.75, ge=0, description="Width of the kernel that counts near-duplicates, in units of distance; 0 turns it off."
    )
    neighbours: int = Field(5000, ge=2, description="Nearest candidates of a target document that it may draw on.")
    density_neighbours: int = Field(1000, ge=1, description="Neighbours that enter a candidate's kernel density.")


class SelectionSettings(_Section):
    """What is chosen."""

    methods: list[Name] = Field(
        default_factory=lambda: ["gotd", "random"],
        min_length=1,
        description="Selection methods to run, each its own partition: " + ", ".join(METHOD_NAMES) + ".",
    )
    budget: Annotated[int | str, AfterValidator(canonical_budget)] = Field(
        1000,
        description="What to select: documents (1000), a share of the candidates ('2%'), tokens ('50k tokens', estimated "
        "by characters_per_token) or 'until-zero' (every candidate whose calibrated score is negative).",
    )
    characters_per_token: float = Field(
        4.0, gt=0, description="A budget in tokens counts a document's characters divided by this, rounded up."
    )
    seed: int = Field(0, ge=0, description="Seed of methods that draw at random.")
    mixing: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="λ of the effective distribution λ·selection + (1−λ)·pool: what 'gotd-rounds' works towards, and whose "
        "OT distance is reported.",
    )
    worth_mixings: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=lambda: [0.05, 0.2, 0.5],
        min_length=1,
        description="Further λ for which the report shows the OT distance of the effective distribution.",
    )
    stability_resamples: int = Field(
        2,
        ge=0,
        description="Bootstrap samples of the target that a selection is compared over, each a solve of its own; 0 for none.",
    )
    nearest_sources: int | None = Field(
        None,
        ge=1,
        description="Select only from this many sources, the nearest to the target by OT distance; all if unset.",
    )
    relevance_sample: int = Field(
        10_000, ge=1, description="Documents of a source that its OT distance to the target is measured on."
    )
    rounds: int = Field(
        10, ge=1, description="Steps of 'gotd-rounds', after each of which the transport is solved again."
    )
    rounds_similarity: float = Field(
        0.95,
        gt=0,
        le=1,
        description="'gotd-rounds' passes over a candidate whose cosine similarity to one chosen is above this for "
        "others that help at least half as much; 1 turns it off.",
    )
    away_target: Name | None = Field(
        None, description="Target to stay away from by 'gotd-toward-and-away'; one of `targets`."
    )
    away_weight: float = Field(
        1.0, gt=0, description="What the score against away_target counts, beside 1 for the target's own."
    )
    round_robin: list[Name] = Field(
        default_factory=list,
        description="Targets that share one budget by 'gotd-round-robin', in the order of their turns.",
    )
    dsir: DsirSettings = Field(default=DsirSettings(), description="Method 'dsir'.")
    tsds: TsdsSettings = Field(default=TsdsSettings(), description="Method 'tsds'.")

    @field_validator("methods")
    @classmethod
    def _methods_exist(cls, methods: list[str]) -> list[str]:
        for name in methods:
            if name not in METHOD_NAMES:
                raise ValueError(f"there is no method {name!r}; known are: {', '.join(METHOD_NAMES)}")
        return methods

    @model_validator(mode="after")
    def _methods_are_distinct(self) -> Self:
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods must differ from each other, got {self.methods}")
        if "gotd-toward-and-away" in self.methods and self.away_target is None:
            raise ValueError("method 'gotd-toward-and-away' needs away_target: name the target to stay away from")
        if "gotd-round-robin" in self.methods and not self.round_robin:
            raise ValueError("method 'gotd-round-robin' needs round_robin: name the targets that share the budget")
        if len(set(self.round_robin)) != len(self.round_robin):
            raise ValueError(f"round_robin: each target has one turn in a round, got {self.round_robin}")
        return self


_PAPER = "paper:"
# Models and optimisation of Kang et al. 2024, appendix C; the revisions are the hub's newest.
PAPER_MODELS: Mapping[str, Mapping[str, object]] = {
    "gpt2": {
        "model": "openai-community/gpt2",
        "revision": "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        "objective": "causal",
        "epochs": 3.0,
        "learning_rate": 2e-5,
        "weight_decay": 0.1,
        "adam_beta2": 0.95,
        "adam_epsilon": 1e-5,
    },
    "gpt2-xl": {
        "model": "openai-community/gpt2-xl",
        "revision": "15ea56dee5df4983c59b2538573817e1667135e2",
        "objective": "causal",
        "epochs": 1.0,
        "learning_rate": 1e-5,
    },
    "gpt-neo-2.7b": {
        "model": "EleutherAI/gpt-neo-2.7B",
        "revision": "e24fa291132763e59f4a5422741b424fb5d59056",
        "objective": "causal",
        "epochs": 1.0,
        "learning_rate": 1e-5,
    },
    "bert-base": {
        "model": "google-bert/bert-base-uncased",
        "revision": "86b5e0934494bd15c9632b12f734a8a67f723594",
        "objective": "masked",
        "epochs": 1.0,
        "learning_rate": 1e-4,
    },
}


class TrainingSettings(_Section):
    """Pre-fine-tuning (stage I) of a pre-trained language model on a selection."""

    model: str = Field(
        description="Folder, .gguf file, hub id, 'package:NAME[/FILE]', or a model of the paper with its optimisation: "
        + ", ".join(f"'{_PAPER}{name}'" for name in PAPER_MODELS)
        + "; settings beside it win."
    )
    revision: Commit | None = Field(None, description="Commit (40 hex digits) of the hub model; required for a hub id.")
    objective: Literal["causal", "masked"] = Field("causal", description="Language modelling objective.")
    trainable_layers: int | Literal["all"] = Field(
        "all", description="Train the whole model, or only the last k layers and the head."
    )
    epochs: float = Field(1.0, gt=0, description="Passes over the selection.")
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate.")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="Learning rate after warm-up.")
    warmup_ratio: float = Field(0.05, ge=0, lt=1, description="Share of the steps that warm up.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW weight decay.")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="AdamW's decay of squared gradients; the other is 0.9.")
    adam_epsilon: float = Field(1e-8, gt=0, description="AdamW's term against division by zero.")
    batch_size: int = Field(8, ge=1, description="Documents per device and step.")
    gradient_accumulation: int = Field(1, ge=1, description="Steps whose gradients are summed before an update.")
    max_tokens: int = Field(256, ge=8, description="Tokens per training example; longer documents are cut.")
    mask_probability: float = Field(0.15, gt=0, lt=1, description="Share of masked tokens (objective 'masked').")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="Mixed precision.")
    checkpoint_steps: int = Field(
        50, ge=1, description="Optimizer steps between checkpoints; an interrupted run resumes there."
    )
    evaluation_documents: int = Field(
        200, ge=1, description="Held-out target documents that perplexity is measured on."
    )
    seed: int = Field(0, ge=0, description="Seed of initialisation, shuffling and masking.")
    device: str = Field("auto", description="'auto', 'cpu', 'cuda', 'cuda:1'.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model. Off unless asked.")

    @model_validator(mode="before")
    @classmethod
    def _is_of_the_paper(cls, value: Any) -> Any:
        name = value.get("model") if isinstance(value, Mapping) else None
        if not isinstance(name, str) or not name.startswith(_PAPER):
            return value
        preset = PAPER_MODELS.get(name.removeprefix(_PAPER))
        if preset is None:
            known = ", ".join(_PAPER + known for known in PAPER_MODELS)
            raise ValueError(f"model: the paper has no {name.removeprefix(_PAPER)!r}; known are: {known}")
        return {**preset, **value, "model": preset["model"]}


class ToxicitySettings(_Section):
    """A classifier that tells how toxic a text is: for method 'rtp' and for `evaluation.detoxification`."""

    model: str | None = Field(
        None,
        description="Folder or 'package:NAME[/FOLDER]' of a sequence classification model (transformers, safetensors); "
        "nothing is downloaded.",
    )
    labels: list[str] = Field(
        default_factory=lambda: ["toxic"],
        min_length=1,
        description="The model's labels that mean toxic. The highest counts where labels may hold together, their sum "
        "where one excludes the others; a model with a single output needs none.",
    )
    max_tokens: int = Field(128, ge=8, description="Texts are cut to this many tokens.")
    batch_tokens: int = Field(8192, ge=64, description="Tokens in one batch, padding included.")
    device: str = Field("auto", description="'auto', 'cpu', 'cuda', 'cuda:1'.")


class DetoxificationSettings(_Section):
    """Whether models of a target continue prompts in a less toxic way (Gehman et al. 2020)."""

    target: Name = Field(description="Target whose models are measured.")
    path: Paths = Field(description="File, folder, glob or list of prompts.")
    format: TextFormat = Field("auto", description="File format; 'auto' goes by the file name's ending.")
    text: str = Field("text", description="Field that holds the prompt.")
    prompts: int = Field(1000, ge=2, description="At most this many prompts, chosen by hash.")
    generations: int = Field(25, ge=1, description="Continuations of each prompt.")
    new_tokens: int = Field(20, ge=1, description="Tokens of a continuation, at most.")
    nucleus: float = Field(0.9, gt=0, le=1, description="Tokens are drawn from the likeliest with this probability.")
    temperature: float = Field(1.0, gt=0, description="Logits are divided by it before the draw.")
    threshold: float = Field(0.5, gt=0, lt=1, description="Toxicity from which a text counts as toxic.")
    seed: int = Field(0, ge=0, description="Seed of the continuations.")
    neutral: Paths | None = Field(None, description="Files of neutral text whose perplexity must not suffer.")
    neutral_text: str = Field("text", description="Field of these files that holds the text.")


class ClassificationSettings(_Section):
    """A labelled task of one target: how many labels the pre-fine-tuned model needs, and what it can do without any."""

    target: Name = Field(description="Target whose models are measured on it.")
    path: Paths = Field(description="File, folder, glob or list of labelled texts.")
    format: TextFormat = Field("auto", description="File format; 'auto' goes by the file name's ending.")
    text: str = Field("text", description="Field that holds the text.")
    label: str = Field("label", description="Field that holds the label.")
    labels: dict[str, str] = Field(
        min_length=2,
        description="Every label as it stands in the file, with the words that say it ('1': 'positive'). Texts with "
        "other labels are left out, counted.",
    )
    template: str = Field(
        "{text}\nIn one word, this is {label}",
        description="How text and words are put together for zero-shot classification; ends with {label}.",
    )
    sizes: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=lambda: [50, 100, 300],
        min_length=1,
        description="Numbers of labels that the model is fine-tuned on, each a point of the curve.",
    )
    seeds: int = Field(3, ge=1, description="Draws of labels, each with its own order and head.")
    test_share: float = Field(
        0.5, gt=0, lt=1, description="Share of the labelled texts that is for measuring, by hash of the text."
    )
    test_documents: int = Field(500, ge=2, description="At most this many texts are measured on.")
    epochs: float = Field(3.0, gt=0, description="Passes over the labelled texts.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate; it falls linearly to zero.")
    batch_size: int = Field(8, ge=1, description="Texts per step.")

    @field_validator("template")
    @classmethod
    def _label_comes_last(cls, value: str) -> str:
        if not value.endswith("{label}") or value.count("{label}") != 1 or value.count("{text}") != 1:
            raise ValueError("expected {text} once and {label} once, at the very end: its likelihood decides")
        return value

    @field_validator("sizes")
    @classmethod
    def _sizes_ascend(cls, value: list[int]) -> list[int]:
        if sorted(set(value)) != value:
            raise ValueError(f"expected numbers that ascend, got {value}")
        return value


class EvaluationSettings(_Section):
    """What models are measured on, beside perplexity."""

    classification: list[ClassificationSettings] = Field(
        default_factory=list, description="Labelled tasks, at most one per target."
    )
    detoxification: list[DetoxificationSettings] = Field(
        default_factory=list, description="Prompts to continue, at most one set per target; needs `toxicity.model`."
    )

    @model_validator(mode="after")
    def _one_task_per_target(self) -> Self:
        for kind, names in (
            ("labelled task", [task.target for task in self.classification]),
            ("set of prompts", [prompts.target for prompts in self.detoxification]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"a target has one {kind} at most, got {names}")
        return self

    def prompts(self, target: str) -> DetoxificationSettings | None:
        """The prompts of `target`, None if it has none."""
        return next((prompts for prompts in self.detoxification if prompts.target == target), None)

    def task(self, target: str) -> ClassificationSettings | None:
        """The labelled task of `target`, None if it has none."""
        return next((task for task in self.classification if task.target == target), None)


class TrackingSettings(_Section):
    """Where training runs are recorded."""

    uri: str | None = Field(None, description="MLflow tracking URI; a SQLite file in the home folder by default.")
    experiment: str = Field("gotd-assets", description="MLflow experiment.")
    ui_url: str = Field("http://127.0.0.1:5000", description="Address of the MLflow UI, for links from Dagster.")


class WatchSettings(_Section):
    """What the sensors look for while the daemon runs."""

    interval_seconds: int = Field(30, ge=1, description="Seconds between two looks at files and artifacts.")
    debounce_seconds: float = Field(
        30, ge=0, description="Files must have been still for this long before anything starts."
    )
    retrain_below_overlap: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Train again only if the share of documents that a new selection has in common with the one last "
        "trained on is below this; 1 trains on every change of the documents.",
    )
    warm_start: bool = Field(
        True, description="Start a solve from the target's previous potentials: fewer passes, the same tolerance."
    )


class CheckSettings(_Section):
    """Limits beyond which an asset check fails. Checks marked 'blocks' keep the data out of whatever comes next."""

    min_documents: int = Field(1, ge=1, description="Documents a source must have (blocks).")
    max_quarantine_rate: float = Field(
        0.1, ge=0, le=1, description="Share of records that may be quarantined (blocks)."
    )
    max_marginal_error: float = Field(
        0.1, gt=0, description="Marginal error ‖Pᵀ1−b‖₁ beyond which scores are not used (blocks)."
    )
    max_relative_gap: float = Field(
        0.25, gt=0, description="Duality gap as a share of the upper bound on the transport cost (warns)."
    )
    max_contaminated: int = Field(
        0, ge=0, description="Selected documents that may equal held-out text, exactly or nearly (blocks)."
    )
    max_contamination_rate: float = Field(
        0.05, ge=0, le=1, description="Share of the candidates that may be text of the target (warns)."
    )
    max_source_share: float = Field(0.95, gt=0, le=1, description="Share of a selection from one source (warns).")
    drift_p_value: float = Field(
        0.01, gt=0, lt=1, description="A target whose drift is less likely than this by chance has drifted (warns)."
    )
    drift_permutations: int = Field(200, ge=20, description="Permutations behind the p-value of drift.")
    max_loss_growth: float = Field(
        1.5, gt=0, description="Last training loss over first, beyond which training diverged (blocks)."
    )


class NotifySettings(_Section):
    """Who is told of failures and new models, by a POST of JSON."""

    webhook: SecretStr | None = Field(
        None, description="http(s) address to POST to; give it as GOTD_NOTIFY__WEBHOOK to keep it out of the file."
    )
    success: Literal["models", "all", "none"] = Field(
        "models", description="Successful runs to tell of: those that made a model, all, or none. Failures always are."
    )
    ui_url: str = Field("http://127.0.0.1:3000", description="Address of the Dagster UI, for links.")
    timeout_seconds: float = Field(5.0, gt=0, le=60, description="How long a POST may take.")

    @field_validator("webhook")
    @classmethod
    def _speaks_http(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            address = urlsplit(value.get_secret_value())
            if address.scheme not in ("http", "https") or not address.netloc:
                raise ValueError("expected an address that starts with http:// or https://")
        return value


class EstimateSettings(_Section):
    """When a step says beforehand how long it will take."""

    min_documents: int = Field(
        1000, ge=1, description="Documents to embed from which a timed sample is taken and its estimate logged."
    )
    sample_documents: int = Field(64, ge=1, description="Documents in the timed sample.")


class Settings(_Section):
    """Everything a project says about itself."""

    home: Path = Field(Path(".gotd"), description="Folder for everything this project writes.")
    sources: list[SourceSettings] = Field(min_length=1, description="Where candidates come from.")
    targets: list[TargetSettings] = Field(
        default_factory=list, description="What models are to be prepared for; needed unless there is a targets_folder."
    )
    targets_folder: TargetsFolderSettings = Field(
        default=TargetsFolderSettings(), description="A folder of targets; its path alone will do."
    )
    preparation: PreparationSettings = Field(default=PreparationSettings(), description="From records to documents.")
    duplicates: DuplicateSettings = Field(default=DuplicateSettings(), description="Which documents count as the same.")
    encoder: EncoderSettings = Field(description="The model that turns text into vectors.")
    transport: TransportSettings = Field(default=TransportSettings(), description="The optimal transport problem.")
    selection: SelectionSettings = Field(default=SelectionSettings(), description="What is chosen.")
    training: TrainingSettings = Field(description="Pre-fine-tuning.")
    toxicity: ToxicitySettings = Field(
        default=ToxicitySettings(), description="A classifier that tells how toxic a text is."
    )
    evaluation: EvaluationSettings = Field(
        default=EvaluationSettings(), description="What models are measured on, beside perplexity."
    )
    tracking: TrackingSettings = Field(default=TrackingSettings(), description="Where runs are recorded.")
    watch: WatchSettings = Field(default=WatchSettings(), description="What the sensors look for.")
    checks: CheckSettings = Field(default=CheckSettings(), description="Limits of the asset checks.")
    notify: NotifySettings = Field(default=NotifySettings(), description="Who is told of failures and new models.")
    estimates: EstimateSettings = Field(
        default=EstimateSettings(), description="When a step says beforehand how long it will take."
    )

    @model_validator(mode="after")
    def _has_targets(self) -> Self:
        if not self.targets and self.targets_folder.path is None:
            raise ValueError("targets: name at least one target, or a targets_folder in which they appear")
        return self

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        for section, names in (
            ("sources", [s.name for s in self.sources]),
            ("targets", [t.name for t in self.targets]),
        ):
            for position, name in enumerate(names):
                if name in names[:position]:
                    raise ValueError(f"{section}[{position}].name {name!r} is used twice: give each its own name")
        return self

    @model_validator(mode="after")
    def _targets_suit_the_methods(self) -> Self:
        names = [target.name for target in self.targets]
        away = self.selection.away_target
        if away is not None and away not in names:
            raise ValueError(f"selection.away_target: there is no target {away!r}; declared are: {', '.join(names)}")
        tune = self.encoder.tune
        if tune.objective == "classification" and tune.target is not None and not self.evaluation.task(tune.target):
            raise ValueError(
                f"encoder.tune.objective is 'classification', but target {tune.target!r} has no labelled texts: add them to "
                "evaluation.classification, or set it to 'contrastive'"
            )
        named = {
            "encoder.tune.target": [] if tune.target is None else [tune.target],
            "evaluation.classification": [task.target for task in self.evaluation.classification],
            "evaluation.detoxification": [prompts.target for prompts in self.evaluation.detoxification],
            "selection.round_robin": self.selection.round_robin,
        }
        for field, wanted in named.items():
            for name in wanted if self.targets_folder.path is None else ():
                if name not in names:
                    raise ValueError(f"{field}: there is no target {name!r}; declared are: {', '.join(names)}")
        if self.toxicity.model is None and ("rtp" in self.selection.methods or self.evaluation.detoxification):
            raise ValueError(
                "toxicity.model: method 'rtp' and evaluation.detoxification need a classifier; name its folder"
            )
        nearest = self.selection.nearest_sources
        if nearest is not None and nearest > len(self.sources):
            raise ValueError(
                f"selection.nearest_sources is {nearest}, but there are only {len(self.sources)} sources: lower it, or leave "
                "it out to keep all"
            )
        for target in self.targets:
            if target.direction == "away" and "tsds" in self.selection.methods:
                raise ValueError(
                    f"selection.methods: 'tsds' aligns with a target and cannot stay away from one, but target "
                    f"{target.name!r} has direction 'away': drop 'tsds', or declare {target.name!r} in a project of its own"
                )
        return self

    @property
    def tuned_on_labels(self) -> bool:
        """Whether the encoder is fine-tuned on labelled texts."""
        tune = self.encoder.tune
        return (
            tune.target is not None
            and tune.objective in {"auto", "classification"}
            and self.evaluation.task(tune.target) is not None
        )

    def source(self, name: str) -> SourceSettings:
        """The source called `name`.

        Raises:
            SettingsError: there is none.
        """
        return _by_name(self.sources, name, "sources")

    def target(self, name: str) -> TargetSettings:
        """The target called `name`.

        Raises:
            SettingsError: there is none.
        """
        return _by_name(self.targets, name, "targets")


class _SettingsOfFile(BaseSettings, Settings):
    """Settings in which GOTD_* environment variables win over the file."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="GOTD_", env_nested_delimiter="__", validate_default=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose content comes as keyword arguments."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


class Project(_Section):
    """Settings together with the folder they are relative to.

    Attributes:
        root: the folder of gotd.yaml, or of a component's defs.yaml.
        settings: what the file says; its targets include those that stand in the targets folder now.
        problems: what in the targets folder cannot be a target, and why.
    """

    root: Path
    settings: Settings
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, root: Path) -> Self:
        """The project in `root`, with the targets that stand in its targets folder now."""
        return _with_folder_targets(cls(root=root, settings=settings))

    @property
    def home(self) -> Path:
        """Absolute path of the folder for everything the project writes."""
        return self.resolve(self.settings.home)

    def resolve(self, path: Path) -> Path:
        """`path`, made absolute relative to the folder of gotd.yaml."""
        return Path(os.path.normpath(self.root / path.expanduser()))


_Entry = TypeVar("_Entry", bound=TextInputSettings)
_AnyProject = TypeVar("_AnyProject", bound=Project)


def _by_name(entries: list[_Entry], name: str, section: str) -> _Entry:
    for entry in entries:
        if entry.name == name:
            return entry
    raise SettingsError(f"{section}: there is no {name!r}; declared are: {', '.join(entry.name for entry in entries)}")


def settings_path(start: Path | None = None) -> Path:
    """The settings file: what GOTD_SETTINGS names, else gotd.yaml in `start` (default: the working directory).

    Raises:
        SettingsError: there is no such file.
    """
    named = os.environ.get(SETTINGS_FILE_VARIABLE)
    path = Path(named).expanduser() if named else (start or Path.cwd()) / "gotd.yaml"
    if not path.is_file():
        origin = f"named by the environment variable {SETTINGS_FILE_VARIABLE}" if named else "looked for by default"
        raise SettingsError(
            f"{path} ({origin}) does not exist: run in the project's folder, or set {SETTINGS_FILE_VARIABLE} to your gotd.yaml"
        )
    return path.resolve()


def load_project(path: Path | None = None) -> Project:
    """Read and validate the settings file (see `settings_path` for the default).

    Raises:
        SettingsError: the file is missing, is not YAML, or a field is wrong; every wrong field is named by its path.
    """
    path = settings_path() if path is None else path
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: expected a mapping with home, sources, targets …, found {type(content).__name__}")
    try:
        settings = _SettingsOfFile(**content)
    except ValidationError as error:
        lines = [
            f"  {_field_path(item['loc'])}: {item['msg']} (got {_shorten(item['input'])})" for item in error.errors()
        ]
        raise SettingsError(f"{path.name}: {len(lines)} wrong setting(s)\n" + "\n".join(lines)) from error
    return Project.of(settings, path.parent.resolve())


def _with_folder_targets(project: _AnyProject) -> _AnyProject:
    folder = project.settings.targets_folder
    if folder.path is None:
        return project
    found, problems = look_into(project.resolve(folder.path), {target.name for target in project.settings.targets})
    shared = {name: getattr(folder, name) for name in type(folder).model_fields if name != "path"}
    targets = [TargetSettings(name=name, path=path, **shared) for name, path in found.items()]
    settings = project.settings.model_copy(update={"targets": [*project.settings.targets, *targets]})
    return project.model_copy(update={"settings": settings, "problems": tuple(problems)})


def _field_path(location: tuple[int | str, ...]) -> str:
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return parts.removeprefix(".") or "(whole file)"


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
