"""The project that gotd.yaml describes: one pipeline, without a prefix."""

import dagster as dg

from gotd_assets.components.selection_pipeline import SelectionPipeline
from gotd_assets.settings.project import settings_path


@dg.component_instance
def pipeline(_: dg.ComponentLoadContext) -> SelectionPipeline:
    """The pipeline."""
    return SelectionPipeline.of_file(settings_path())
