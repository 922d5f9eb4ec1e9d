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
from gotd_assets.evaluation.labels_saved import labels_saved_with_intervals
from gotd_assets.evaluation.learning_curve import Curve, Point, Way, learning_curves
from gotd_assets.evaluation.scores import Scores
from gotd_assets.evaluation.zero_shot import zero_shot
from gotd_assets.fingerprint import fingerprint
from gotd_assets.models.device import choose_device, choose_precision
from gotd_assets.models.language import load_language_model, load_trained_model, model_version
from gotd_assets.models.layers import choose_trainable
from gotd_assets.models.placement import place
from gotd_assets.models.prefix import FrozenPrefix
from gotd_assets.models.statistics import holm, two_way_mean
from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.nested import NestedRun, log_nested

if TYPE_CHECKING:
    import numpy.typing as npt
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.evaluation import ClassificationSettings
    from gotd_assets.settings.training import TrainingSettings

_CODE = 4
# States of labelled texts behind the blocks that training leaves as they are.
_STATES = "task-states"


@dataclasses.dataclass(frozen=True)
class TaskScores:
    """One model's points by way and (number of labels, seed), and its scores `without_labels`, None for masked models."""

    curves: Mapping[Way, Curve]
    without_labels: Scores | None

    @property
    def way(self) -> Way:
        """What stands for the model: fine-tuning if it was done."""
        return "fine-tuned" if "fine-tuned" in self.curves else "probe"

    def means(self, figure: str, way: Way) -> dict[int, float]:
        """Mean over seeds of `figure` ('accuracy' or 'macro_f1') by number of labels."""
        sizes = sorted({size for size, _ in self.curves[way]})
        return {
            size: float(
                np.mean([getattr(point.scores, figure) for (n, _), point in self.curves[way].items() if n == size])
            )
            for size in sizes
        }

    def right(self, labels: npt.NDArray[np.int64], way: Way) -> dict[int, npt.NDArray[np.float64]]:
        """By number of labels, which test texts were right (seeds, texts)."""
        points = sorted(self.curves[way].items())
        sizes = sorted({size for size, _ in self.curves[way]})
        return {
            size: np.stack([(point.predicted == labels).astype(float) for (n, _), point in points if n == size])
            for size in sizes
        }

    def as_json(self) -> dict[str, Any]:
        """Everything, as files keep it."""
        points = [
            {"labels": size, "seed": seed, "way": way, **point.as_json()}
            for way, curve in self.curves.items()
            for (size, seed), point in sorted(curve.items())
        ]
        without = None if self.without_labels is None else dataclasses.asdict(self.without_labels)
        return {"curve": points, "without_labels": without}

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> TaskScores:
        """What `as_json` wrote."""
        curves: dict[Way, Curve] = {}
        for point in content["curve"]:
            curves.setdefault(point["way"], {})[point["labels"], point["seed"]] = Point.of_json(point)
        without = content["without_labels"]
        return cls(curves, None if without is None else Scores(**without))


def compared(base: TaskScores, ours: TaskScores, labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Labels saved, and differences of accuracy at equal numbers of labels, by way and number of labels, with intervals."""
    found: dict[str, Any] = {}
    for way in ours.curves:
        before, after = base.right(labels, way), ours.right(labels, way)
        if len(labels) < 2:
            continue
        gaps = {size: two_way_mean(after[size] - before[size]) for size in after}
        levels = dict(zip(gaps, holm([gap.p for gap in gaps.values()]), strict=True))
        saved = labels_saved_with_intervals(before, after)
        found[way] = {
            "labels_saved": {str(size): one.as_json() for size, one in saved.items()},
            "accuracy_difference": {
                str(size): {**dataclasses.asdict(gap), "corrected": levels[size], "comparisons": len(gaps)}
                for size, gap in gaps.items()
            },
        }
    return found


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
        cache: folder for figures of base models, for dequantised weights, and for states of the labelled texts behind the
            blocks that are not trained, which are the same for every model of the task.
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
    ours = _measure(
        loaded,
        train,
        test,
        task,
        settings,
        scratch=scratch / "points",
        states=cache / _STATES,
        progress=_named("trained", tell),
    )
    comparison = compared(base, ours, test.labels)
    content = {
        "target": task.target,
        "labels": dict(task.labels),
        "train_documents": len(train.texts),
        "test_documents": len(test.texts),
        "base": base.as_json(),
        "trained": ours.as_json(),
        "compared": comparison,
    }
    run = log_nested(tracking, training_run, _as_run(ours, base, task))
    write_atomically(out / "task.json", json.dumps({**content, "mlflow_run_id": run}, indent=2, allow_nan=False))
    return _figures(base, ours, comparison)


def _measure(
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase],
    train: LabelledTexts,
    test: LabelledTexts,
    task: ClassificationSettings,
    settings: TrainingSettings,
    *,
    scratch: Path,
    states: Path,
    progress: Callable[[object], None],
) -> TaskScores:
    model, tokenizer = loaded
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    is_causal = settings.objective == "causal"
    place(model, device, precision, exact=choose_trainable(model, settings))
    # All models of a task have the same frozen blocks, and the same texts.
    prefix = FrozenPrefix.of(model, states, precision, causal=is_causal)
    without = zero_shot(model, tokenizer, test, task, settings, prefix=prefix) if is_causal else None
    curves = learning_curves(
        model, tokenizer, train, test, task=task, settings=settings, scratch=scratch, prefix=prefix, progress=progress
    )
    return TaskScores(curves, without)


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
        scores = _measure(
            loaded, train, test, task, settings, scratch=points, states=cache / _STATES, progress=progress
        )
        write_atomically(file, json.dumps(scores.as_json(), allow_nan=False))
    return TaskScores.of_json(json.loads(file.read_text(encoding="utf-8")))


def _figures(base: TaskScores, ours: TaskScores, comparison: Mapping[str, Any]) -> dict[str, Json]:
    figures: dict[str, Json] = {}
    for name, scores in (("base", base), ("trained", ours)):
        for figure in ("accuracy", "macro_f1"):
            for way in scores.curves:
                prefix = "" if way == scores.way else "probe_"
                means = scores.means(figure, way)
                figures |= {f"{prefix}{figure}_{size}_{name}": mean for size, mean in means.items()}
            if scores.without_labels is not None:
                figures[f"zero_shot_{figure}_{name}"] = getattr(scores.without_labels, figure)
    for size, saved in comparison.get(ours.way, {}).get("labels_saved", {}).items():
        figures[f"labels_saved_at_{size}"] = saved["value"]
    return figures


def _as_run(ours: TaskScores, base: TaskScores, task: ClassificationSettings) -> NestedRun:
    zero: dict[str, float] = {}
    for name, scores in (("base", base), ("trained", ours)):
        if scores.without_labels is not None:
            zero |= {
                f"zero_shot_{key}_{name}": value for key, value in dataclasses.asdict(scores.without_labels).items()
            }
    points = []
    for size, seed in sorted(ours.curves[ours.way]):
        figures: dict[str, float] = {}
        for name, scores in (("", ours), ("_base", base)):
            for way, curve in scores.curves.items():
                prefix = "" if way == scores.way else "probe_"
                point = curve.get((size, seed))
                if point is not None:
                    figures |= {
                        f"{prefix}{key}{name}": value for key, value in dataclasses.asdict(point.scores).items()
                    }
        points.append(NestedRun(f"{size} labels, seed {seed}", {"labels": size, "seed": seed}, figures))
    return NestedRun(f"labelled task {task.target}", {"sizes": task.sizes, "seeds": task.seeds}, zero, points)


def _named(name: str, tell: Callable[[object], None]) -> Callable[[object], None]:
    return lambda state: tell(f"{name}: {state}")
