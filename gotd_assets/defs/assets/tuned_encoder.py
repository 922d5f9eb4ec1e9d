"""The encoder, fine-tuned on a target."""

from pathlib import Path

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.storage import ArtifactWriter


def tuned_encoder(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset, of a project that asks for it by `encoder.tune.target`."""
    declared = placement.declared.settings
    texts = "labelled_documents" if declared.tuned_on_labels else "target_documents"
    of_target = dg.SpecificPartitionsPartitionMapping([str(declared.encoder.tune.target)])

    @dg.asset(
        key=placement.key("tuned_encoder"),
        deps=[dg.AssetDep(placement.key(texts), partition_mapping=of_target)],
        group_name=placement.group("target"),
        kinds={"pytorch", "huggingface"},
        owners=OWNERS,
        code_version="1",
        pool=placement.pool,
    )
    def tuned_encoder(context: dg.AssetExecutionContext) -> Made:
        """The encoder after fine-tuning on the target's text, or on its labelled texts, as in the paper.

        Everything is embedded with it. It takes minutes, but another one means that all candidates are embedded anew.
        Held-out text and labelled texts for measuring are not used.
        """
        from gotd_assets.embedding import encoder_version
        from gotd_assets.training import tune_encoder

        station = Station(context, placement, None)
        loaded = station.project
        settings, encoder = loaded.settings, loaded.settings.encoder
        task = settings.evaluation.task(str(encoder.tune.target)) if settings.tuned_on_labels else None
        documents = station.read("target_documents" if task is None else "labelled_documents", encoder.tune.target)
        station.depend_on({"encoder": encoder_version(encoder, loaded.root)})

        def write(writer: ArtifactWriter, scratch: Path) -> None:
            report = tune_encoder(
                documents.path / "train",
                encoder,
                labels=task,
                root=loaded.root,
                out=writer.path,
                scratch=scratch,
                progress=station.show,
            )
            writer.summary.update(report.as_summary())

        return station.make(
            {
                "tune": encoder.tune.model_dump(mode="json"),
                # How its labelled texts were read stands in them, but for the format.
                "labelled": None if task is None else {"format": task.format},
            },
            write,
            metadata.tuning,
        )

    return tuned_encoder
