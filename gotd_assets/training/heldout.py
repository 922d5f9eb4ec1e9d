"""Held-out target documents, and how well models predict them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import fingerprint
from gotd_assets.storage import write_atomically
from gotd_assets.training.models import load_language_model, load_trained_model, model_version
from gotd_assets.training.perplexity import PerplexityReport, perplexity
from gotd_assets.training.precision import autocast, choose_device, choose_precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.settings import TrainingSettings
    from gotd_assets.training.prefix import FrozenPrefix


def heldout_texts(folder: Path, limit: int) -> list[str]:
    """Texts of the first `limit` documents by doc_id in documents-*.parquet below `folder`; may be none.

    doc_id is a hash, so these are a random sample, and the same one for every model.

    Raises:
        InputError: a file cannot be read, or has no columns doc_id and text.
    """
    files = sorted(folder.glob("documents-*.parquet"))
    if not files:
        return []
    try:
        frame = pl.scan_parquet(files).select("doc_id", "text").sort("doc_id").head(limit).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"held-out documents in {folder} cannot be read: {error}") from error
    return frame["text"].to_list()


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    settings: TrainingSettings,
    *,
    progress: Callable[[object], None] | None = None,
    prefix: FrozenPrefix | None = None,
) -> PerplexityReport:
    """`perplexity` with the settings' objective, lengths and precision of products."""
    with autocast(model.device, choose_precision(settings.precision, model.device)):
        return perplexity(
            model,
            tokenizer,
            texts,
            max_tokens=settings.max_tokens,
            objective=settings.objective,
            mask_probability=settings.mask_probability,
            progress=progress,
            prefix=prefix,
        )


def base_perplexity(
    texts: Sequence[str],
    settings: TrainingSettings,
    *,
    root: Path,
    cache: Path,
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
    progress: Callable[[object], None] | None = None,
) -> PerplexityReport:
    """Perplexity of the base model, measured once per model, texts and settings and then kept in `cache`.

    Args:
        texts: held-out documents.
        settings: the base model and how it is measured.
        root: folder that a relative model path is relative to.
        cache: folder for the figures.
        loaded: the base model on its device; loaded if needed otherwise.
        progress: is told how far the work is.
    """
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    key = fingerprint(
        {
            "model": model_version(settings, root),
            "texts": list(texts),
            "how": [settings.objective, settings.mask_probability, settings.max_tokens, str(precision), device.type],
            "code": 3,
        }
    )
    file = cache / f"perplexity-{key}.json"
    if file.is_file():
        return PerplexityReport.of(**json.loads(file.read_text(encoding="utf-8")))
    model, tokenizer = loaded or load_language_model(settings, root, cache)
    model.to(device)
    report = measure(model, tokenizer, texts, settings, progress=progress)
    content = {
        "document_nll": report.document_nll.tolist(),
        "document_tokens": report.document_tokens.tolist(),
        "skipped": report.skipped,
        "objective": report.objective,
    }
    write_atomically(file, json.dumps(content, allow_nan=False))
    return report


def evaluate_perplexity(
    settings: TrainingSettings,
    models: Mapping[str, Path | None],
    heldout: Path,
    *,
    root: Path,
    cache: Path,
    progress: Callable[[object], None] | None = None,
) -> dict[str, PerplexityReport]:
    """Perplexity of several models on the same held-out documents, one model in memory at a time.

    Empty if nothing is held out: of a target with a single text everything guides the selection.

    Args:
        settings: objective, lengths, number of documents, precision and device; names the base model.
        models: by name the folder that pre-fine-tuning wrote for a model, or None for the base model.
        heldout: folder of documents-*.parquet with columns doc_id and text.
        root: folder that a relative model path is relative to.
        cache: folder for dequantised base models and their perplexities.
        progress: is told how far the work is.

    Raises:
        InputError: held-out documents cannot be read, or a model cannot be loaded.
        TrainingError: a model's likelihoods are not finite.
    """
    texts = heldout_texts(heldout, settings.evaluation_documents)
    if not texts:
        return {}
    device = choose_device(settings.device)
    reports = {}
    for name, folder in models.items():
        tell = _prefixed(name, progress)
        if folder is None:
            reports[name] = base_perplexity(texts, settings, root=root, cache=cache, progress=tell)
            continue
        model, tokenizer = load_trained_model(folder, settings)
        model.to(device)
        reports[name] = measure(model, tokenizer, texts, settings, progress=tell)
    return reports


def _prefixed(name: str, progress: Callable[[object], None] | None) -> Callable[[object], None] | None:
    return None if progress is None else lambda state: progress(f"{name}: {state}")
