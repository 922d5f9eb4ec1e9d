"""What the UI shows about each artifact: figures with stable keys, tables, and small pictures inside the text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import dagster as dg
import polars as pl

from gotd_assets.fingerprint import Json
from gotd_assets.storage import Artifact

Metadata = dict[str, Any]
# The UI shows Markdown of fewer characters in place, and longer behind a link.
_IN_PLACE = 1000
_TEXT_WIDTHS = (160, 120, 80, 60, 40)


def table(frame: pl.DataFrame) -> dg.MetadataValue[Any]:
    """A frame as a Markdown table; long texts are shortened, more so if the table can then be seen in place."""
    header = "| " + " | ".join(frame.columns) + " |\n|" + "---|" * frame.width
    tables = [
        "\n".join(
            [header, *("| " + " | ".join(_cell(value, width) for value in row) + " |" for row in frame.iter_rows())]
        )
        for width in _TEXT_WIDTHS
    ]
    return dg.MetadataValue.md(next((shown for shown in tables if len(shown) < _IN_PLACE), tables[0]))


def figures(artifact: Artifact) -> Metadata:
    """Numbers and words of the artifact's summary, flat; nested parts are left to tables and pictures."""
    return {
        key: float(f"{value:.6g}") if isinstance(value, float) else value
        for key, value in artifact.manifest.summary.items()
        if isinstance(value, int | float | str | bool)
    }


def count(artifact: Artifact, name: str) -> int:
    """A number of the artifact's summary."""
    return int(str(artifact.manifest.summary[name]))


def documents(artifact: Artifact) -> Metadata:
    """Counts of what was read, what was left out and why, and how long the texts are."""
    from gotd_assets.defs import plots

    summary = artifact.manifest.summary
    shown: Metadata = {}
    lengths = summary.get("length_histogram")
    if isinstance(lengths, Mapping):
        shown["length"] = _md(plots.histogram(lengths, "characters"))
    reasons = summary.get("quarantined_by_reason")
    if isinstance(reasons, Mapping) and reasons:
        shown["quarantine"] = _pairs("reason", "records", reasons)
        shown["quarantine_file"] = dg.MetadataValue.path(artifact.path / "quarantine.jsonl")
    return shown | figures(artifact) | {"dagster/row_count": summary["kept"]}


def embeddings(artifact: Artifact) -> Metadata:
    """How many vectors, how many of them new, and how fast; what has none, and why; how some begin."""
    shown: Metadata = {}
    if count(artifact, "quarantined"):
        path = artifact.file("quarantine.jsonl")
        reasons = pl.read_ndjson(path).group_by("reason").len("documents").sort("reason")
        shown = {"quarantine": table(reasons), "quarantine_file": dg.MetadataValue.path(path)}
    rows = count(artifact, "documents")
    return shown | {"sample": table(_beginnings(artifact))} | figures(artifact) | {"dagster/row_count": rows}


def duplicates(artifact: Artifact) -> Metadata:
    """Of each source, how many documents leave the pool and why, and examples with what they repeat."""
    from gotd_assets.defs import plots

    summary: Mapping[str, Any] = artifact.manifest.summary
    documents = summary["documents_by_source"]
    by_vectors = summary.get("vector_by_source", {})
    rows = [
        {
            "source": source,
            "documents": documents[source],
            "exact": summary["exact_by_source"][source],
            "near": summary["near_by_source"][source],
            "kept": documents[source]
            - summary["exact_by_source"][source]
            - summary["near_by_source"][source]
            - by_vectors.get(source, 0),
            "rate": summary["rate_by_source"][source],
        }
        for source in documents
    ]
    shown: Metadata = {
        "kept": _md(plots.bars({row["source"]: row["kept"] for row in rows}, "documents that stay")),
        "rates": table(pl.DataFrame(rows)),
    }
    if summary["examples"]:
        shown["examples"] = _examples(
            summary["examples"], ("kind", "similarity", "source", "matched_source", "text", "matched_text")
        )
    return shown | figures(artifact)


def similar(artifact: Artifact) -> Metadata:
    """How many documents leave the pool by their vectors, and the least similar of them; nothing if none was compared."""
    summary: Mapping[str, Any] = artifact.manifest.summary
    if "vector_by_source" not in summary:
        return {}
    found, rates = summary["vector_by_source"], summary["vector_rate_by_source"]
    by_source = pl.DataFrame({"source": list(found), "vector": list(found.values()), "rate": list(rates.values())})
    shown: Metadata = {"vector_rates": table(by_source)}
    if summary["vector_examples"]:
        shown["vector_examples"] = _examples(
            summary["vector_examples"], ("similarity", "source", "matched_source", "text", "matched_text")
        )
    return shown


def target(artifact: Artifact) -> Metadata:
    """Counts and a sample of the part that guides the selection."""
    frame = pl.scan_parquet(artifact.path / "train" / "documents-*.parquet").select("doc_id", "text", "n_chars").head(5)
    return {"sample": table(frame.collect())} | documents(artifact)


def certificate(artifact: Artifact) -> Metadata:
    """The proof of quality of a solve."""
    summary = artifact.manifest.summary
    verdict = "converged" if summary["converged"] else "**DID NOT CONVERGE**: scores are less exact than asked for"
    gap = float(str(summary["gap"]))
    sentence = (
        f"{verdict}. The transport cost lies between **{summary['dual_value']:.6g}** (dual) and "
        f"**{summary['primal_upper_bound']:.6g}** (rounded plan), a gap of {gap:.2g}; marginal error "
        f"{summary['marginal_error']:.2g} (asked for {summary['tolerance']:g}) after {summary['passes']} passes."
    )
    if summary.get("products") == "reduced":
        sentence += (
            f" All passes but the last had reduced matrix products, off by at most {summary['product_error']:.2g} ε "
            "where looked at."
        )
    return {"certificate": _md(sentence)} | figures(artifact)


def scores(artifact: Artifact) -> Metadata:
    """The distribution of scores, and what cannot be selected."""
    from gotd_assets.defs import plots

    frame = pl.read_parquet(artifact.file("scores.parquet"))
    per_source = frame.group_by("source").agg(
        candidates=pl.len(), negative=(pl.col("score") < 0).sum(), median=pl.col("score").median()
    )
    contamination = cast("Mapping[str, Any]", artifact.manifest.summary["contamination"])
    shown: Metadata = {}
    if contamination["found"]:
        found = pl.DataFrame(list(contamination["by_source"].items()), schema=["source", "contaminated"], orient="row")
        shown["contaminated_by_source"] = table(found)
        shown["contamination_examples"] = _examples(
            contamination["examples"], ("kind", "similarity", "source", "text", "matched_text")
        )
    return shown | {
        "distribution": _md(plots.scores_by_source(frame)),
        "per_source": table(per_source.sort("median")),
        **figures(artifact),
        "dagster/row_count": frame.height,
    }


def relevance(artifact: Artifact) -> Metadata:
    """The sources from the nearest to the farthest."""
    from gotd_assets.defs import plots

    frame = pl.read_parquet(artifact.file("sources.parquet"))
    distances = dict(frame.select("source", "distance").iter_rows())
    shown = {"distances": _md(plots.bars(distances, "OT distance to the target")), "sources": table(frame)}
    return shown | figures(artifact)


def selection(artifact: Artifact, scored: Artifact) -> Metadata:
    """The best documents, where they stand among all that were `scored`, and where they come from."""
    from gotd_assets.defs import plots

    scores = pl.read_parquet(scored.file("scores.parquet"))
    frame = pl.read_parquet(artifact.file("subset.parquet"))
    selected = scores.filter(pl.col("doc_id").is_in(frame.get_column("doc_id").implode()))
    best = frame.head(5)
    shown: Metadata = {
        "best": table(best.select("rank", "score", "source", "text")),
        "nearest_in_target": table(best.select("rank", "nearest_target_text")),
    }
    if selected.height:
        shown["scores"] = _md(plots.scores_with_cut(scores.get_column("score"), selected.get_column("score")))
    shown["sources"] = _md(plots.shares(_shares(scores.sort("source")), _shares(frame)))
    summary: Mapping[str, Any] = artifact.manifest.summary
    curve, clusters = summary.get("budget_curve"), summary.get("cluster_shares")
    if curve:
        shown["budget_curve"] = _md(plots.budget_curves({"selection": _points(curve)}))
    if clusters:
        shown["target_clusters_served"] = table(pl.DataFrame(clusters))
    return {
        **shown,
        "parquet": dg.MetadataValue.path(artifact.file("subset.parquet")),
        "jsonl": dg.MetadataValue.path(artifact.file("subset.jsonl")),
        **figures(artifact),
        "dagster/row_count": frame.height,
    }


def training(artifact: Artifact, ui_url: str) -> Metadata:
    """The MLflow run and the loss curve."""
    from gotd_assets.defs import plots

    report: dict[str, Any] = json.loads(artifact.file("training.json").read_text(encoding="utf-8"))
    run = f"{ui_url}/#/experiments/{report['experiment_id']}/runs/{report['mlflow_run_id']}"
    shown: Metadata = {"mlflow_run": dg.MetadataValue.url(run)}
    if report.get("loss_curve"):
        shown["loss"] = _md(plots.curve(report["loss_curve"], "step", "loss"))
    return shown | {"model": dg.MetadataValue.path(artifact.path / "model")} | figures(artifact)


def tuning(artifact: Artifact) -> Metadata:
    """The loss of the encoder's fine-tuning, and what it was made of."""
    from gotd_assets.defs import plots

    report: dict[str, Any] = json.loads(artifact.file("tuning.json").read_text(encoding="utf-8"))
    shown: Metadata = {"loss": _md(plots.curve(report["loss_curve"], "step", "loss"))}
    return shown | {"model": dg.MetadataValue.path(artifact.path / "model")} | figures(artifact)


def task(artifact: Artifact) -> Metadata:
    """Scores by number of labels, of the base model and of the trained one, and the labels saved."""
    content: dict[str, Any] = json.loads(artifact.file("task.json").read_text(encoding="utf-8"))
    points = pl.concat(
        pl.DataFrame(content[model]["curve"]).with_columns(model=pl.lit(model)) for model in ("base", "trained")
    )
    means = (
        points.group_by("labels", maintain_order=True)
        .agg(
            *(
                pl.col(figure).filter(pl.col("model") == model).mean().alias(f"{figure}, {model}")
                for figure in ("accuracy", "macro_f1")
                for model in ("base", "trained")
            )
        )
        .sort("labels")
    )
    saved = content["labels_saved"]["accuracy"]
    column = pl.Series(
        "labels saved at equal accuracy",
        ["out of reach" if saved[str(n)] is None else f"{saved[str(n)]:.0f}" for n in means.get_column("labels")],
    )
    return {"curve": table(means.with_columns(column))} | figures(artifact)


def detoxification(artifact: Artifact) -> Metadata:
    """Toxicity by kind of prompt, of the base model and of the trained one."""
    content: dict[str, Any] = json.loads(artifact.file("detoxification.json").read_text(encoding="utf-8"))
    rows = [
        {"prompts": f"{kind} ({content['prompts'][kind]})", "model": model, **found}
        for kind in content["base"]
        for model, found in (("base", content["base"][kind]), ("trained", content["trained"][kind]))
    ]
    return figures(artifact) | {
        "toxicity": table(pl.DataFrame(rows)),
        "generations": dg.MetadataValue.path(artifact.file("generations.parquet")),
    }


def sketch(artifact: Artifact) -> Metadata:
    """How many points, and what they lose."""
    return figures(artifact)


def report(artifact: Artifact) -> Metadata:
    """The report itself."""
    from gotd_assets.defs import plots

    content: dict[str, Any] = json.loads(artifact.file("report.json").read_text(encoding="utf-8"))
    curves = {method["method"]: method["budget_curve"] for method in content["methods"] if method.get("budget_curve")}
    shown: Metadata = {"methods": table(_methods(content))}
    if curves:
        shown["budget_curves"] = _md(plots.budget_curves(curves))
    return shown | {"report": _md(artifact.file("report.md").read_text(encoding="utf-8"))} | figures(artifact)


def _methods(content: Mapping[str, Any]) -> pl.DataFrame:
    """One row per method, and above them the base model, which is trained on nothing."""
    from gotd_assets.training.report import perplexity_cells

    methods = content["methods"]
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


def _examples(examples: Sequence[Mapping[str, Json]], columns: Sequence[str]) -> dg.MetadataValue[Any]:
    return table(pl.DataFrame(examples).select(columns))


def _beginnings(artifact: Artifact) -> pl.DataFrame:
    """The first vectors: doc_id and how they begin."""
    from gotd_assets.embedding import open_vectors

    shard = open_vectors(artifact.path)[0]
    begins = [", ".join(f"{value:.3f}" for value in vector[:4]) + " …" for vector in shard.vectors[:5]]
    return pl.DataFrame({"doc_id": shard.doc_ids().head(5), "vector": begins})


def _md(text: str) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.md(text)


def _shares(documents: pl.DataFrame) -> dict[str, float]:
    counts = documents.group_by("source", maintain_order=True).len()
    return dict(counts.with_columns(pl.col("len") / documents.height).iter_rows())


def _points(value: Any) -> list[list[float]]:
    return [[float(x), float(y)] for x, y in value]


def _pairs(key: str, value: str, mapping: Mapping[str, Json]) -> dg.MetadataValue[Any]:
    return table(pl.DataFrame({key: list(mapping), value: [str(entry) for entry in mapping.values()]}))


def _cell(value: object, width: int) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= width else text[: width - 1] + "…"
