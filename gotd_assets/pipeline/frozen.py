"""Settings as they were when a run was launched, for all of its processes, whatever is written meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable

from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType

from gotd_assets.errors import SettingsError
from gotd_assets.settings.project import Settings


def frozen(place: str, read: Callable[[], Settings]) -> Settings:
    """What `read` gives where a code location is loaded, and the same again in the processes of its runs.

    Dagster hands these processes what was noted with the code location that launched the run; there it has neither
    the webhook nor passwords, so the webhook comes from the settings as they are, if they can be read.

    Args:
        place: of the pipeline, unlike that of any other.
        read: reads the settings anew.

    Raises:
        SettingsError: they are wrong.
    """
    context = DefinitionsLoadContext.get()
    key = f"gotd/settings/{place}"
    noted = (
        context.reconstruction_metadata.get(key) if context.load_type == DefinitionsLoadType.RECONSTRUCTION else None
    )
    if noted is None:
        settings = read()
        noted = json.dumps(settings.without_secrets())
    else:
        settings = _with_webhook(Settings.model_validate(json.loads(noted)), read)
    context.add_to_pending_reconstruction_metadata(key, noted)
    return settings


def _with_webhook(settings: Settings, read: Callable[[], Settings]) -> Settings:
    try:
        return settings.model_copy(update={"notify": read().notify})
    except SettingsError:
        return settings
