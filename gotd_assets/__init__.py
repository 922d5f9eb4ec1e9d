"""Select pre-fine-tuning data by optimal transport gradients (GOT-D), as Dagster assets with lineage."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gotd_assets.components.selection_pipeline import SelectionPipeline
    from gotd_assets.pipeline.downstream import latest_model, latest_selection

__all__ = ["SelectionPipeline", "latest_model", "latest_selection"]
__version__ = "0.2.0"


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> object:
    # Dagster finds the component here; rooms that need no Dagster do not pay for it.
    if name == "SelectionPipeline":
        from gotd_assets.components.selection_pipeline import SelectionPipeline

        return SelectionPipeline
    if name in ("latest_model", "latest_selection"):
        from gotd_assets.pipeline import downstream

        return getattr(downstream, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
