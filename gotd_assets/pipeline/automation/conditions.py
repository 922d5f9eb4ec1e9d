"""What happens without a human: new scores lead to a selection, a new selection to training, a new model to a report."""

import warnings
from typing import Any

import dagster as dg

from gotd_assets.artifacts.run_lock import is_working
from gotd_assets.pipeline.own_assets import source_key
from gotd_assets.pipeline.partitions import parse
from gotd_assets.pipeline.placement import Placement
from gotd_assets.stations.partition import Division
from gotd_assets.stations.station import Condition, Station

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
            "no gotd run and none of the jobs materialize_everything, reselect_target and compare_methods is going on"
        )

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """All or nothing."""
        working = is_working(self._home)
        return dg.AutomationResult(context, context.get_empty_subset() if working else context.candidate_subset)


class Holds(dg.AutomationCondition[dg.AssetKey]):
    """A condition of a station's, which artifacts on disk tell."""

    def __init__(self, condition: Condition, placement: Placement, division: Division) -> None:
        self._condition, self._placement, self._division = condition, placement, division

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return self._condition.name

    @property
    def description(self) -> str:
        """As the UI explains it."""
        return self._condition.description

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """Keep the candidate partitions for which it holds."""
        project, store = self._placement.load(), self._placement.artifacts()
        held = {
            key
            for key in context.candidate_subset.expensively_compute_partition_keys()
            if self._condition.holds(project, store, parse(key, self._division))
        }
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection_with_partition_keys(held))


class OfAnAsset(dg.AutomationCondition[dg.AssetKey]):
    """The partition is a source whose rows are those of an asset of the user's own."""

    def __init__(self, sources: frozenset[str]) -> None:
        self._sources = sources

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return "source_of_an_asset"

    @property
    def description(self) -> str:
        """As the UI explains it."""
        return f"the source is an asset of your own: {', '.join(sorted(self._sources))}"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """Keep these partitions."""
        return dg.AutomationResult(
            context, context.candidate_subset.compute_intersection_with_partition_keys(set(self._sources))
        )


def _condition_of_source(station: Station, placement: Placement) -> Any:
    """What the user's own assets make due: their source is read when they are made, and embedded when it was read."""
    sources = placement.declared.settings.sources
    of_assets = frozenset(source.name for source in sources if source.asset is not None)
    if not of_assets or station.division != "source":
        return None
    if station.name == "raw_candidates":
        keys = [source_key(placement, source) for source in sources]
        own = dg.AssetSelection.assets(*(key for key, source in zip(keys, sources, strict=True) if source.asset))
        files = [key for key, source in zip(keys, sources, strict=True) if source.asset is None]
        due = _on(_CONDITION.any_deps_match(_CONDITION.newly_updated()).allow(own))
        # Of files Dagster knows no materialization, and would wait for one.
        due = due.ignore(dg.AssetSelection.assets(*files)) if files else due
    else:
        due = _on(_new_data(placement, "raw_candidates"))
    return (due & NobodyRunsEverything(placement) & OfAnAsset(of_assets)).with_label("new rows of an asset")


def condition_of(station: Station, placement: Placement) -> Any:
    """When `station` is due by itself; None if it never is."""
    follows = station.follows
    if follows is None:
        return _condition_of_source(station, placement)
    trigger = _new_data(placement, follows.asset(placement.declared.settings))
    if follows.also is not None:
        trigger |= Holds(follows.also, placement, station.division).newly_true()
    due = _on(trigger) & NobodyRunsEverything(placement)
    if follows.only_if is not None:
        due &= Holds(follows.only_if, placement, station.division)
    return due.with_label(follows.label)


def build_automation(placement: Placement) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions; in this process, as one of them is our own."""
    with warnings.catch_warnings():
        # `use_user_code_server` is beta, and told in every command otherwise.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return _sensor(placement)


def _sensor(placement: Placement) -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        placement.name("train_when_selected"),
        target=dg.AssetSelection.assets(
            *(
                placement.key(station.name)
                for station in placement.graph.existing(placement.declared.settings)
                if condition_of(station, placement) is not None
            )
        ),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=placement.declared.settings.watch.interval_seconds,
        use_user_code_server=True,
        description="New candidates are compared with the pool; new scores lead to a selection, a selection that differs "
        "enough to pre-fine-tuning, and a new model to its evaluation.",
    )
