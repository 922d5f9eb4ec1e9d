"""The encoder, fine-tuned on a target."""

from __future__ import annotations

from typing import Any

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.shown import Description, Markdown, figures
from gotd_assets.settings.project import Settings
from gotd_assets.stations import first_look
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.reads import One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work


def _tuned_target(settings: Settings, _: Partition) -> list[str]:
    return [str(settings.encoder.tune.target)]


_TEXTS = One("target_documents", when=lambda settings: not settings.tuned_on_labels, targets=_tuned_target)
_LABELLED = One("labelled_documents", when=lambda settings: settings.tuned_on_labels, targets=_tuned_target)


def tuned_encoder(work: Work) -> Recipe:
    """The encoder after fine-tuning on the target's text, or on its labelled texts, as in the paper.

    Everything is embedded with it. It takes minutes, but another one means that all candidates are embedded anew.
    Held-out text and labelled texts for measuring are not used.
    """
    from gotd_assets.models.encoder import encoder_version

    encoder = work.settings.encoder.of_targets()
    on_labels = work.settings.tuned_on_labels
    task = work.settings.evaluation.task(str(encoder.tune.target)) if on_labels else None
    documents = work.open(_LABELLED if on_labels else _TEXTS)
    work.depend_on({"encoder": encoder_version(encoder, work.root)})

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.training.encoder_tuning import tune_encoder

        report = tune_encoder(
            documents.path / "train",
            encoder,
            labels=task,
            root=work.root,
            out=writer.path,
            scratch=writer.scratch,
            progress=work.show,
        )
        writer.summary.update(report.as_summary())

    return Recipe(
        {
            "tune": encoder.tune.shaping(),
            # How its labelled texts were read stands in them, but for the format.
            "labelled": None if task is None else {"format": task.format},
        },
        write,
        _described,
    )


def _described(artifact: Artifact) -> Description:
    """The loss of the encoder's fine-tuning, and what it was made of."""
    from gotd_assets.catalogue import plots

    report: dict[str, Any] = artifact.json("tuning.json")
    loss = Markdown(plots.curve(report["loss_curve"], "step", "loss"))
    return {"loss": loss, "model": artifact.path / "model", **figures(artifact)}


STATION = Station(
    prepare=tuned_encoder,
    verb="fine-tune the encoder",
    division=None,
    group="target",
    kinds=frozenset({"pytorch", "huggingface"}),
    code_version="1",
    reads=(_TEXTS, _LABELLED),
    looks=(first_look.encoder,),
    is_heavy=True,
    exists=lambda settings: settings.encoder.tune.target is not None,
)
