"""Jobs over several partitions: they start a run for each, one after the other, as `gotd run` does."""

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from gotd_assets.defs import tags
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.stage_runs import end_killed_runs, run_stages
from gotd_assets.defs.stages import Stage, candidate_stages, method_stages, target_stages
from gotd_assets.errors import GotdError
from gotd_assets.launcher import alone


def build_stage_jobs(placement: Placement) -> list[dg.JobDefinition]:
    """The jobs; with what the launchpad shows as it opens, each can be launched."""
    declared = [target.name for target in placement.declared.settings.targets]
    first = declared[0] if declared else ""

    class Targets(dg.Config):
        targets: list[str] = Field(default=[], description="Only these targets; all if empty.")

    class OneTarget(dg.Config):
        target: str = Field(default=first, description=f"Which target: {', '.join(declared) or 'one of the folder'}.")

    @dg.op(name=placement.name("everything"))
    def everything(context: dg.OpExecutionContext, config: Targets) -> None:
        settings = placement.load().settings
        names = [settings.target(name).name for name in config.targets or [target.name for target in settings.targets]]
        _run(context, placement, [*candidate_stages(settings), *target_stages(settings, names)])

    @dg.op(name=placement.name("one_target"))
    def one_target(context: dg.OpExecutionContext, config: OneTarget) -> None:
        settings = placement.load().settings
        _run(context, placement, list(target_stages(settings, [settings.target(config.target).name])))

    @dg.op(name=placement.name("every_method"))
    def every_method(context: dg.OpExecutionContext, config: OneTarget) -> None:
        settings = placement.load().settings
        _run(context, placement, list(method_stages(settings, settings.target(config.target).name)))

    @dg.job(
        name=placement.name("materialise_everything"),
        description="Make everything that is missing or stale, from files to reports, as `gotd run` does.",
    )
    def materialise_everything() -> None:
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

    return [materialise_everything, reselect_target, compare_methods]


def _run(context: dg.OpExecutionContext, placement: Placement, stages: Sequence[Stage]) -> None:
    from gotd_assets.defs.pipeline import build_pipeline

    job = build_pipeline(placement).resolve_implicit_global_asset_job_def()
    with alone(placement.declared.home):
        end_killed_runs(placement, context.instance)
        try:
            run_stages(
                placement,
                job,
                context.instance,
                stages,
                announce=lambda number, stage: context.log.info(f"{number}/{len(stages)} {stage.title}"),
                warn=context.log.warning,
            )
        except GotdError:
            context.instance.add_run_tags(context.run_id, {tags.TOLD: "of the stage that failed"})
            raise
