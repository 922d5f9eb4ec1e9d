"""The target's documents, with some held out for evaluation."""

import dataclasses

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station


def target_documents(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""

    @dg.asset(
        key=placement.key("target_documents"),
        partitions_def=placement.partitions.targets,
        group_name=placement.group("target"),
        kinds={"polars", "parquet"},
        check_specs=check_specs(placement.key("target_documents")),
        owners=OWNERS,
        code_version="1",
    )
    def target_documents(context: dg.AssetExecutionContext) -> Made:
        """A small sample of the task that models are to be prepared for.

        The held-out part is split off here, whole documents at a time, before anything is selected, so that no
        evaluation sees text that guided the selection.
        """
        from gotd_assets.corpus import content_fingerprint, read_target

        station = Station(context, placement, context.partition_key)
        loaded = station.project
        target = loaded.settings.target(context.partition_key)
        files = content_fingerprint(
            target, loaded.root, cache=loaded.home / "cache" / "checksums.json", remote=station.remote
        )
        # By content, not by name: a renamed file is no new target.
        station.depend_on({f"content:{position}": sha for position, sha in enumerate(sorted(files.values()))})
        forgotten = station.forgotten()
        return station.make(
            {
                "reading": target.model_dump(mode="json", exclude={"path"}),
                "preparation": loaded.settings.preparation.model_dump(mode="json"),
                **({"forgotten": forgotten} if forgotten else {}),
            },
            lambda writer, _scratch: writer.summary.update(
                read_target(
                    target,
                    loaded.settings.preparation,
                    loaded.root,
                    writer.path,
                    encoder=loaded.settings.encoder,
                    progress=station.show,
                    remote=station.remote,
                    forgotten=forgotten,
                )
            ),
            metadata.target,
            lambda artifact, record: dataclasses.replace(
                record,
                source_files=station.source_files(files),
                examples=sorted(artifact.path.glob("*/documents-*.parquet")),
            ),
        )

    return target_documents
