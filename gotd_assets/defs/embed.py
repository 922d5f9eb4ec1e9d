"""What the two embedding assets have in common."""

from pathlib import Path

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.station import Station
from gotd_assets.storage import ArtifactWriter


def embed(station: Station, documents: Path) -> dg.MaterializeResult[None]:
    """Embed the documents in folder `documents` as the artifact of `station`."""
    from gotd_assets.embedding import embed_documents, encoder_version

    project = station.project
    encoder = project.settings.encoder
    station.depend_on({"encoder": encoder_version(encoder, project.root)})
    vectors = project.home / "vectors"

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.embedding.estimate import estimate_embedding

        estimate = estimate_embedding(documents, encoder, project.root, vectors, project.settings.estimates)
        station.announce(estimate, writer)
        report = embed_documents(documents, encoder, project.root, vectors, writer.path, progress=station.show)
        writer.summary.update(report.as_summary())

    return station.make(
        {"encoder": encoder.model_dump(mode="json", exclude={"model", "device", "batch_tokens"})},
        lambda writer, _scratch: write(writer),
        metadata.embeddings,
    )
