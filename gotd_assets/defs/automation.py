"""What happens without a human: new scores lead to a selection, a new selection to training, a new model to a report."""

from typing import Any

import dagster as dg

from gotd_assets.defs.partitions import SelectionKey
from gotd_assets.defs.placement import Placement
from gotd_assets.launcher import is_working
from gotd_assets.watch.leaning import leans_on_older_scores
from gotd_assets.watch.training import worth_training

_CONDITION = dg.AutomationCondition


def _new_data(placement: Placement, upstream: str) -> Any:
    """The content of `upstream` changed.

    `any_deps_updated`, which stands in its place in `eager`, also fires when an upstream is materialised again with the
    same data version; training again on the same selection would be waste.
    """
    changed = _CONDITION.any_deps_match(_CONDITION.data_version_changed())
    return changed.allow(dg.AssetSelection.assets(placement.key(upstream)))


def _on(trigger: Any) -> Any:
    """After `trigger`, unless something that is needed is missing or being made."""
    return _CONDITION.eager().replace("any_deps_updated", trigger)


class NobodyRunsEverything(dg.AutomationCondition[dg.AssetKey]):
    """No `gotd run`, nor a job over everything, is making its way through the assets: it makes what is due itself."""

    def __init__(self, placement: Placement) -> None:
        self._home = placement.declared.home

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return "nobody_runs_everything"

    @property
    def description(self) -> str:
        """As the UI explains it."""
        return (
            "no gotd run and none of the jobs materialise_everything, reselect_target and compare_methods is going on"
        )

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """All or nothing."""
        working = is_working(self._home)
        return dg.AutomationResult(context, context.get_empty_subset() if working else context.candidate_subset)


class LeansOnOlderScores(dg.AutomationCondition[dg.AssetKey]):
    """The selection read scores of another target (to stay away from, or to share with) that were made anew since.

    No partition mapping says so: which other targets a selection reads depends on its method and on settings.
    """

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return "leans_on_older_scores"

    @property
    def description(self) -> str:
        """As the UI explains it."""
        return "scores of another target that the selection was made with (away_target, round_robin) were made anew"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """Keep the candidate partitions for which it holds."""
        store = self._placement.artifacts()
        leaning = {
            key
            for key in context.candidate_subset.expensively_compute_partition_keys()
            if leans_on_older_scores(store, SelectionKey.parse(key).artifact_partition)
        }
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection_with_partition_keys(leaning))


class WorthTraining(dg.AutomationCondition[dg.AssetKey]):
    """The selection differs enough from the one last trained on (`watch.retrain_below_overlap`)."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

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
        store = self._placement.artifacts()
        below = self._placement.load().settings.watch.retrain_below_overlap
        worth = {
            key
            for key in context.candidate_subset.expensively_compute_partition_keys()
            if worth_training(store, SelectionKey.parse(key).artifact_partition, below).train
        }
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection_with_partition_keys(worth))


def on_new_candidates(placement: Placement) -> Any:
    """When the documents of a source changed, or, where vectors are compared, their vectors, which come later."""
    compared = placement.declared.settings.duplicates.cosine is not None
    changed = _on(_new_data(placement, "candidate_embeddings" if compared else "raw_candidates"))
    return (changed & NobodyRunsEverything(placement)).with_label("new candidates")


def on_new_scores(placement: Placement) -> Any:
    """When the scores for a target changed, or those of another target that its selection reads."""
    trigger = _new_data(placement, "candidate_scores") | LeansOnOlderScores(placement).newly_true()
    return (_on(trigger) & NobodyRunsEverything(placement)).with_label("new scores")


def on_new_selection(placement: Placement) -> Any:
    """When a selection changed enough."""
    changed = _on(_new_data(placement, "selected_subset")) & NobodyRunsEverything(placement)
    return (changed & WorthTraining(placement)).with_label("new selection that differs enough")


def on_new_model(placement: Placement) -> Any:
    """When a model was trained anew."""
    return (_on(_new_data(placement, "pre_fine_tuned_model")) & NobodyRunsEverything(placement)).with_label("new model")


def build_automation(placement: Placement) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions; in this process, as one of them is our own."""
    return dg.AutomationConditionSensorDefinition(
        placement.name("train_when_selected"),
        target=dg.AssetSelection.assets(
            *placement.keys("candidate_pool", "selected_subset", "pre_fine_tuned_model", "evaluation_report")
        ),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=placement.declared.settings.watch.interval_seconds,
        use_user_code_server=True,
        description="New candidates are compared with the pool; new scores lead to a selection, a selection that differs "
        "enough to pre-fine-tuning, and a new model to its evaluation.",
    )
