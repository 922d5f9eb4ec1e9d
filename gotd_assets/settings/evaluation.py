"""Sections `evaluation` and `toxicity`."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from gotd_assets.settings.section import UNVERSIONED, Name, Section
from gotd_assets.settings.texts import Paths, TextFormat


class ToxicitySettings(Section):
    """A classifier that tells how toxic a text is: for method 'rtp' and for `evaluation.detoxification`."""

    model: Annotated[str | None, UNVERSIONED] = Field(
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
    batch_tokens: Annotated[int, UNVERSIONED] = Field(8192, ge=64, description="Tokens in one batch, padding included.")
    device: Annotated[str, UNVERSIONED] = Field("auto", description="'auto', 'cpu', 'cuda', 'cuda:1'.")


class DetoxificationSettings(Section):
    """Whether models of a target continue prompts in a less toxic way (Gehman et al. 2020)."""

    target: Name = Field(description="Target whose models are measured.")
    path: Annotated[Paths, UNVERSIONED] = Field(description="File, folder, glob or list of prompts.")
    format: Annotated[TextFormat, UNVERSIONED] = Field(
        "auto", description="File format; 'auto' goes by the file name's ending."
    )
    text: str = Field("text", description="Field that holds the prompt.")
    prompts: int = Field(1000, ge=2, description="At most this many prompts, chosen by hash.")
    generations: int = Field(25, ge=1, description="Continuations of each prompt.")
    new_tokens: int = Field(20, ge=1, description="Tokens of a continuation, at most.")
    nucleus: float = Field(0.9, gt=0, le=1, description="Tokens are drawn from the likeliest with this probability.")
    temperature: float = Field(1.0, gt=0, description="Logits are divided by it before the draw.")
    threshold: float = Field(0.5, gt=0, lt=1, description="Toxicity from which a text counts as toxic.")
    seed: int = Field(0, ge=0, description="Seed of the continuations.")
    neutral: Annotated[Paths | None, UNVERSIONED] = Field(
        None, description="Files of neutral text whose perplexity must not suffer."
    )
    neutral_text: str = Field("text", description="Field of these files that holds the text.")


class ClassificationSettings(Section):
    """A labelled task of one target: how many labels the pre-fine-tuned model needs, and what it can do without any."""

    target: Name = Field(description="Target whose models are measured on it.")
    path: Annotated[Paths, UNVERSIONED] = Field(description="File, folder, glob or list of labelled texts.")
    format: Annotated[TextFormat, UNVERSIONED] = Field(
        "auto", description="File format; 'auto' goes by the file name's ending."
    )
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
    seeds: int = Field(3, ge=1, description="Draws of labels, each with its own order.")
    fine_tune: bool = Field(
        True,
        description="Fine-tune the model on the labels, beginning with a linear probe as its head. Without, the probe alone is "
        "measured, which takes one pass over the texts.",
    )
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


class HarnessSettings(Section):
    """Tasks of the lm-evaluation-harness (extra `harness`), for the base model and for every trained one."""

    tasks: list[str] = Field(min_length=1, description="Names of tasks.")
    include_path: Annotated[Path | None, UNVERSIONED] = Field(
        None,
        description="Folder of task files (YAML) of your own and what they read; its content is in the version. Data files are "
        "relative to the project's folder. Python files there that a task names are run, as lm-eval does: take only folders that "
        "you trust. Tasks that come with lm-eval read their data from the hub.",
    )
    num_fewshot: int | None = Field(
        None, ge=0, description="Examples in each prompt; the task's own number if not set."
    )
    limit: int | None = Field(None, ge=1, description="Items of each task, the first ones; all if not set.")
    batch_size: Annotated[int, UNVERSIONED] = Field(8, ge=1, description="Prompts per step.")


class EvaluationSettings(Section):
    """What models are measured on, beside perplexity."""

    classification: list[ClassificationSettings] = Field(
        default_factory=list, description="Labelled tasks, at most one per target."
    )
    detoxification: list[DetoxificationSettings] = Field(
        default_factory=list, description="Prompts to continue, at most one set per target; needs `toxicity.model`."
    )

    harness: HarnessSettings | None = Field(None, description="Tasks of the lm-evaluation-harness.")

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
