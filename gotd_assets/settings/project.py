"""Typed project settings, and the folder they are relative to. `docs/settings.md` is generated from the descriptions."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from gotd_assets.errors import SettingsError, masked
from gotd_assets.fingerprint import Json
from gotd_assets.settings.comparison import ComparisonSettings
from gotd_assets.settings.compute import ComputeSettings
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.evaluation import EvaluationSettings, ToxicitySettings
from gotd_assets.settings.home import Home, require_addressable
from gotd_assets.settings.operation import CheckSettings, NotifySettings, WatchSettings
from gotd_assets.settings.orchestration import OrchestrationSettings
from gotd_assets.settings.secrets import holds_secret
from gotd_assets.settings.section import Section, example_of, field_path, shortened
from gotd_assets.settings.selection import SelectionSettings
from gotd_assets.settings.storage import StorageSettings
from gotd_assets.settings.targets_folder import look_into
from gotd_assets.settings.texts import (
    DuplicateSettings,
    PreparationSettings,
    SourceSettings,
    TargetSettings,
    TargetsFolderSettings,
    TextInputSettings,
)
from gotd_assets.settings.training import EstimateSettings, TrackingSettings, TrainingSettings
from gotd_assets.settings.transport import TransportSettings


def _without_null(schema: dict[str, Any]) -> None:
    """Leave None out of the JSON schema of a section that may be left out: its errors are to name the field."""
    (section,) = (kind for kind in schema.pop("anyOf") if kind.get("type") != "null")
    schema.update(section)


class Settings(Section):
    """Everything a project says about itself."""

    home: Path = Field(Path(".gotd"), description="Folder for everything this project writes.")
    sources: list[SourceSettings] = Field(
        min_length=1,
        description="Where candidates come from.",
        examples=["[{name: web, path: data/web/*.jsonl}]"],
    )
    targets: list[TargetSettings] = Field(
        default_factory=list, description="What models are to be prepared for; needed unless there is a targets_folder."
    )
    targets_folder: TargetsFolderSettings = Field(
        default=TargetsFolderSettings(), description="A folder of targets; its path alone will do."
    )
    preparation: PreparationSettings = Field(default=PreparationSettings(), description="From records to documents.")
    duplicates: DuplicateSettings = Field(default=DuplicateSettings(), description="Which documents count as the same.")
    encoder: EncoderSettings = Field(
        description="The model that turns text into vectors.",
        examples=["{model: FOLDER}"],
    )
    transport: TransportSettings = Field(default=TransportSettings(), description="The optimal transport problem.")
    selection: SelectionSettings = Field(default=SelectionSettings(), description="What is chosen.")
    training: TrainingSettings | None = Field(
        None,
        description="Pre-fine-tuning; without it the project ends at the selections and a report on them.",
        json_schema_extra=_without_null,
    )
    toxicity: ToxicitySettings = Field(
        default=ToxicitySettings(), description="A classifier that tells how toxic a text is."
    )
    evaluation: EvaluationSettings = Field(
        default=EvaluationSettings(), description="What models are measured on, beside perplexity."
    )
    comparison: ComparisonSettings = Field(
        default=ComparisonSettings(), description="What `gotd compare` compares, over budgets and seeds."
    )
    tracking: TrackingSettings = Field(default=TrackingSettings(), description="Where runs are recorded.")
    watch: WatchSettings = Field(default=WatchSettings(), description="What the sensors look for.")
    checks: CheckSettings = Field(default=CheckSettings(), description="Limits of the asset checks.")
    notify: NotifySettings = Field(default=NotifySettings(), description="Who is told of failures and new models.")
    orchestration: OrchestrationSettings = Field(
        default=OrchestrationSettings(), description="How Dagster places, repeats and times the steps."
    )
    compute: ComputeSettings = Field(default=ComputeSettings(), description="Where heavy stations work.")
    storage: StorageSettings = Field(
        default=StorageSettings(), description="Where artifacts are kept for all machines."
    )
    estimates: EstimateSettings = Field(
        default=EstimateSettings(), description="When a step says beforehand how long it will take."
    )

    @model_validator(mode="after")
    def _has_targets(self) -> Self:
        if not self.targets and self.targets_folder.path is None:
            raise ValueError(
                "targets: name at least one target, or a targets_folder in which they appear; write, for example, "
                "targets: [{name: support, path: data/support.jsonl}]"
            )
        return self

    @model_validator(mode="after")
    def _keeps_what_is_trained_on(self) -> Self:
        chat = None if self.training is None else self.training.chat
        if chat is None:
            return self
        if not any({*chat.fields} <= {*source.fields.keep} for source in self.sources):
            raise ValueError(
                f"training.chat reads {', '.join(chat.fields)}, which no source carries along; write, for example, "
                f"sources: [{{name: …, path: …, fields: {{text: …, keep: [{', '.join(chat.fields)}]}}}}], and the same for "
                "targets, whose held-out texts are then measured likewise"
            )
        if self.preparation.chunk_by != "none":
            raise ValueError("training.chat takes whole records: leave out preparation.chunk_by")
        return self

    @model_validator(mode="after")
    def _has_models_to_measure(self) -> Self:
        if self.training is None and (self.evaluation.classification or self.evaluation.detoxification):
            raise ValueError(
                "evaluation: a task is measured on trained models, and there is no training; write, for example, "
                "training: {model: FOLDER}, or drop the task"
            )
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

    @property
    def pre_fine_tuning(self) -> TrainingSettings:
        """Section `training`, for stations that exist only where there is one.

        Raises:
            SettingsError: there is none.
        """
        if self.training is None:
            raise SettingsError("training: this project trains nothing; write, for example, training: {model: FOLDER}")
        return self.training

    def without_secrets(self) -> dict[str, Json]:
        """All of it as JSON, to be recorded: without the webhook, and without passwords in URLs."""
        content: dict[str, Json] = self.model_dump(mode="json", exclude={"notify": {"webhook"}})
        return {name: _recordable(value) for name, value in content.items()}

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


class Project(Section):
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
        """The project in `root`, with the targets that stand in its targets folder now.

        Raises:
            SettingsError: what Dagster and MLflow write could not be found again in the project's folder or home.
        """
        project = cls(root=root, settings=settings)
        require_addressable(root, "the project's folder")
        require_addressable(project.home.path, "home")
        return _with_folder_targets(project)

    @property
    def home(self) -> Home:
        """Where everything is that the project writes."""
        return Home(self.resolve(self.settings.home))

    def overridden(self, overrides: Mapping[str, object]) -> Self:
        """The project with other values of some settings, by path ('transport.epsilon').

        Raises:
            SettingsError: a value is wrong.
        """
        sections = {path.partition(".")[0] for path in overrides}
        changed = {}
        for name in sections:
            section: Section = self.settings.pre_fine_tuning if name == "training" else getattr(self.settings, name)
            values = {path.partition(".")[2]: value for path, value in overrides.items() if path.startswith(f"{name}.")}
            try:
                changed[name] = type(section).model_validate({**section.model_dump(), **values})
            except ValidationError as error:
                raise SettingsError(wrong_settings(error, prefix=(name,))) from error
        return self.model_copy(update={"settings": self.settings.model_copy(update=changed)})

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


def _recordable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _recordable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_recordable(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinity; settings read this as one
    return masked(value) if isinstance(value, str) else value


def settings_of(content: Mapping[str, Any]) -> Settings:
    """The settings that `content` says, laid out as in gotd.yaml, whatever the environment says.

    Raises:
        SettingsError: a field is wrong; every wrong field is named by its path.
    """
    try:
        return Settings.model_validate(dict(content))
    except ValidationError as error:
        raise SettingsError(wrong_settings(error)) from None


def _with_folder_targets(project: _AnyProject) -> _AnyProject:
    folder = project.settings.targets_folder
    if folder.path is None:
        return project
    taken = {target.name for target in project.settings.targets}
    place = project.resolve(folder.path)
    found, problems = look_into(place, taken, folder.format, follow_links=folder.follow_links)
    shared = {name: getattr(folder, name) for name in type(folder).model_fields if name != "path"}
    targets = [TargetSettings(name=name, path=path, **shared) for name, path in found.items()]
    settings = project.settings.model_copy(update={"targets": [*project.settings.targets, *targets]})
    return project.model_copy(update={"settings": settings, "problems": tuple(problems)})


def wrong_settings(error: ValidationError, prefix: tuple[str, ...] = ()) -> str:
    """Every wrong field with its path and what to do, a line each; no value that may be a secret."""
    lines = []
    for item in error.errors():
        path = (*prefix, *item["loc"])
        if item["type"] == "missing":
            lines.append(f"  {field_path(path)}: {_missing(path)}")
            continue
        # What stands under a name that is none may be a secret as well.
        is_shown = item["type"] != "extra_forbidden" and not holds_secret(Settings, path)
        lines.append(
            f"  {field_path(path)}: {item['msg']}" + (f" (got {shortened(item['input'])})" if is_shown else "")
        )
    return f"{len(lines)} wrong setting(s)\n" + "\n".join(lines)


def _missing(path: tuple[int | str, ...]) -> str:
    """What to write where a required setting is missing."""
    name, example = path[-1], example_of(Settings, path)
    return "it is required" if example is None else f"it is required; write, for example, {name}: {example}"
