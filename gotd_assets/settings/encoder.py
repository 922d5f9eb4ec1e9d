"""Section `encoder`."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from gotd_assets.settings.section import UNVERSIONED, Commit, Name, Section


class TuneSettings(Section):
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


class EncoderSettings(Section):
    """The model that turns text into vectors."""

    model: Annotated[str, UNVERSIONED] = Field(
        description="Folder, hub id, or 'package:NAME' for a model inside an installed package.",
        examples=["FOLDER"],
    )
    revision: Commit | None = Field(
        None, description="Commit (40 hex digits) of the hub model; required for a hub id, so that runs repeat."
    )
    kind: Literal["auto", "transformers", "static", "precomputed", "lexical"] = Field(
        "auto",
        description="Transformer encoder, static embeddings (model2vec), vectors that already exist, or the words used: "
        "'lexical' reads the tokenizer.json of `model` alone.",
    )
    lexical: Annotated[float | None, UNVERSIONED] = Field(
        None,
        gt=0,
        lt=1,
        description="Put vectors of the words used beside the model's, with this share of the squared distance; unset: the "
        "model's alone.",
    )
    pooling: Literal["auto", "mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"] = Field(
        "auto",
        description="How token vectors become one; 'auto' follows a sentence-transformers folder, else it is the last token's "
        "for causal language models and the mean.",
    )
    max_tokens: int = Field(
        256,
        ge=8,
        description="Texts are cut to this many tokens for embedding, or to fewer if the model's folder says so.",
    )
    prompt: Annotated[str | None, UNVERSIONED] = Field(
        None,
        description="Put before every text, such as 'query: ' for E5: the text itself, or the name of one of the prompts that "
        "the model's folder has; '' for none, unset: the folder's default prompt, if it names one.",
    )
    target_prompt: Annotated[str | None, UNVERSIONED] = Field(
        None, description="The same for the targets' texts; unset: as `prompt`."
    )
    normalize: bool = Field(True, description="Scale vectors to length 1.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Arithmetic of the encoder; 'auto' is bfloat16 where the device has instructions for it, else float32.",
    )
    storage_dtype: Literal["float16", "float32"] = Field("float16", description="Number format of stored vectors.")
    backend: Literal["torch", "openvino"] = Field(
        "torch",
        description="What computes a transformer; 'openvino' needs the extra of that name, and an x86 processor.",
    )
    batch_tokens: Annotated[int | None, UNVERSIONED] = Field(
        None, ge=64, description="Tokens in one batch, padding included; by default 1024 on a processor, 8192 on a GPU."
    )
    device: Annotated[str, UNVERSIONED] = Field("auto", description="'auto', 'cpu', 'cuda', 'cuda:1'.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model. Off unless asked.")
    tune: Annotated[TuneSettings, UNVERSIONED] = Field(
        default=TuneSettings(), description="Fine-tuning of the encoder on a target."
    )

    def of_targets(self) -> Self:
        """The settings by which the targets' texts are embedded."""
        if self.target_prompt is None:
            return self
        return self.model_copy(update={"prompt": self.target_prompt, "target_prompt": None})

    @model_validator(mode="after")
    def _vectors_have_no_prompts(self) -> Self:
        if self.kind in ("precomputed", "lexical") and (self.prompt or self.target_prompt):
            raise ValueError(f"prompt: {self.kind} vectors are of their texts; drop prompt and target_prompt")
        return self

    @model_validator(mode="after")
    def _words_stand_beside_vectors_of_length_one(self) -> Self:
        if self.lexical is None:
            return self
        if self.kind in ("precomputed", "lexical"):
            raise ValueError(
                "lexical: words stand beside the vectors of a model; drop lexical, or name a model and drop kind"
            )
        if not self.normalize:
            raise ValueError("lexical: a share of the distance is of vectors of length one; drop normalize: false")
        return self

    @model_validator(mode="after")
    def _only_transformers_are_tuned(self) -> Self:
        if self.tune.target is not None and self.kind in {"static", "precomputed", "lexical"}:
            raise ValueError(
                f"tune: {self.kind} vectors cannot be fine-tuned; drop tune, or take a transformers encoder"
            )
        return self
