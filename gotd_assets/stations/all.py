"""Every station, in the order of the data. A new one is a file beside this one and a line here."""

from gotd_assets.stations import (
    candidate_embeddings,
    candidate_pool,
    candidate_scores,
    detoxification_evaluation,
    domain_relevance,
    evaluation_report,
    harness_evaluation,
    labelled_documents,
    ot_potentials,
    pre_fine_tuned_model,
    raw_candidates,
    selected_subset,
    target_documents,
    target_embeddings,
    target_sketch,
    task_evaluation,
    tuned_encoder,
)
from gotd_assets.stations.graph import Graph

GRAPH = Graph(
    (
        raw_candidates.STATION,
        tuned_encoder.STATION,
        candidate_embeddings.STATION,
        candidate_pool.STATION,
        target_documents.STATION,
        target_embeddings.STATION,
        target_sketch.STATION,
        domain_relevance.STATION,
        ot_potentials.STATION,
        candidate_scores.STATION,
        selected_subset.STATION,
        pre_fine_tuned_model.STATION,
        evaluation_report.STATION,
        labelled_documents.STATION,
        task_evaluation.STATION,
        detoxification_evaluation.STATION,
        harness_evaluation.STATION,
    )
)
