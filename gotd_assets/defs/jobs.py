"""Jobs: the verbs a team uses, each over one kind of partition."""

from typing import Any

import dagster as dg

from gotd_assets.defs.partitions import Partitions


def build_jobs(partitions: Partitions) -> list[Any]:
    """Jobs for `partitions`; each is launched for one partition, or backfilled over several."""
    return [
        dg.define_asset_job(
            "ingest_source",
            dg.AssetSelection.assets("raw_candidates", "candidate_embeddings"),
            description="Read one source and embed the documents not embedded before.",
            partitions_def=partitions.sources,
        ),
        dg.define_asset_job(
            "rescore_target",
            dg.AssetSelection.assets(
                "target_documents",
                "target_embeddings",
                "target_sketch",
                "domain_relevance",
                "ot_potentials",
                "candidate_scores",
            ),
            description="Read one target, solve the transport problem and score every candidate.",
            partitions_def=partitions.targets,
        ),
        dg.define_asset_job(
            "select_and_train",
            dg.AssetSelection.assets("selected_subset", "pre_fine_tuned_model"),
            description="Select for one target by one method and pre-fine-tune the model on the selection.",
            partitions_def=partitions.selections,
        ),
    ]
