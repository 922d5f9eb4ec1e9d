"""Everything in the order of the data, one run per partition: what `gotd run` and the jobs over several partitions make."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from gotd_assets.settings import Settings

READING_STATIONS = ("raw_candidates",)
EMBEDDING_STATIONS = ("candidate_embeddings",)
SOURCE_STATIONS = (*READING_STATIONS, *EMBEDDING_STATIONS)
ENCODER_STATIONS = ("tuned_encoder",)
POOL_STATIONS = ("candidate_pool",)
TARGET_STATIONS = (
    "target_documents",
    "target_embeddings",
    "target_sketch",
    "domain_relevance",
    "ot_potentials",
    "candidate_scores",
)
SELECTION_STATIONS = ("selected_subset", "pre_fine_tuned_model")
REPORT_STATIONS = ("evaluation_report",)
LABELLED_STATIONS = ("labelled_documents",)
TASK_STATIONS = ("task_evaluation",)
PROMPT_STATIONS = ("detoxification_evaluation",)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One run: some assets in one partition.

    Attributes:
        title: for people.
        assets: names without key prefix.
        partition: as Dagster names it; the two parts of a selection's key as a mapping.
        target: whose failure it is; None if everything needs it.
        config: what the launchpad would set, by asset.
    """

    title: str
    assets: tuple[str, ...]
    partition: str | dict[str, str] | None
    target: str | None = None
    config: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)

    @property
    def artifact_partition(self) -> str | None:
        """The partition as artifacts name it."""
        return "/".join(self.partition.values()) if isinstance(self.partition, dict) else self.partition


def candidate_stages(settings: Settings) -> Iterator[Stage]:
    """From files to the pool."""
    if settings.encoder.tune.target is None:
        for source in settings.sources:
            yield Stage(f"read and embed source {source.name}", SOURCE_STATIONS, source.name)
    else:
        yield from _stages_with_tuning(settings, settings.encoder.tune.target)
    yield Stage("find duplicates across sources", POOL_STATIONS, None)


def _stages_with_tuning(settings: Settings, target: str) -> Iterator[Stage]:
    """Reading, then the encoder, then embedding; no target goes on without the encoder."""
    for source in settings.sources:
        yield Stage(f"read source {source.name}", READING_STATIONS, source.name)
    texts = LABELLED_STATIONS if settings.tuned_on_labels else TARGET_STATIONS[:1]
    yield Stage(f"read what the encoder is fine-tuned on: target {target}", texts, target)
    yield Stage("fine-tune the encoder", ENCODER_STATIONS, None)
    for source in settings.sources:
        yield Stage(f"embed source {source.name}", EMBEDDING_STATIONS, source.name)


def target_stages(settings: Settings, targets: Sequence[str]) -> Iterator[Stage]:
    """From each target's files to its report."""
    away = settings.selection.away_target
    # Others' selections read the scores of these.
    scored = list(dict.fromkeys([*([] if away is None else [away]), *settings.selection.round_robin]))
    for target in scored:
        yield Stage(f"target {target}: transport and scores", TARGET_STATIONS, target)
    for target in targets:
        if target not in scored:
            yield Stage(f"target {target}: transport and scores", TARGET_STATIONS, target, target)
        yield from method_stages(settings, target)


def method_stages(settings: Settings, target: str) -> Iterator[Stage]:
    """Every method of one target, from its scores to its report."""
    for method in settings.selection.methods:
        title = f"target {target}: select by {method} and pre-fine-tune"
        yield Stage(title, SELECTION_STATIONS, {"target": target, "method": method}, target)
    yield Stage(f"target {target}: evaluation", REPORT_STATIONS, target, target)
    if settings.evaluation.task(target) is not None:
        yield Stage(f"target {target}: labelled texts", LABELLED_STATIONS, target, target)
        for method in settings.selection.methods:
            title = f"target {target}: labelled task after {method}"
            yield Stage(title, TASK_STATIONS, {"target": target, "method": method}, target)
    if settings.evaluation.prompts(target) is not None:
        for method in settings.selection.methods:
            title = f"target {target}: toxicity after {method}"
            yield Stage(title, PROMPT_STATIONS, {"target": target, "method": method}, target)
