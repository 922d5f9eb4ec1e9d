"""Settings as they were when a run was launched, for all of its processes, whatever is written meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable

from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType

from gotd_assets.errors import SettingsError
from gotd_assets.settings.project import Settings


def frozen(name: str, read: Callable[[], Settings]) -> Settings:
    """What `read` gives where a code location is loaded, and the same again in the processes of its runs.

    Dagster hands these processes what was noted with the code location that launched the run; there it has neither
    the webhook nor passwords, so the webhook comes from the settings as they are, if they can be read.

    Args:
        name: under which it is noted; each pipeline of a code location has its own.
        read: reads the settings anew.

    Raises:
        SettingsError: they are wrong.
    """
    context = DefinitionsLoadContext.get()
    if context.load_type == DefinitionsLoadType.RECONSTRUCTION:
        noted = context.reconstruction_metadata.get(f"gotd/{name}")
        if noted is not None:
            settings = Settings.model_validate(json.loads(noted))
            try:
                return settings.model_copy(update={"notify": read().notify})
            except SettingsError:
                return settings
    settings = read()
    context.add_to_pending_reconstruction_metadata(f"gotd/{name}", json.dumps(settings.without_secrets()))
    return settings
