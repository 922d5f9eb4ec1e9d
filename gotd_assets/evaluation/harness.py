"""The lm-evaluation-harness: the same items for two models, and what one gains over the other on them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from gotd_assets.artifacts.atomic import replaced
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256, fingerprint
from gotd_assets.models.language import load_language_model, load_trained_model, model_version
from gotd_assets.models.statistics import two_way_mean

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.settings.evaluation import HarnessSettings
    from gotd_assets.settings.training import TrainingSettings

SAMPLES, BASE_SAMPLES = "samples.parquet", "samples-base.parquet"
_KEY = ["task", "metric", "filter", "item"]
_SCHEMA = {
    "task": pl.String,
    "metric": pl.String,
    "filter": pl.String,
    "item": pl.Int64,
    "value": pl.Float64,
    "answer": pl.String,
}


def tasks_version(settings: HarnessSettings, root: Path) -> dict[str, str]:
    """Of lm-eval, and of the task files and what lies beside them, by content.

    Raises:
        InputError: lm-eval is not installed, or the folder is not there.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = {"lm_eval": version("lm-eval")}
    except PackageNotFoundError as error:
        raise InputError("evaluation.harness needs lm-eval: pip install 'gotd-assets[harness]'") from error
    if settings.include_path is None:
        return found
    folder = root / settings.include_path.expanduser()
    if not folder.is_dir():
        raise InputError(f"evaluation.harness.include_path: {folder} is no folder: correct it, or put task files there")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    content = {str(path.relative_to(folder)): file_sha256(path) for path in files}
    return {**found, "tasks": fingerprint(content)}


def evaluate_on_tasks(
    model: Path,
    settings: HarnessSettings,
    training: TrainingSettings,
    *,
    root: Path,
    cache: Path,
    versions: Mapping[str, str],
    out: Path,
    progress: Callable[[str], None],
) -> pl.DataFrame:
    """Measure the base model, unless that was done before, and the trained one in the folder `model`.

    Writes the values of every item to `out`, of both models.

    Returns:
        One row for each task and metric (see `compared`).

    Raises:
        InputError: a task cannot be used.
    """
    known = (
        cache
        / "harness"
        / f"{fingerprint([model_version(training, root), settings.shaping(), dict(versions)])}.parquet"
    )
    if not known.exists():
        progress("the base model on the tasks of the harness")
        found = _samples(load_language_model(training, root, cache), settings, root)
        known.parent.mkdir(parents=True, exist_ok=True)
        with replaced(known) as new:
            found.write_parquet(new)
    base = read_parquet(known)
    progress("the trained model on the tasks of the harness")
    trained = _samples(load_trained_model(model, training), settings, root)
    base.write_parquet(out / BASE_SAMPLES)
    trained.write_parquet(out / SAMPLES)
    return compared(base, trained)


def compared(base: pl.DataFrame, trained: pl.DataFrame) -> pl.DataFrame:
    """Means of both models by task and metric, and the gain on the same items with its 95 % interval and p.

    The interval is over items, by `two_way_mean`, and null for a single one; nothing is known about another seed of the
    training.
    """
    both = base.join(trained, on=_KEY, suffix="_trained", maintain_order="left")
    rows = []
    for (task, metric, kind), items in both.group_by("task", "metric", "filter", maintain_order=True):
        gain = (items.get_column("value_trained") - items.get_column("value")).to_numpy()
        # A single item says nothing of others.
        estimate = two_way_mean(gain[None, :]) if len(gain) > 1 else None
        rows.append(
            {
                "task": task,
                "metric": metric,
                "filter": kind,
                "items": items.height,
                "base": items.get_column("value").mean(),
                "trained": items.get_column("value_trained").mean(),
                "gain": float(gain.mean()),
                "low": None if estimate is None else estimate.low,
                "high": None if estimate is None else estimate.high,
                "p": None if estimate is None else estimate.p,
            }
        )
    return pl.DataFrame(rows)


def _samples(
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase], settings: HarnessSettings, root: Path
) -> pl.DataFrame:
    """Every item's value of every metric that has one by item, and what the model answered."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model, tokenizer = loaded
    include = None if settings.include_path is None else str(root / settings.include_path.expanduser())
    with contextlib.chdir(root):
        try:
            results = simple_evaluate(
                model=HFLM(
                    pretrained=model,
                    tokenizer=tokenizer,
                    batch_size=settings.batch_size,
                    prefix_token_id=_first_token(tokenizer),
                ),
                tasks=list(settings.tasks),
                task_manager=TaskManager(include_path=include),
                num_fewshot=settings.num_fewshot,
                limit=settings.limit,
                log_samples=True,
                bootstrap_iters=0,
            )
        except Exception as error:  # lm-eval raises whatever a task's file or its data make of it
            raise InputError(
                f"evaluation.harness: the tasks {', '.join(settings.tasks)} cannot be used ({type(error).__name__}: {error}). "
                "Task files are described in lm-eval's docs/task_guide.md; `lm-eval ls tasks` lists those it knows"
            ) from error
    rows = [
        (task, metric, str(sample.get("filter", "none")), int(sample["doc_id"]), float(sample[metric]), _answer(sample))
        for task, samples in results["samples"].items()
        for sample in samples
        for metric in sample.get("metrics", ())
        if isinstance(sample.get(metric), bool | int | float)
    ]
    if not rows:
        raise InputError(f"evaluation.harness: no metric of {', '.join(settings.tasks)} has a value for each item")
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _first_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """What stands before a text where the tokenizer has no token for its beginning or end; None if it has one."""
    if tokenizer.bos_token_id is not None or tokenizer.eos_token_id is not None:
        return None
    for token in (tokenizer.pad_token_id, tokenizer.unk_token_id):
        if token is not None:
            return int(token)
    return 0


def _answer(sample: Mapping[str, Any]) -> str:
    return json.dumps(sample.get("filtered_resps"), default=str)
