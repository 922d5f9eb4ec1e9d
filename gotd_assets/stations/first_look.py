"""What stations need of the user's models and files, looked at before any of them works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.errors import GotdError
from gotd_assets.fingerprint import fingerprint
from gotd_assets.stations.partition import Partition

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.project import Project
    from gotd_assets.stations.graph import Graph, Stage


def encoder(project: Project, _: Partition) -> None:
    """The encoder's files."""
    from gotd_assets.models.sound import look_at_encoder

    look_at_encoder(project.settings.encoder, project.root)


def base_model(project: Project, _: Partition) -> None:
    """The files of the language model that is trained."""
    from gotd_assets.models.sound import look_at_base_model

    look_at_base_model(project.settings.pre_fine_tuning, project.root)


def method_s_model(project: Project, partition: Partition) -> None:
    """The files of the base model, where a selection method asks it."""
    from gotd_assets.selection.methods import method_named

    if {"states", "loss_drops", "gradients"} & method_named(
        str(partition.method)
    ).needs and project.settings.training is not None:
        base_model(project, partition)


def classifier(project: Project, _: Partition) -> None:
    """The files of the classifier of toxicity."""
    from gotd_assets.models.sound import look_at_classifier

    look_at_classifier(project.settings.toxicity, project.root)


def labelled_texts(project: Project, partition: Partition) -> None:
    """The files of a target's labelled task."""
    from gotd_assets.corpus.first_look import look_at_texts
    from gotd_assets.corpus.labelled import labelled_source

    task = project.settings.evaluation.task(partition.own_target)
    if task is not None:
        look_at_texts(labelled_source(task), project.root, f"evaluation.classification of target {task.target!r}")


def problems_ahead(graph: Graph, project: Project, stages: Sequence[Stage]) -> dict[str | None, GotdError]:
    """What is wrong with what `stages` need, by the target whose stages fail of it; None for what they all need."""
    found: dict[str | None, list[str]] = {}
    seen = set()
    for stage in stages:
        for asset in stage.assets:
            for look in graph.named(asset).looks:
                about = None if look in _OF_ALL else stage.target
                which = (look, None if look in _OF_ALL else stage.partition)
                if which in seen:
                    continue
                seen.add(which)
                try:
                    look(project, stage.partition)
                except GotdError as error:
                    found.setdefault(about, []).append(str(error))
    return {target: GotdError("\n".join(dict.fromkeys(problems))) for target, problems in found.items()}


# These are about models that every target needs.
_OF_ALL = frozenset({encoder, base_model})


def load_models(graph: Graph, project: Project, stages: Sequence[Stage]) -> None:
    """Load the models that `stages` need, each of them once in a home: what shows only then is told before hours of work.

    Raises:
        GotdError: one cannot be loaded, lacks weights, or is not what it is taken for.
    """
    looks = {look for stage in stages for asset in stage.assets for look in graph.named(asset).looks}
    if encoder in looks and project.settings.encoder.kind != "precomputed":
        _load_encoder(project)
    if base_model in looks:
        _load_base_model(project)


def _load_encoder(project: Project) -> None:
    from gotd_assets.embedding.embed import load_encoder
    from gotd_assets.models.encoder import encoder_version

    settings = project.settings.encoder
    known = project.home.models / f"loaded-encoder-{encoder_version(settings, project.root)}"
    if not known.exists():
        load_encoder(settings, project.root)
        write_atomically(known, "")


def _load_base_model(project: Project) -> None:
    from gotd_assets.models.language import load_language_model, model_version

    settings = project.settings.pre_fine_tuning
    how: Json = {
        "model": model_version(settings, project.root),
        "objective": settings.objective,
        "tokens": settings.max_tokens,
    }
    known = project.home.models / f"loaded-model-{fingerprint(how)}"
    if not known.exists():
        load_language_model(settings, project.root, project.home.models)
        write_atomically(known, "")
