"""What stations need of the user's models and files, looked at before any of them works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gotd_assets.errors import GotdError
from gotd_assets.stations.partition import Partition

if TYPE_CHECKING:
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
