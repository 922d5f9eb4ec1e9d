"""Models that are better than their base, in MLflow's registry."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.tracking.context import TrackingContext

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_PERPLEXITY = "gotd.heldout_perplexity"
_DIGEST = "gotd.heldout_digest"


def put(
    client: MlflowClient,
    context: TrackingContext,
    *,
    run_id: str,
    model_id: str,
    location: Path,
    perplexity: float,
    digest: str,
) -> None:
    """Register a model as a new version of `context.registered_model`, and give it the alias if it is the best so far.

    A version that has the alias keeps it while its perplexity on the same held-out text is lower; measured on other
    text the two cannot be compared, and the newer one takes it.
    """
    from mlflow.exceptions import MlflowException

    name = str(context.registered_model)
    with contextlib.suppress(MlflowException):  # there is one already
        client.create_registered_model(
            name, description="Models pre-fine-tuned on a selection, better than their base."
        )
    where = context.model_location or str(location)
    version = client.create_model_version(
        name,
        # A server takes no folder of this machine; what it refers to names the folder in its tags.
        f"models:/{model_id}" if context.uri.startswith("http") else Path(where).as_uri(),
        run_id=run_id,
        model_id=model_id,
        tags={
            "gotd.model_name": context.model_name,
            "gotd.model_id": model_id,
            "gotd.model_path": where,
            "gotd.selection_version": context.selection_version,
            _PERPLEXITY: f"{perplexity:.6g}",
            _DIGEST: digest,
        },
        description=context.model_name,
    )
    if not _is_better(_aliased(client, name, context.alias), perplexity, digest):
        return
    client.set_registered_model_alias(name, context.alias, version.version)


def _is_better(than: ModelVersion | None, perplexity: float, digest: str) -> bool:
    if than is None or than.tags.get(_DIGEST) != digest:
        return True
    return perplexity < float(than.tags[_PERPLEXITY])


def _aliased(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException:
        return None
