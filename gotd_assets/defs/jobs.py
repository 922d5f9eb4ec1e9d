"""Jobs: the verbs a team uses, each over one kind of partition."""

from typing import Any

import dagster as dg

from gotd_assets.defs.placement import Placement
from gotd_assets.defs.stages import SELECTION_STATIONS, SOURCE_STATIONS, TARGET_STATIONS

JOBS = ("ingest_source", "rescore_target", "select_and_train")
# These start a run for each partition themselves: `defs/stage_jobs.py`.
STAGE_JOBS = ("materialise_everything", "reselect_target", "compare_methods")


def build_jobs(placement: Placement) -> list[Any]:
    """Jobs of the pipeline; each is launched for one partition, or backfilled over several."""
    return [
        dg.define_asset_job(
            placement.name("ingest_source"),
            dg.AssetSelection.assets(*placement.keys(*SOURCE_STATIONS)),
            description="Read one source and embed the documents not embedded before.",
        ),
        dg.define_asset_job(
            placement.name("rescore_target"),
            dg.AssetSelection.assets(*placement.keys(*TARGET_STATIONS)),
            description="Read one target, solve the transport problem and score every candidate.",
        ),
        dg.define_asset_job(
            placement.name("select_and_train"),
            dg.AssetSelection.assets(*placement.keys(*SELECTION_STATIONS)),
            description="Select for one target by one method and pre-fine-tune the model on the selection.",
        ),
    ]
