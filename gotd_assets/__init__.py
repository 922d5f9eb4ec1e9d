"""Select pre-fine-tuning data by optimal transport gradients (GOT-D), as Dagster assets with lineage."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gotd_assets.components.selection_pipeline import SelectionPipeline

__all__ = ["SelectionPipeline"]
__version__ = "0.2.0"


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> object:
    # Dagster finds the component here; rooms that need no Dagster do not pay for it.
    if name in __all__:
        from gotd_assets.components.selection_pipeline import SelectionPipeline

        return SelectionPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
