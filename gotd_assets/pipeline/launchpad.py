"""Settings that Dagster's launchpad can change for a single run, as the stations name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pydantic

from gotd_assets.settings.project import Settings
from gotd_assets.stations.station import Station

# Dagster has forms for these; anything else is written as text.
_FORMS = (int, float, bool, str)


def launchpad_of(station: Station, settings: Settings) -> type[dg.Config] | None:
    """The form for a run of `station`, filled in with `settings`; None if nothing can be set."""
    if not station.launchpad:
        return None
    fields: dict[str, Any] = {}
    for path in station.launchpad:
        section, _, name = path.partition(".")
        field = type(getattr(settings, section)).model_fields[name]
        form = field.annotation if field.annotation in _FORMS else str
        value = getattr(getattr(settings, section), name)
        fields[name] = (form, pydantic.Field(default=form(value), description=field.description))
    return pydantic.create_model("".join(map(str.capitalize, station.name.split("_"))), __base__=dg.Config, **fields)


def overrides_of(station: Station, config: dg.Config) -> dict[str, object]:
    """What `config` says, by the settings' paths."""
    return {path: getattr(config, path.partition(".")[2]) for path in station.launchpad}


def config_of(station: Station, overrides: Mapping[str, object], settings: Settings) -> dict[str, object]:
    """`overrides` as the launchpad of `station` takes them."""
    form = launchpad_of(station, settings)
    if form is None:
        return {}
    return {path.partition(".")[2]: _as_form(form, path.partition(".")[2], value) for path, value in overrides.items()}


def _as_form(form: type[dg.Config], name: str, value: object) -> object:
    return str(value) if form.model_fields[name].annotation is str else value
