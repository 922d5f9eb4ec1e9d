"""What the base model says of documents, for selection methods that ask it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from gotd_assets.fingerprint import Json
    from gotd_assets.selection.problem import SelectionProblem
    from gotd_assets.settings.project import Project
    from gotd_assets.settings.training import TrainingSettings
    from gotd_assets.stations.work import Work


def base_model_of(work: Work) -> TrainingSettings:
    """How the base model is read, which becomes an input.

    Raises:
        InputError: the project has none.
    """
    from gotd_assets.models.language import model_version

    training = work.settings.training
    if training is None:
        raise InputError(
            f"selection method {work.partition.method!r} asks the model that is to be trained, and there is none: set "
            "training.model"
        )
    work.depend_on({"base_model": model_version(training, work.root)})
    return training


def shaping(training: TrainingSettings, needs: Collection[str]) -> dict[str, Json]:
    """What of `training` shapes a selection: all of it where the model is trained, the length of texts where it only reads."""
    return (
        training.shaping()
        if "loss_drops" in needs
        else {"max_tokens": training.max_tokens, "objective": training.objective}
    )


def with_base_model(
    problem: SelectionProblem, training: TrainingSettings | None, needs: Collection[str], work: Work
) -> SelectionProblem:
    """`problem` with what of the base model its method needs; as it is for a method that asks no model."""
    if training is None:
        return problem
    if "states" in needs:
        return dataclasses.replace(problem, states=_states(training, work.project))
    if "loss_drops" in needs:
        texts = [] if problem.target_texts is None else problem.target_texts.to_list()
        return dataclasses.replace(problem, loss_drops=_loss_drops(training, texts, work))
    from gotd_assets.training.gradients import LastLayerGradients

    gradients = LastLayerGradients(training, work.root, work.project.home.models)
    return dataclasses.replace(problem, gradients=gradients)


def _states(training: TrainingSettings, project: Project) -> Callable[[pl.DataFrame], npt.NDArray[Any]]:
    """Vectors (n, D) of a frame of doc_id and text: weighted means of the base model's last states, kept in the store.

    Raises:
        InputError: the model is not causal, or cannot be loaded.
    """
    from gotd_assets.embedding.kept import KeptVectors, state_encoder

    encoder = state_encoder(training, project.root, project.home.models)
    return KeptVectors(encoder, project.root, project.home.vectors)


def _loss_drops(
    training: TrainingSettings, target: Sequence[str], work: Work
) -> Callable[[pl.DataFrame], npt.NDArray[Any]]:
    """Share (n,) by which the base model's loss on texts falls while it is warmed up on the target's, kept."""
    from gotd_assets.training.warm_up import WarmUp

    settings = work.settings.selection
    warmed = training.model_copy(
        update={
            "epochs": float(settings.tacs.epochs),
            "learning_rate": settings.tacs.learning_rate or training.learning_rate,
            "seed": settings.seed,
        }
    )
    return WarmUp(warmed, target, root=work.root, cache=work.project.home.models, progress=work.show)
