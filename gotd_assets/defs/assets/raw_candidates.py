"""Candidates as read, cleaned and cut, one partition per source."""

import dataclasses

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station


def raw_candidates(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""

    @dg.asset(
        key=placement.key("raw_candidates"),
        partitions_def=placement.partitions.sources,
        group_name=placement.group("candidates"),
        kinds={"polars", "parquet"},
        check_specs=check_specs(placement.key("raw_candidates")),
        owners=OWNERS,
        code_version="1",
    )
    def raw_candidates(context: dg.AssetExecutionContext) -> Made:
        """Documents of one source, ready to be selected.

        Every record of the source's files is read, cleaned, cut or joined to chunks and named by `doc_id`, the hash
        of its text. What cannot be read is quarantined and counted, never dropped in silence.
        """
        from gotd_assets.corpus import content_fingerprint, read_documents, sample_documents

        station = Station(context, placement, context.partition_key)
        loaded = station.project
        source = loaded.settings.source(context.partition_key)
        files = content_fingerprint(
            source, loaded.root, cache=loaded.home / "cache" / "checksums.json", remote=station.remote
        )
        station.depend_on({f"file:{name}": checksum for name, checksum in files.items()})

        return station.make(
            {
                "reading": source.model_dump(mode="json", exclude={"path"}),
                "preparation": loaded.settings.preparation.model_dump(mode="json"),
            },
            lambda writer, _scratch: writer.summary.update(
                read_documents(
                    source,
                    loaded.settings.preparation,
                    loaded.root,
                    writer.path,
                    encoder=loaded.settings.encoder,
                    progress=station.show,
                    remote=station.remote,
                ).as_summary()
            ),
            lambda artifact: {
                "sample": metadata.table(sample_documents(artifact.path, 5)),
                **metadata.documents(artifact),
                **station.pace(metadata.count(artifact, "read")),
            },
            lambda artifact, record: dataclasses.replace(
                record,
                documents=sorted(artifact.path.glob("documents-*.parquet")),
                source_files=station.source_files(files),
            ),
        )

    return raw_candidates
