"""Jobs over several partitions: they start a run for each, one after the other, as `gotd run` does."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from gotd_assets.artifacts.run_lock import alone
from gotd_assets.errors import GotdError
from gotd_assets.pipeline import tags
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.resources import given, handed_on, required
from gotd_assets.pipeline.runs.child_runs import Starter
from gotd_assets.pipeline.runs.killed_runs import end_killed_runs
from gotd_assets.pipeline.runs.stage_runs import run_stages
from gotd_assets.pipeline.runs.stopping import StoppedError
from gotd_assets.pipeline.sentences import errors_as_sentences
from gotd_assets.stations.graph import Stage
from gotd_assets.stations.station import Station


def build_stage_jobs(
    placement: Placement, all_assets: Callable[[Mapping[str, Any]], dg.JobDefinition]
) -> list[dg.JobDefinition]:
    """The jobs; with what the launchpad shows as it opens, each can be launched.

    `all_assets` builds the job of them all, with the resources that a step was given.
    """
    declared = [target.name for target in placement.declared.settings.targets]
    first = declared[0] if declared else ""
    needed = required(placement) | placement.cluster

    class Targets(dg.Config):
        targets: list[str] = Field(default=[], description="Only these targets; all if empty.")

    class OneTarget(dg.Config):
        target: str = Field(default=first, description=f"Which target: {', '.join(declared) or 'one of the folder'}.")

    def run(
        context: dg.OpExecutionContext, targets: list[str], include: Callable[[Station], bool] = lambda _: True
    ) -> None:
        context.instance.add_run_tags(context.run_id, {tags.SETTINGS: placement.settings_fingerprint})
        settings = placement.load().settings
        with errors_as_sentences():
            names = [settings.target(name).name for name in targets or [target.name for target in settings.targets]]
            _run(
                context,
                placement,
                all_assets(handed_on(given(context, needed))),
                placement.graph.stages(settings, names, include),
            )

    @dg.op(name=placement.name("everything"), required_resource_keys=needed)
    def everything(context: dg.OpExecutionContext, config: Targets) -> None:
        run(context, config.targets)

    @dg.op(name=placement.name("one_target"), required_resource_keys=needed)
    def one_target(context: dg.OpExecutionContext, config: OneTarget) -> None:
        run(context, [config.target], lambda station: station.division in ("target", "selection"))

    @dg.op(name=placement.name("every_method"), required_resource_keys=needed)
    def every_method(context: dg.OpExecutionContext, config: OneTarget) -> None:
        run(context, [config.target], lambda station: station.is_late or station.group == "selection")

    @dg.job(
        name=placement.name("materialize_everything"),
        description="Make everything that is missing or stale, from files to reports, as `gotd run` does.",
    )
    def materialize_everything() -> None:
        everything()

    @dg.job(
        name=placement.name("reselect_target"),
        description="Read one target again, solve, score, select by every method, train and evaluate.",
    )
    def reselect_target() -> None:
        one_target()

    @dg.job(
        name=placement.name("compare_methods"),
        description="For one target as it is scored now: select and train by every method, then the report that compares "
        "them.",
    )
    def compare_methods() -> None:
        every_method()

    return [materialize_everything, reselect_target, compare_methods]


def _run(context: dg.OpExecutionContext, placement: Placement, job: dg.JobDefinition, stages: Sequence[Stage]) -> None:
    with alone(placement.declared.home):
        end_killed_runs(placement, context.instance, context.log.warning)
        try:
            run_stages(
                placement,
                job,
                context.instance,
                stages,
                starter=Starter.of_run(context.run),
                announce=lambda number, stage: context.log.info(f"{number}/{len(stages)} {stage.title}"),
                warn=context.log.warning,
            )
        except StoppedError as stopped:
            # So Dagster calls this run what it is: canceled.
            raise dg.DagsterExecutionInterruptedError from stopped
        except GotdError:
            context.instance.add_run_tags(context.run_id, {tags.TOLD: "of the stage that failed"})
            raise
