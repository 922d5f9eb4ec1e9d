"""Labelled texts of a target's task."""

import dataclasses

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.storage import ArtifactWriter


def labelled_documents(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""
    sources = [source.name for source in placement.declared.settings.sources]

    @dg.asset(
        key=placement.key("labelled_documents"),
        partitions_def=placement.partitions.targets,
        deps=[placement.every_source("raw_candidates")],
        group_name=placement.group("evaluation"),
        kinds={"polars", "parquet"},
        owners=OWNERS,
        code_version="2",
    )
    def labelled_documents(context: dg.AssetExecutionContext) -> Made:
        """Labelled texts of the target's task, some to fine-tune on and some to measure on.

        What the pool has, too, is not measured on. Empty for a target without a task in `evaluation.classification`.
        """
        from gotd_assets.corpus import content_fingerprint
        from gotd_assets.training import labelled_source, read_labelled

        station = Station(context, placement, context.partition_key)
        loaded = station.project
        task = loaded.settings.evaluation.task(context.partition_key)
        if task is None:
            return station.make({"task": None}, lambda writer, _: writer.summary.update(tasks=0), metadata.figures)
        raw = station.read_all("raw_candidates", sources)
        files = content_fingerprint(
            labelled_source(task),
            loaded.root,
            cache=loaded.home / "cache" / "checksums.json",
            remote=station.remote,
        )
        station.depend_on({f"content:{position}": sha for position, sha in enumerate(sorted(files.values()))})

        forgotten = station.forgotten()

        def write(writer: ArtifactWriter) -> None:
            counts = read_labelled(
                task,
                loaded.settings.preparation,
                loaded.settings.duplicates,
                [artifact.path for artifact in raw.values()],
                root=loaded.root,
                out=writer.path,
                progress=station.show,
                remote=station.remote,
                forgotten=forgotten,
            )
            writer.summary.update({"tasks": 1, **counts})

        return station.make(
            {
                "task": task.model_dump(
                    mode="json", include={"text", "label", "labels", "test_share", "test_documents", "sizes"}
                ),
                "preparation": loaded.settings.preparation.model_dump(mode="json"),
                "duplicates": loaded.settings.duplicates.model_dump(mode="json"),
                **({"forgotten": forgotten} if forgotten else {}),
            },
            lambda writer, _scratch: write(writer),
            metadata.figures,
            lambda artifact, record: dataclasses.replace(
                record,
                source_files=station.source_files(files),
                examples=sorted(artifact.path.glob("*/documents-*.parquet")),
            ),
        )

    return labelled_documents
