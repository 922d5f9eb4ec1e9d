"""What the two embedding assets have in common."""

from pathlib import Path

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import Station
from gotd_assets.fingerprint import fingerprint
from gotd_assets.settings import EncoderSettings
from gotd_assets.storage import ArtifactWriter


def encoder_deps(placement: Placement) -> list[dg.AssetKey]:
    """The encoder, where it is an asset itself."""
    return placement.keys("tuned_encoder") if placement.declared.settings.encoder.tune.target else []


def embed(station: Station, documents: Path) -> dg.MaterializeResult[None]:
    """Embed the documents in folder `documents` as the artifact of `station`."""
    from gotd_assets.embedding import embed_documents

    project = station.project
    encoder = _encoder(station)
    vectors = project.home / "vectors"

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.embedding.estimate import estimate_embedding

        estimate = estimate_embedding(documents, encoder, project.root, vectors, project.settings.estimates)
        station.announce(estimate, writer)
        report = embed_documents(documents, encoder, project.root, vectors, writer.path, progress=station.show)
        writer.summary.update(report.as_summary())

    return station.make(
        {
            "encoder": project.settings.encoder.model_dump(
                mode="json", exclude={"model", "device", "batch_tokens", "tune"}
            )
        },
        lambda writer, _scratch: write(writer),
        metadata.embeddings,
    )


def _encoder(station: Station) -> EncoderSettings:
    """The encoder that the settings name, or what fine-tuning made of it; its version becomes an input."""
    from gotd_assets.embedding import encoder_version
    from gotd_assets.embedding.model_files import CODE_VERSION

    encoder, root = station.project.settings.encoder, station.project.root
    if encoder.tune.target is None:
        station.depend_on({"encoder": encoder_version(encoder, root)})
        return encoder
    tuned = station.read("tuned_encoder")
    # In a dry run its files may not be there yet; its version stands for them.
    station.depend_on({"encoder": fingerprint({"code": CODE_VERSION, "tuned": tuned.version})})
    return encoder.model_copy(update={"model": str(tuned.path / "model"), "revision": None, "kind": "transformers"})
