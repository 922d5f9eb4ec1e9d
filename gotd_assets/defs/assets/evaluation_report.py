"""What a selection did for the model."""

import json

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.automation import on_new_model
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Station
from gotd_assets.storage import ArtifactWriter


def evaluation_report(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""
    sources = [source.name for source in placement.declared.settings.sources]
    methods = placement.declared.settings.selection.methods

    @dg.asset(
        key=placement.key("evaluation_report"),
        partitions_def=placement.partitions.targets,
        deps=[
            placement.every_source("candidate_embeddings"),
            placement.key("candidate_pool"),
            placement.key("target_documents"),
            placement.key("ot_potentials"),
            placement.key("selected_subset"),
            placement.key("pre_fine_tuned_model"),
        ],
        group_name=placement.group("evaluation"),
        kinds={"pytorch", "markdown"},
        owners=OWNERS,
        code_version="2",
        pool=placement.pool,
        automation_condition=on_new_model(placement),
    )
    def evaluation_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Every method side by side for one target.

        Transport cost from the effective distribution to the target for several λ, diversity and stability of the
        selections, share of each source, and perplexity on held-out target text of the base model and of the model
        trained on each selection, compared document by document.
        """
        target = context.partition_key
        station = Station(context, placement, target)
        settings = station.project.settings
        pool = station.read("candidate_pool")
        embeddings = station.read_all("candidate_embeddings", sources)
        documents = station.read("target_documents", target)
        potentials = station.read("ot_potentials", target)
        subsets = {method: station.read("selected_subset", f"{target}/{method}") for method in methods}
        models = {method: station.read("pre_fine_tuned_model", f"{target}/{method}") for method in methods}

        def write(writer: ArtifactWriter) -> None:
            import polars as pl

            from gotd_assets.selection.pool import Pool
            from gotd_assets.selection.worth import worth_over
            from gotd_assets.training import evaluate_perplexity
            from gotd_assets.training.report import MethodOutcome, write_report
            from gotd_assets.transport import Potentials

            candidates = Pool.open(
                {name: artifact.path for name, artifact in embeddings.items()}, pool.file("left_out.parquet")
            )
            solved = Potentials.load(potentials.file("potentials.safetensors"))
            perplexities = evaluate_perplexity(
                settings.training,
                {"base": None, **{method: model.path / "model" for method, model in models.items()}},
                documents.path / "heldout",
                root=station.project.root,
                cache=station.project.home / "cache" / "models",
                progress=station.show,
            )
            outcomes = []
            for method in methods:
                subset = pl.read_parquet(subsets[method].file("subset.parquet"))
                worth, *others = worth_over(
                    subset.get_column("doc_id"),
                    candidates,
                    solved,
                    [settings.selection.mixing, *settings.selection.worth_mixings],
                )
                station.log(f"{method}: transport cost {worth.before:.5f} → {worth.after:.5f}", always=True)
                training = json.loads(models[method].file("training.json").read_text(encoding="utf-8"))
                outcomes.append(
                    MethodOutcome(
                        method,
                        subset,
                        worth.as_summary(),
                        perplexities.get(method),
                        training,
                        worth_by_mixing=[other.as_summary() for other in others],
                        selection=subsets[method].manifest.summary,
                    )
                )
            per_source = candidates.doc_ids().group_by("source", maintain_order=True).len()
            writer.summary.update(
                write_report(target, dict(per_source.iter_rows()), perplexities.get("base"), outcomes, writer.path)
            )

        return station.make(
            {
                "mixing": settings.selection.mixing,
                "worth_mixings": settings.selection.worth_mixings,
                "documents": settings.training.evaluation_documents,
                "methods": methods,
            },
            lambda writer, _scratch: write(writer),
            metadata.report,
        )

    return evaluation_report
