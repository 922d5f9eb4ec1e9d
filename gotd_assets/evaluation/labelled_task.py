"""What a pre-fine-tuned model is worth for its task: a curve over numbers of labels, and classification without any."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.corpus.labelled import LabelledTexts
from gotd_assets.evaluation.learning_curve import learning_curve
from gotd_assets.evaluation.scores import Scores, labels_saved
from gotd_assets.evaluation.zero_shot import zero_shot
from gotd_assets.fingerprint import fingerprint
from gotd_assets.models.device import choose_device
from gotd_assets.models.language import load_language_model, load_trained_model, model_version
from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.nested import NestedRun, log_nested

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.evaluation import ClassificationSettings
    from gotd_assets.settings.training import TrainingSettings

_CODE = 2


@dataclasses.dataclass(frozen=True)
class TaskScores:
    """One model's scores: `curve` by (number of labels, seed), and `without_labels`, None for masked models."""

    curve: Mapping[tuple[int, int], Scores]
    without_labels: Scores | None

    def means(self, figure: str) -> dict[int, float]:
        """Mean over seeds of `figure` ('accuracy' or 'macro_f1') by number of labels."""
        sizes = sorted({size for size, _ in self.curve})
        return {
            size: float(np.mean([getattr(scores, figure) for (n, _), scores in self.curve.items() if n == size]))
            for size in sizes
        }

    def as_json(self) -> dict[str, Any]:
        """Everything, as files keep it."""
        points = [
            {"labels": size, "seed": seed, **dataclasses.asdict(scores)}
            for (size, seed), scores in sorted(self.curve.items())
        ]
        without = None if self.without_labels is None else dataclasses.asdict(self.without_labels)
        return {"curve": points, "without_labels": without}

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> TaskScores:
        """What `as_json` wrote."""
        curve = {
            (point["labels"], point["seed"]): Scores(point["accuracy"], point["macro_f1"]) for point in content["curve"]
        }
        without = content["without_labels"]
        return cls(curve, None if without is None else Scores(**without))


def evaluate_task(
    labelled: Path,
    model: Path,
    task: ClassificationSettings,
    settings: TrainingSettings,
    *,
    root: Path,
    cache: Path,
    scratch: Path,
    out: Path,
    tracking: TrackingContext,
    training_run: str,
    progress: Callable[[object], None] | None = None,
) -> dict[str, Json]:
    """Measure a pre-fine-tuned model and the base model on a labelled task; write `out/task.json`; return the figures.

    The base model is measured once per task and kept in `cache`. In MLflow a run for the evaluation goes below the
    training's, and below it one for every number of labels and seed.

    Args:
        labelled: folder that `read_labelled` wrote.
        model: folder of the pre-fine-tuned model.
        task: the task.
        settings: the base model, and how models are trained and measured.
        root: folder that a relative model path is relative to.
        cache: folder for figures of base models and for dequantised weights.
        scratch: folder that survives a crash; finished points are kept in it.
        out: an existing folder.
        tracking: where the runs are recorded.
        training_run: MLflow id of the pre-fine-tuning.
        progress: is told how far the work is.

    Raises:
        InputError: a model cannot be loaded, or the template leaves no room for a text.
        TrainingError: fine-tuning diverged, or MLflow cannot be used.
    """
    tell = progress or (lambda _: None)
    train, test = (LabelledTexts.of(labelled / side, task) for side in ("train", "test"))
    base = _base_scores(train, test, task, settings, root=root, cache=cache, progress=_named("base", tell))
    loaded = load_trained_model(model, settings)
    ours = _measure(loaded, train, test, task, settings, scratch=scratch / "points", progress=_named("trained", tell))
    saved = {figure: labels_saved(base.means(figure), ours.means(figure)) for figure in ("accuracy", "macro_f1")}
    content = {
        "target": task.target,
        "labels": dict(task.labels),
        "train_documents": len(train.texts),
        "test_documents": len(test.texts),
        "base": base.as_json(),
        "trained": ours.as_json(),
        "labels_saved": {
            figure: {str(size): count for size, count in counts.items()} for figure, counts in saved.items()
        },
    }
    run = log_nested(tracking, training_run, _as_run(ours, base, task))
    write_atomically(out / "task.json", json.dumps({**content, "mlflow_run_id": run}, indent=2, allow_nan=False))
    return _figures(base, ours, saved["accuracy"])


def _measure(
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase],
    train: LabelledTexts,
    test: LabelledTexts,
    task: ClassificationSettings,
    settings: TrainingSettings,
    *,
    scratch: Path,
    progress: Callable[[object], None],
) -> TaskScores:
    model, tokenizer = loaded
    model.to(choose_device(settings.device))
    without = zero_shot(model, tokenizer, test, task, settings) if settings.objective == "causal" else None
    curve = learning_curve(
        model, tokenizer, train, test, task=task, settings=settings, scratch=scratch, progress=progress
    )
    return TaskScores(curve, without)


def _base_scores(
    train: LabelledTexts,
    test: LabelledTexts,
    task: ClassificationSettings,
    settings: TrainingSettings,
    *,
    root: Path,
    cache: Path,
    progress: Callable[[object], None],
) -> TaskScores:
    key = fingerprint(
        {
            "model": model_version(settings, root),
            "texts": [list(train.texts), list(test.texts)],
            "labels": [train.labels.tolist(), test.labels.tolist()],
            "task": task.shaping(),
            "settings": settings.shaping(),
            "code": _CODE,
        }
    )
    file = cache / f"task-{key}.json"
    if not file.is_file():
        loaded = load_language_model(settings, root, cache)
        points = cache / f"task-{key}"
        scores = _measure(loaded, train, test, task, settings, scratch=points, progress=progress)
        write_atomically(file, json.dumps(scores.as_json(), allow_nan=False))
    return TaskScores.of_json(json.loads(file.read_text(encoding="utf-8")))


def _figures(base: TaskScores, ours: TaskScores, saved: Mapping[int, float | None]) -> dict[str, Json]:
    figures: dict[str, Json] = {}
    for name, scores in (("base", base), ("trained", ours)):
        for figure in ("accuracy", "macro_f1"):
            figures |= {f"{figure}_{size}_{name}": mean for size, mean in scores.means(figure).items()}
            if scores.without_labels is not None:
                figures[f"zero_shot_{figure}_{name}"] = getattr(scores.without_labels, figure)
    return figures | {f"labels_saved_at_{size}": count for size, count in saved.items()}


def _as_run(ours: TaskScores, base: TaskScores, task: ClassificationSettings) -> NestedRun:
    zero: dict[str, float] = {}
    for name, scores in (("base", base), ("trained", ours)):
        if scores.without_labels is not None:
            zero |= {
                f"zero_shot_{key}_{name}": value for key, value in dataclasses.asdict(scores.without_labels).items()
            }
    points = [
        NestedRun(
            f"{size} labels, seed {seed}",
            {"labels": size, "seed": seed},
            {**dataclasses.asdict(scores), **_base_point(base, size, seed)},
        )
        for (size, seed), scores in sorted(ours.curve.items())
    ]
    return NestedRun(f"labelled task {task.target}", {"sizes": task.sizes, "seeds": task.seeds}, zero, points)


def _base_point(base: TaskScores, size: int, seed: int) -> dict[str, float]:
    point = base.curve.get((size, seed))
    return {} if point is None else {f"{key}_base": value for key, value in dataclasses.asdict(point).items()}


def _named(name: str, tell: Callable[[object], None]) -> Callable[[object], None]:
    return lambda state: tell(f"{name}: {state}")
