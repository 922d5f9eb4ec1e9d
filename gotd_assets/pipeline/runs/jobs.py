"""Jobs: the verbs a team uses, each over one kind of partition."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from gotd_assets.pipeline.placement import Placement
from gotd_assets.stations.station import Station

JOBS = ("ingest_source", "rescore_target", "select_and_train")
# These start a run for each partition themselves: `stage_jobs`.
STAGE_JOBS = ("materialize_everything", "reselect_target", "compare_methods")


def build_jobs(placement: Placement) -> list[Any]:
    """Jobs of the pipeline; each is launched for one partition, or backfilled over several."""
    return [
        dg.define_asset_job(
            placement.name("ingest_source"),
            _assets(placement, lambda station: station.division == "source"),
            description="Read one source and embed the documents not embedded before.",
        ),
        dg.define_asset_job(
            placement.name("rescore_target"),
            _assets(placement, lambda station: station.division == "target" and not station.is_late),
            description="Read one target, solve the transport problem and score every candidate.",
        ),
        dg.define_asset_job(
            placement.name("select_and_train"),
            _assets(placement, lambda station: station.group in ("selection", "training")),
            description="Select for one target by one method and pre-fine-tune the model on the selection.",
        ),
    ]


def _assets(placement: Placement, include: Callable[[Station], bool]) -> dg.AssetSelection:
    stations = placement.graph.existing(placement.declared.settings)
    return dg.AssetSelection.assets(*(placement.key(station.name) for station in stations if include(station)))
