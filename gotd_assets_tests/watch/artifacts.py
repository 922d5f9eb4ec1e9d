"""Published artifacts without the work behind them."""

from collections.abc import Mapping, Sequence

import polars as pl

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.fingerprint import Json


def publish(
    store: ArtifactStore,
    asset: str,
    partition: str | None,
    version: str,
    *,
    inputs: Mapping[str, str] | None = None,
    documents: Sequence[str] | None = None,
    summary: Mapping[str, Json] | None = None,
) -> Artifact:
    """Write and publish a version of an artifact; a selection gets `documents` as its members."""
    key = ArtifactKey(asset, partition)
    with store.write(key, version, code_version="1", inputs=inputs or {}, parameters={}) as writer:
        if documents is not None:
            pl.DataFrame({"doc_id": documents}).write_parquet(writer.path / "subset.parquet")
        writer.summary.update(summary or {})
    assert writer.artifact is not None
    store.publish(writer.artifact)
    return writer.artifact
