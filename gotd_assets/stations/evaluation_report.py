"""What a selection did for the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import polars as pl

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.shown import Description, Markdown, Shown, figures
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.fingerprint import Json
from gotd_assets.stations.reads import Each, One
from gotd_assets.stations.station import Follows, Recipe, Station
from gotd_assets.stations.work import Work

_EMBEDDINGS = Each("candidate_embeddings")
_POOL = One("candidate_pool")
_TARGET = One("target_documents")
_POTENTIALS = One("ot_potentials")
_SELECTIONS = Each("selected_subset")
_MODELS = Each("pre_fine_tuned_model", when=lambda settings: settings.training is not None)
_TASKS = Each("task_evaluation", when=lambda settings: bool(settings.evaluation.classification), optional=True)
_TOXICITY = Each(
    "detoxification_evaluation", when=lambda settings: bool(settings.evaluation.detoxification), optional=True
)
_HARNESS = Each("harness_evaluation", when=lambda settings: settings.evaluation.harness is not None, optional=True)


def evaluation_report(work: Work) -> Recipe:
    """Every method side by side for one target.

    Transport cost from the effective distribution to the target for several λ, diversity and stability of the
    selections, share of each source, and perplexity on held-out target text of the base model and of the model
    trained on each selection, compared document by document; labelled tasks, toxicity and the harness where they were
    measured on these models. A project without training has no perplexities.
    """
    target = work.partition.own_target
    settings = work.settings
    pool = work.open(_POOL)
    embeddings = work.open(_EMBEDDINGS)
    documents = work.open(_TARGET)
    potentials = work.open(_POTENTIALS)
    subsets = work.open(_SELECTIONS)
    training = settings.training
    models = {} if training is None else work.open(_MODELS)
    measured = _measured(work, models)

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.evaluation.report import MethodOutcome, write_report
        from gotd_assets.models.heldout import evaluate_perplexity
        from gotd_assets.selection.analysis.worth import worth_over
        from gotd_assets.selection.pool.pool import Pool
        from gotd_assets.selection.transport_problem import problem_of
        from gotd_assets.transport import Potentials

        candidates = Pool.of(embeddings, pool)
        solved = Potentials.load(potentials.file("potentials.safetensors"), problem_of(settings.transport))
        perplexities = (
            {}
            if training is None
            else evaluate_perplexity(
                training,
                {"base": None, **{method: model.path for method, model in models.items()}},
                documents.path / "heldout",
                root=work.root,
                cache=work.project.home.models,
                progress=work.show,
            )
        )
        outcomes = []
        for method, selected in subsets.items():
            subset = read_parquet(selected.file("subset.parquet"))
            worth, *others = worth_over(
                subset.get_column("doc_id"),
                candidates,
                solved,
                [settings.selection.mixing, *settings.selection.worth_mixings],
            )
            work.log(f"{method}: transport cost {worth.before:.5f} → {worth.after:.5f}", always=True)
            outcomes.append(
                MethodOutcome(
                    method,
                    subset,
                    worth.as_summary(),
                    perplexities.get(method),
                    models[method].json("training.json") if method in models else None,
                    worth_by_mixing=[other.as_summary() for other in others],
                    selection=selected.manifest.summary,
                    measures={kind: tell(of[method]) for kind, (of, tell) in measured.items() if method in of},
                )
            )
        per_source = candidates.doc_ids().group_by("source", maintain_order=True).len()
        writer.summary.update(
            write_report(
                target,
                dict(per_source.iter_rows()),
                perplexities.get("base"),
                outcomes,
                writer.path,
                away=settings.target(target).direction == "away",
            )
        )

    return Recipe(
        {
            "mixing": settings.selection.mixing,
            "worth_mixings": settings.selection.worth_mixings,
            **({} if training is None else {"documents": training.evaluation_documents}),
            "methods": list(subsets),
        },
        write,
        _described,
    )


_Measured: TypeAlias = "tuple[Mapping[str, Artifact], Callable[[Artifact], Json]]"
"""Artifacts by method, and what the report says of one."""


def _measured(work: Work, models: Mapping[str, Artifact]) -> dict[str, _Measured]:
    """What else was measured on these very models, by kind; what was measured on earlier ones is left out."""
    kinds: dict[str, tuple[Each, Callable[[Artifact], Json]]] = {
        "labelled_task": (_TASKS, _of_task),
        "toxicity": (_TOXICITY, _of_toxicity),
        "harness": (_HARNESS, _of_harness),
    }
    return {
        kind: (
            {
                method: artifact
                for method, artifact in work.open(read).items()
                if artifact.manifest.inputs.get(str(models[method].key)) == models[method].version
            },
            tell,
        )
        for kind, (read, tell) in kinds.items()
        if models and read.when(work.settings)
    }


def _of_task(artifact: Artifact) -> Json:
    from gotd_assets.evaluation.measures import of_task

    return of_task(artifact.json("task.json"))


def _of_toxicity(artifact: Artifact) -> Json:
    from gotd_assets.evaluation.measures import of_toxicity

    return of_toxicity(artifact.json("detoxification.json"))


def _of_harness(artifact: Artifact) -> Json:
    from gotd_assets.evaluation.measures import of_harness

    compared: Any = artifact.manifest.summary.get("compared") or []
    return of_harness(compared)


def _described(artifact: Artifact) -> Description:
    """The report itself."""
    from gotd_assets.catalogue import plots

    content: dict[str, Any] = artifact.json("report.json")
    curves = {method["method"]: method["budget_curve"] for method in content["methods"] if method.get("budget_curve")}
    shown: dict[str, Shown] = {"methods": frame_table(_methods(content))}
    if curves:
        shown["budget_curves"] = Markdown(plots.budget_curves(curves))
    report = Markdown(artifact.file("report.md").read_text(encoding="utf-8"))
    # By method only what is worth a line in the asset's plots; the report has the rest.
    perplexities = [f"perplexity_{method['method']}" for method in content["methods"]]
    return shown | figures(artifact, "perplexity_base", *perplexities) | {"report": report}


def _methods(content: Mapping[str, Any]) -> pl.DataFrame:
    """One row per method, and above them the base model, which is trained on nothing."""
    from gotd_assets.evaluation.report import is_trained, perplexity_cells

    methods = content["methods"]
    if not is_trained(content):
        return pl.DataFrame(
            {
                "selected by": ["nothing", *(method["method"] for method in methods)],
                "documents": [0, *(method["documents"] for method in methods)],
                "transport cost": [methods[0]["worth"]["before"], *(method["worth"]["after"] for method in methods)],
            }
        )
    perplexities = [content["base_perplexity"], *(method["perplexity"] for method in methods)]
    return pl.DataFrame(
        {
            "trained on": ["nothing", *(method["method"] for method in methods)],
            "documents": [0, *(method["documents"] for method in methods)],
            "transport cost": [methods[0]["worth"]["before"], *(method["worth"]["after"] for method in methods)],
            "held-out perplexity": [perplexity_cells(figures)[0] for figures in perplexities],
            "interval": [perplexity_cells(figures)[1] for figures in perplexities],
        }
    )


STATION = Station(
    prepare=evaluation_report,
    verb="report",
    division="target",
    group="evaluation",
    kinds=frozenset({"pytorch", "markdown"}),
    code_version="4",
    reads=(_EMBEDDINGS, _POOL, _TARGET, _POTENTIALS, _SELECTIONS, _MODELS, _TASKS, _TOXICITY, _HARNESS),
    is_heavy=True,
    follows=Follows(
        lambda settings: "selected_subset" if settings.training is None else "pre_fine_tuned_model",
        "new model, or a new selection where nothing is trained",
    ),
)
