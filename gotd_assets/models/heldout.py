"""Held-out target documents, and how well models predict them: measured once per model and document, and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from gotd_assets.artifacts.atomic import replaced
from gotd_assets.artifacts.parquet import read_parquet, scan_parquet
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id, fingerprint
from gotd_assets.models.conversations import encode_documents
from gotd_assets.models.device import choose_device, choose_precision
from gotd_assets.models.language import load_language_model, load_trained_model, model_version
from gotd_assets.models.perplexity import Measuring, PerplexityReport, likelihoods
from gotd_assets.models.placement import autocast

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.models.prefix import FrozenPrefix
    from gotd_assets.settings.training import TrainingSettings

    Loaded: TypeAlias = tuple[PreTrainedModel, PreTrainedTokenizerBase]

LIKELIHOODS = "heldout.parquet"
"""File of a trained model: doc_id, nll (float64, in nats) and tokens (int64, predicted ones; 0 if there is none)."""
_SCHEMA = {"doc_id": pl.String, "nll": pl.Float64, "tokens": pl.Int64}
_CODE = 4


def heldout_documents(folder: Path, settings: TrainingSettings) -> pl.DataFrame:
    """The first `evaluation_documents` by doc_id in documents-*.parquet below `folder`; may be none.

    Columns doc_id, text and what `settings.chat` reads, where it is kept. doc_id is a hash, so these are a random sample, and the same one for every model.

    Raises:
        InputError: a file cannot be read, or has no columns doc_id and text.
    """
    files = sorted(folder.glob("documents-*.parquet"))
    if not files:
        return pl.DataFrame(schema={"doc_id": pl.String, "text": pl.String})
    try:
        found = scan_parquet(files)
        kept = (
            [] if settings.chat is None else [name for name in settings.chat.fields if name in found.collect_schema()]
        )
        wanted = found.select("doc_id", "text", *kept).sort("doc_id")
        return wanted.head(settings.evaluation_documents).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"held-out documents in {folder} cannot be read: {error}") from error


def as_documents(texts: Sequence[str]) -> pl.DataFrame:
    """doc_id and text of `texts`."""
    return pl.DataFrame({"doc_id": [document_id(text) for text in texts], "text": texts}, schema_overrides=_SCHEMA)


def measured(
    loaded: Loaded,
    documents: pl.DataFrame,
    settings: TrainingSettings,
    *,
    progress: Callable[[object], None] | None = None,
    prefix: FrozenPrefix | None = None,
) -> pl.DataFrame:
    """Likelihoods of `documents` (as `heldout_documents`) under a model on its device: doc_id, nll and tokens, row by row.

    Raises:
        InputError: a conversation cannot be encoded.
        TrainingError: no document has a token to predict, or the model's likelihoods are not finite.
    """
    model, tokenizer = loaded
    how = Measuring(settings.max_tokens, settings.objective, settings.mask_probability)
    with autocast(model.device, choose_precision(settings.precision, model.device)):
        nll, tokens = likelihoods(
            model,
            tokenizer,
            documents.get_column("text").to_list(),
            how,
            progress=progress,
            prefix=prefix,
            encoded=encode_documents(tokenizer, documents, settings),
        )
    return pl.DataFrame({"doc_id": documents.get_column("doc_id"), "nll": nll, "tokens": tokens}, schema=_SCHEMA)


def report_of(likelihoods_of: pl.DataFrame, settings: TrainingSettings) -> PerplexityReport:
    """The perplexity behind what `measured` returned."""
    return PerplexityReport.of(
        likelihoods_of.get_column("nll").to_numpy(), likelihoods_of.get_column("tokens").to_numpy(), settings.objective
    )


def base_likelihoods(
    documents: pl.DataFrame,
    settings: TrainingSettings,
    *,
    root: Path,
    cache: Path,
    loaded: Loaded | None = None,
    progress: Callable[[object], None] | None = None,
) -> pl.DataFrame:
    """As `measured`, of the base model: each document is measured once per model and settings, then kept in `cache`.

    Args:
        documents: as `heldout_documents`.
        settings: the base model and how it is measured.
        root: folder that a relative model path is relative to.
        cache: folder for the figures.
        loaded: the base model; loaded if it is needed otherwise.
        progress: is told how far the work is.
    """
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    key = fingerprint(
        {
            "model": model_version(settings, root),
            "how": [settings.objective, settings.mask_probability, settings.max_tokens, str(precision), device.type],
            "code": _CODE,
            **({} if settings.chat is None else {"chat": settings.chat.shaping()}),
        }
    )
    file = cache / f"likelihoods-{key}.parquet"

    def load() -> Loaded:
        model, tokenizer = loaded or load_language_model(settings, root, cache)
        model.to(device)
        return model, tokenizer

    known = _completed(_kept(file), documents, settings, load, progress)
    if known.height > _kept(file).height:
        with replaced(file) as partial:
            known.write_parquet(partial)
    return _in_order(documents, known)


def evaluate_perplexity(
    settings: TrainingSettings,
    models: Mapping[str, Path | None],
    heldout: Path,
    *,
    root: Path,
    cache: Path,
    progress: Callable[[object], None] | None = None,
) -> dict[str, PerplexityReport]:
    """Perplexity of several models on the same held-out documents; no model is loaded whose likelihoods are kept.

    Empty if nothing is held out: of a target with a single text everything guides the selection.

    Args:
        settings: objective, lengths, number of documents, precision and device; names the base model.
        models: by name the folder that pre-fine-tuning wrote for a model, or None for the base model.
        heldout: folder of documents-*.parquet with columns doc_id and text.
        root: folder that a relative model path is relative to.
        cache: folder for dequantised base models and what was measured of them.
        progress: is told how far the work is.

    Raises:
        InputError: held-out documents cannot be read, or a model cannot be loaded.
        TrainingError: a model's likelihoods are not finite.
    """
    documents = heldout_documents(heldout, settings)
    if not documents.height:
        return {}
    reports = {}
    for name, folder in models.items():
        tell = _prefixed(name, progress)
        if folder is None:
            found = base_likelihoods(documents, settings, root=root, cache=cache, progress=tell)
        else:
            kept = _kept(folder / LIKELIHOODS)
            found = _in_order(documents, _completed(kept, documents, settings, _loader(folder, settings), tell))
        reports[name] = report_of(found, settings)
    return reports


def _loader(folder: Path, settings: TrainingSettings) -> Callable[[], Loaded]:
    def load() -> Loaded:
        model, tokenizer = load_trained_model(folder, settings)
        model.to(choose_device(settings.device))
        return model, tokenizer

    return load


def _kept(file: Path) -> pl.DataFrame:
    return read_parquet(file) if file.is_file() else pl.DataFrame(schema=_SCHEMA)


def _completed(
    kept: pl.DataFrame,
    documents: pl.DataFrame,
    settings: TrainingSettings,
    load: Callable[[], Loaded],
    progress: Callable[[object], None] | None,
) -> pl.DataFrame:
    """`kept`, and what of `documents` is not in it yet, for which the model is loaded."""
    missing = documents.unique("doc_id", maintain_order=True).join(kept, on="doc_id", how="anti", maintain_order="left")
    return pl.concat([kept, measured(load(), missing, settings, progress=progress)]) if missing.height else kept


def _in_order(documents: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    return documents.select("doc_id").join(known, on="doc_id", how="left", maintain_order="left")


def _prefixed(name: str, progress: Callable[[object], None] | None) -> Callable[[object], None] | None:
    return None if progress is None else lambda state: progress(f"{name}: {state}")
