"""Select pre-fine-tuning data by optimal transport gradients (GOT-D), as Dagster assets with lineage."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gotd_assets.api.select import select
    from gotd_assets.api.selector import Selector
    from gotd_assets.components.selection_pipeline import SelectionPipeline
    from gotd_assets.pipeline.downstream import latest_model, latest_selection
    from gotd_assets.pipeline.resources import EngineResource, TrackingResource

__all__ = [
    "EngineResource",
    "SelectionPipeline",
    "Selector",
    "TrackingResource",
    "latest_model",
    "latest_selection",
    "select",
]
__version__ = "0.2.0"

# Loaded when they are asked for: rooms that need no Dagster do not pay for it, nor `select` for the component.
_PLACES = {
    "EngineResource": "gotd_assets.pipeline.resources",
    "TrackingResource": "gotd_assets.pipeline.resources",
    "SelectionPipeline": "gotd_assets.components.selection_pipeline",
    "Selector": "gotd_assets.api.selector",
    "latest_model": "gotd_assets.pipeline.downstream",
    "latest_selection": "gotd_assets.pipeline.downstream",
    "select": "gotd_assets.api.select",
}


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> object:
    if name in _PLACES:
        import importlib

        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
