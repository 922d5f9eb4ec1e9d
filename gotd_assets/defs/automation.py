"""What happens without a human: new scores lead to a selection, a new selection to training, a new model to a report."""

from typing import Any

import dagster as dg

from gotd_assets.defs.partitions import SelectionKey
from gotd_assets.settings import Settings, load_project
from gotd_assets.storage import ArtifactStore
from gotd_assets.watch.training import worth_training

_CONDITION = dg.AutomationCondition


def _on_new_data(*upstream: str) -> Any:
    """When the content of one of `upstream` changed, unless something it needs is missing or being made.

    `eager` also fires when an upstream is materialised again with the same data version; training again on the same
    selection would be waste.
    """
    changed = _CONDITION.any_deps_match(_CONDITION.data_version_changed())
    return _CONDITION.eager().replace("any_deps_updated", changed.allow(dg.AssetSelection.assets(*upstream)))


class WorthTraining(dg.AutomationCondition[dg.AssetKey]):
    """The selection differs enough from the one last trained on (`watch.retrain_below_overlap`)."""

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return "selection_worth_training"

    @property
    def description(self) -> str:
        """As the UI explains it."""
        return "fewer documents in common with the selection last trained on than watch.retrain_below_overlap"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """Keep the candidate partitions for which it holds."""
        project = load_project()
        store = ArtifactStore(project.home / "artifacts")
        below = project.settings.watch.retrain_below_overlap
        worth = {
            key
            for key in context.candidate_subset.expensively_compute_partition_keys()
            if worth_training(store, SelectionKey.parse(key).artifact_partition, below).train
        }
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection_with_partition_keys(worth))


ON_NEW_CANDIDATES = _on_new_data("raw_candidates")
ON_NEW_SCORES = _on_new_data("candidate_scores")
ON_NEW_SELECTION = _on_new_data("selected_subset") & WorthTraining()
ON_NEW_MODEL = _on_new_data("pre_fine_tuned_model")


def build_automation(settings: Settings) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions; in this process, as one of them is our own."""
    return dg.AutomationConditionSensorDefinition(
        "train_when_selected",
        target=dg.AssetSelection.assets(
            "candidate_pool", "selected_subset", "pre_fine_tuned_model", "evaluation_report"
        ),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=settings.watch.interval_seconds,
        use_user_code_server=True,
        description="New candidates are compared with the pool; new scores lead to a selection, a selection that differs "
        "enough to pre-fine-tuning, and a new model to its evaluation.",
    )
