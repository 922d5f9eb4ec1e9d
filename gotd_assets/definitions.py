"""The front door: workspace.yaml and `dg` load this, and only this."""

import dagster as dg

from gotd_assets.pipeline.executor import EXECUTOR
from gotd_assets.pipeline.graph import build_pipeline
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.sentences import errors_as_sentences
from gotd_assets.settings.file import settings_path


@dg.definitions
def defs() -> dg.Definitions:
    """The project that gotd.yaml describes: one pipeline, without a prefix."""
    with errors_as_sentences():
        pipeline = build_pipeline(Placement.of_file(settings_path()))
    return dg.Definitions.merge(pipeline, dg.Definitions(executor=EXECUTOR))
