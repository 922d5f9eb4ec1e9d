"""The whole graph of one pipeline."""

import dagster as dg

from gotd_assets.defs.assets.candidate_embeddings import candidate_embeddings
from gotd_assets.defs.assets.candidate_pool import candidate_pool
from gotd_assets.defs.assets.candidate_scores import candidate_scores
from gotd_assets.defs.assets.detoxification_evaluation import detoxification_evaluation
from gotd_assets.defs.assets.domain_relevance import domain_relevance
from gotd_assets.defs.assets.evaluation_report import evaluation_report
from gotd_assets.defs.assets.labelled_documents import labelled_documents
from gotd_assets.defs.assets.ot_potentials import ot_potentials
from gotd_assets.defs.assets.pre_fine_tuned_model import pre_fine_tuned_model
from gotd_assets.defs.assets.raw_candidates import raw_candidates
from gotd_assets.defs.assets.selected_subset import selected_subset
from gotd_assets.defs.assets.target_documents import target_documents
from gotd_assets.defs.assets.target_embeddings import target_embeddings
from gotd_assets.defs.assets.target_sketch import target_sketch
from gotd_assets.defs.assets.task_evaluation import task_evaluation
from gotd_assets.defs.assets.tuned_encoder import tuned_encoder
from gotd_assets.defs.automation import build_automation
from gotd_assets.defs.checks.records import records_of_training_agree
from gotd_assets.defs.jobs import build_jobs
from gotd_assets.defs.notifications import build_notifiers
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.sensors import build_sensors
from gotd_assets.defs.stage_jobs import build_stage_jobs

STATIONS = (
    raw_candidates,
    candidate_embeddings,
    candidate_pool,
    target_documents,
    target_embeddings,
    target_sketch,
    domain_relevance,
    ot_potentials,
    candidate_scores,
    selected_subset,
    pre_fine_tuned_model,
    evaluation_report,
)

# In the graph only of a project that has a labelled task.
TASK_STATIONS = (labelled_documents, task_evaluation)


def build_pipeline(placement: Placement) -> dg.Definitions:
    """Assets, checks, jobs, sensors and automation of the pipeline at `placement`."""
    evaluation = placement.declared.settings.evaluation
    tuned = (tuned_encoder,) if placement.declared.settings.encoder.tune.target else ()
    tasks = TASK_STATIONS if evaluation.classification else ()
    prompts = (detoxification_evaluation,) if evaluation.detoxification else ()
    return dg.Definitions(
        assets=[station(placement) for station in (*STATIONS, *tuned, *tasks, *prompts)],
        asset_checks=[records_of_training_agree(placement)],
        jobs=[*build_jobs(placement), *build_stage_jobs(placement)],
        sensors=[*build_sensors(placement), build_automation(placement), *build_notifiers(placement)],
    )
