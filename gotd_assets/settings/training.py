"""Sections `training`, `tracking` and `estimates`."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gotd_assets.fingerprint import Json
from gotd_assets.settings.secrets import refuse_tracking_secrets
from gotd_assets.settings.section import UNVERSIONED, Commit, Section


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


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


class ChatSettings(Section):
    """Conversations and instructions, trained on turn by turn.

    Records without them are trained on as text.
    """

    messages: str | None = Field(
        None, description="Field with a record's messages; `fields.keep` of its source carries it along."
    )
    prompt: Annotated[list[str], BeforeValidator(_several)] = Field(
        default_factory=list,
        description="In the place of messages: the field that holds what is asked, or several ([instruction, input]).",
    )
    completion: str | None = Field(None, description="With prompt: the field that holds the answer.")
    template: Literal["model", "plain"] = Field(
        "model",
        description="'model' writes turns as the model's own chat template does, 'plain' as 'user: …' and 'assistant: …'.",
    )
    loss_on: Literal["answers", "all"] = Field(
        "answers", description="Predict, and measure perplexity on, the tokens of answers alone or all of them."
    )

    @model_validator(mode="after")
    def _reads_one_kind(self) -> Self:
        reads_pairs = bool(self.prompt) and self.completion is not None
        names_pairs = bool(self.prompt) or self.completion is not None
        if names_pairs != reads_pairs or reads_pairs == (self.messages is not None):
            raise ValueError("give messages, or prompt and completion, one of both")
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a record that it reads."""
        return tuple(name for name in (self.messages, *self.prompt, self.completion) if name is not None)


class TrainingSettings(Section):
    """Pre-fine-tuning (stage I) of a pre-trained language model on a selection."""

    model: Annotated[str, UNVERSIONED] = Field(
        description="Folder, .gguf file, hub id, 'package:NAME[/FILE]', or a model of the paper with its optimisation: "
        + ", ".join(f"'{_PAPER}{name}'" for name in PAPER_MODELS)
        + "; settings beside it win.",
        examples=["FOLDER"],
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
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Mixed precision; 'auto' is bfloat16 where the device has instructions for it, else float32.",
    )
    checkpoint_steps: Annotated[int, UNVERSIONED] = Field(
        50, ge=1, description="Optimizer steps between checkpoints; an interrupted run resumes there."
    )
    evaluation_documents: Annotated[int, UNVERSIONED] = Field(
        200, ge=1, description="Held-out target documents that perplexity is measured on."
    )
    seed: int = Field(0, ge=0, description="Seed of initialisation, shuffling and masking.")
    device: Annotated[str, UNVERSIONED] = Field("auto", description="'auto', 'cpu', 'cuda', 'cuda:1'.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model. Off unless asked.")

    chat: ChatSettings | None = Field(
        None,
        description="Conversations and instructions: {messages: messages} or {prompt: instruction, completion: output}.",
    )

    @model_validator(mode="after")
    def _has_a_loss_on_answers(self) -> Self:
        if self.objective == "masked" and self.chat is not None and self.chat.loss_on == "answers":
            raise ValueError("chat.loss_on: answers are predicted by objective causal; set it to all for masked")
        return self

    def shaping(self, *, without: Collection[str] = ()) -> dict[str, Json]:
        """As of every section; without `chat` where it says nothing, so that models made before it keep their versions."""
        return super().shaping(without=without if self.chat is not None else {*without, "chat"})

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


class TrackingSettings(Section):
    """Where training runs are recorded."""

    uri: Annotated[str | None, AfterValidator(refuse_tracking_secrets)] = Field(
        None, description="MLflow tracking URI, without password; a SQLite file in the home folder by default."
    )
    experiment: str = Field("gotd-assets", description="MLflow experiment.")
    registered_model: str | None = Field(
        None,
        pattern=r"^[^/:]+$",
        description="Name in MLflow's model registry for models whose held-out perplexity is below their base's, interval "
        "included; of each target the best has the alias 'best-TARGET'. Nothing is registered unless set.",
    )
    ui_url: str = Field("http://127.0.0.1:5000", description="Address of the MLflow UI, for links from Dagster.")


class EstimateSettings(Section):
    """When a step says beforehand how long it will take."""

    min_documents: int = Field(
        1000, ge=1, description="Documents to embed from which a timed sample is taken and its estimate logged."
    )
    sample_documents: int = Field(64, ge=1, description="Documents in the timed sample.")
