"""The whole graph for the project that gotd.yaml describes."""

import dagster as dg

from gotd_assets.defs.assets.candidate_embeddings import candidate_embeddings
from gotd_assets.defs.assets.candidate_pool import candidate_pool
from gotd_assets.defs.assets.candidate_scores import candidate_scores
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
from gotd_assets.defs.automation import build_automation
from gotd_assets.defs.checks.records import records_of_training_agree
from gotd_assets.defs.jobs import build_jobs
from gotd_assets.defs.notifications import build_notifiers
from gotd_assets.defs.partitions import Partitions
from gotd_assets.defs.resources import ProjectResource
from gotd_assets.defs.sensors import build_sensors
from gotd_assets.settings import load_project, settings_path

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

# Steps start as forks of one process that has Dagster loaded already; torch is not, so that CUDA can be initialised.
EXECUTOR = dg.multiprocess_executor.configured(
    {"start_method": {"forkserver": {"preload_modules": ["gotd_assets.defs.pipeline"]}}}
)


@dg.definitions
def pipeline() -> dg.Definitions:
    """Assets, jobs, sensors and resources of the project."""
    path = settings_path()
    project = load_project(path)
    partitions = Partitions.of(project.settings)
    tasks = TASK_STATIONS if project.settings.evaluation.classification else ()
    return dg.Definitions(
        assets=[station(project, partitions) for station in (*STATIONS, *tasks)],
        asset_checks=[records_of_training_agree()],
        jobs=build_jobs(partitions),
        sensors=[*build_sensors(project, partitions), build_automation(project.settings), *build_notifiers(project)],
        resources={"project": ProjectResource(settings_file=str(path))},
        executor=EXECUTOR,
    )
