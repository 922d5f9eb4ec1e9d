"""What the two embedding assets have in common."""

from pathlib import Path

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.station import Station


def embed(station: Station, documents: Path) -> dg.MaterializeResult[None]:
    """Embed the documents in folder `documents` as the artifact of `station`."""
    from gotd_assets.embedding import embed_documents, encoder_version

    project = station.project
    encoder = project.settings.encoder
    station.depend_on({"encoder": encoder_version(encoder, project.root)})
    return station.make(
        {"encoder": encoder.model_dump(mode="json", exclude={"model", "device", "batch_tokens"})},
        lambda writer, _scratch: writer.summary.update(
            embed_documents(
                documents, encoder, project.root, project.home / "vectors", writer.path, progress=station.show
            ).as_summary()
        ),
        metadata.embeddings,
    )
