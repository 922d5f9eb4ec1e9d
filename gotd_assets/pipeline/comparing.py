"""`gotd compare` as an asset and a job, in a project that says what to compare."""

from __future__ import annotations

import dagster as dg

from gotd_assets.artifacts.run_lock import alone
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.resources import applied, given, required
from gotd_assets.pipeline.runs.run_log import RunLog
from gotd_assets.pipeline.sentences import step_errors_as_sentences
from gotd_assets.settings.comparison import ComparisonSettings

JOB = "compare"
_ASSET = "comparison"


def compares(placement: Placement) -> bool:
    """Whether the project says what to compare, otherwise than the defaults do: a component gives every setting."""
    return placement.declared.settings.comparison != ComparisonSettings()


def comparison_asset(placement: Placement) -> dg.AssetsDefinition:
    """The page of the comparison; what it is made of is made beside what is current, and kept by version."""

    def comparison(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        from gotd_assets.comparison.cells import Comparison
        from gotd_assets.comparison.forecast import forecast
        from gotd_assets.comparison.page import write_page
        from gotd_assets.comparison.results import read_results
        from gotd_assets.comparison.run import make_cells

        project = applied(placement.load(), given(context, required(placement)))
        journal = RunLog(context)
        with step_errors_as_sentences(context, project.settings.orchestration, journal.warn), alone(project.home):
            asked = Comparison.of(project)
            journal.log(f"forecast: {forecast(asked)}")
            progress = make_cells(asked, journal, journal.log)
            failures = [f"{cell}: {why}" for cell, why in progress.failures.items()]
            results = read_results(asked)
            written = write_page(asked, results, failures, project.home.path / "comparison")
        return dg.MaterializeResult(
            metadata={
                "comparison": dg.MetadataValue.md(written[0].read_text(encoding="utf-8")),
                "page": dg.MetadataValue.path(written[1]),
                "cells": len(asked.cells),
                "cells_left_out": len(failures),
                "trainings": sum(made.perplexity is not None for made in results.made.values()),
            }
        )

    comparison.__annotations__ = {"context": dg.AssetExecutionContext, "return": dg.MaterializeResult}
    return dg.asset(
        key=placement.key(_ASSET),
        description="Methods side by side over budgets and seeds, with intervals, as `gotd compare` makes them: cells that "
        "exist are found, the others are made beside what is current. Continues where a run was stopped.",
        deps=[
            dg.AssetDep(placement.key("raw_candidates"), partition_mapping=dg.AllPartitionMapping()),
            dg.AssetDep(placement.key("target_documents"), partition_mapping=dg.AllPartitionMapping()),
        ],
        group_name=placement.group("evaluation"),
        kinds={"pytorch", "markdown"},
        owners=["team:data-selection"],
        code_version="1",
        pool=placement.pool,
        required_resource_keys=required(placement),
    )(comparison)


def comparison_job(placement: Placement) -> dg.UnresolvedAssetJobDefinition:
    """The job that makes it."""
    return dg.define_asset_job(
        placement.name(JOB),
        dg.AssetSelection.assets(placement.key(_ASSET)),
        description="Compare the methods of section `comparison` over budgets and seeds; goes on where it was stopped.",
    )
