"""Stage I of the paper: light, unsupervised training of a language model on the selected documents."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.artifacts.parquet import read_parquet, scan_parquet
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import Json, file_sha256, fingerprint
from gotd_assets.models.batches import AnsweredIds, TokenIds
from gotd_assets.models.comparison import Difference, compare_reports
from gotd_assets.models.conversations import encode_documents
from gotd_assets.models.device import choose_device, choose_precision
from gotd_assets.models.heldout import LIKELIHOODS, base_likelihoods, heldout_documents, measured, report_of
from gotd_assets.models.language import load_language_model, model_version, save_model
from gotd_assets.models.layers import choose_trainable
from gotd_assets.models.objectives import Objective
from gotd_assets.models.perplexity import PerplexityReport
from gotd_assets.models.placement import place
from gotd_assets.models.prefix import FrozenPrefix
from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.run import DIGEST_LENGTH, Measured, TrackedRun, tracked_run
from gotd_assets.training.loop import Step, learning_rate, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from gotd_assets.settings.training import TrainingSettings


@dataclasses.dataclass(frozen=True)
class TrainingReport:
    """What a pre-fine-tuning did; `training.json` holds the same.

    Attributes:
        mlflow_run_id, experiment_id, tracking_uri: where the run is recorded.
        selection_version: version of the selection trained on.
        base_model, base_model_version: what was trained.
        seed: of shuffling, dropout and masking.
        documents: documents trained on.
        skipped_documents: documents with no token to predict (too short, or cut before the first answer), left out.
        tokens: predicted tokens, over all epochs.
        steps: optimizer updates.
        seconds: time in optimizer updates, parts before an interruption included.
        trained_parameters, parameters: number of weights that were trained, and of all.
        loss_curve: [step, loss in nats per token], before each update.
        before, after: held-out perplexity of the base and of the trained model, None without held-out documents.
    """

    mlflow_run_id: str
    experiment_id: str
    tracking_uri: str
    selection_version: str
    base_model: str
    base_model_version: str
    seed: int
    documents: int
    skipped_documents: int
    tokens: int
    steps: int
    seconds: float
    trained_parameters: int
    parameters: int
    loss_curve: Sequence[tuple[int, float]]
    before: PerplexityReport | None
    after: PerplexityReport | None

    @property
    def change(self) -> Difference | None:
        """Of held-out perplexity by the training, paired by document."""
        return compare_reports(self.after, self.before)

    @property
    def is_better(self) -> bool:
        """Whether the trained model is better than the base, and not by the luck of these held-out documents."""
        change = self.change
        return change is not None and change.high is not None and change.high < 0

    def as_summary(self) -> dict[str, Json]:
        """The figures worth showing, flat."""
        change = self.change
        return {
            "mlflow_run_id": self.mlflow_run_id,
            "base_model_version": self.base_model_version,
            "perplexity_before": self.before.perplexity if self.before else None,
            "perplexity_after": self.after.perplexity if self.after else None,
            "perplexity_change": change.change if change else None,
            "perplexity_change_low": change.low if change else None,
            "perplexity_change_high": change.high if change else None,
            "final_loss": self.loss_curve[-1][1],
            "documents": self.documents,
            "skipped_documents": self.skipped_documents,
            "tokens": self.tokens,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "trained_parameters": self.trained_parameters,
        }

    def as_json(self) -> dict[str, Json]:
        """Everything, as `training.json` keeps it."""
        content: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in {"before", "after", "loss_curve"}
        }
        return content | {
            "loss_curve": [list(point) for point in self.loss_curve],
            "perplexity_before": self.before.as_summary() if self.before else None,
            "perplexity_after": self.after.as_summary() if self.after else None,
            "perplexity_change": self.change.as_summary() if self.change else None,
        }


def pre_fine_tune(
    documents: Path,
    settings: TrainingSettings,
    *,
    root: Path,
    cache: Path,
    out: Path,
    scratch: Path,
    tracking: TrackingContext,
    heldout: Path,
    progress: Callable[[object], None] | None = None,
) -> TrainingReport:
    """Train the base model on `documents` and record the run in MLflow.

    With `trainable_layers` k, the last k transformer blocks, the norm after them and the output layer are trained; an
    output layer that shares its weights with the input embeddings stays as it is; with several epochs the frozen blocks
    run once per document (see `FrozenPrefix`). Under bfloat16 the weights being
    trained are float32 all the while and the others bfloat16, and the model is measured and saved as bfloat16; under
    float32 and float16 all weights are float32. A training that was killed goes on from its last checkpoint in
    `scratch` and in the same MLflow run.

    The MLflow run has the settings as parameters; loss, training perplexity and learning rate per step and held-out
    perplexity before and after, the former of the base model, which is a model of its own; system metrics; as datasets
    the documents, their digest being the selection's version, and the held-out text; `training.json`; and the model by
    reference (see `TrackedRun.log_model`).

    Args:
        documents: Parquet file with columns doc_id and text, and with the fields that `settings.chat` reads.
        settings: model and optimisation.
        root: folder that a relative model path is relative to.
        cache: folder for dequantised base models and their perplexities, shared among trainings.
        out: folder to write `model/` (safetensors, configuration, tokenizer), `training.json` and, with held-out documents,
            `heldout.parquet` (their likelihoods after training) into.
        scratch: folder for checkpoints; survives a crash, belongs to this training alone.
        tracking: where and as what the run is recorded.
        heldout: folder of documents-*.parquet with columns doc_id and text, on which perplexity is measured before and
            after; the first `evaluation_documents` by doc_id are used. May be empty.
        progress: is told of every step and of the stages between.

    Raises:
        InputError: documents or base model cannot be used.
        TrainingError: the loss is not finite, or MLflow cannot be used.
    """
    tell = progress or (lambda _: None)
    scratch.mkdir(parents=True, exist_ok=True)
    selection = _read_documents(documents, settings)
    documents_held_out = heldout_documents(heldout, settings)
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    tell(f"loading {settings.model}")
    version = model_version(settings, root)
    model, tokenizer = load_language_model(settings, root, cache)
    objective = Objective(tokenizer, settings.objective, settings.mask_probability)
    encoded, skipped = _encode(selection, tokenizer, objective, settings, documents)
    identity = fingerprint(
        {
            "documents": file_sha256(documents),
            "model": version,
            "precision": str(precision),
            "settings": settings.shaping(),
        }
    )
    parameters = settings.model_dump(mode="json") | {
        "base_model_version": version,
        "selection_version": tracking.selection_version,
        "documents": len(encoded),
        "compute_precision": str(precision).removeprefix("torch."),
        "compute_device": str(device),
    }
    with tracked_run(tracking, scratch, parameters) as run:
        run.log_dataset(
            selection.select("doc_id", "text"),
            documents,
            tracking.model_name,
            tracking.selection_version,
            "training",
        )
        trained = choose_trainable(model, settings)
        model.to(device)
        before = after = None
        digest = fingerprint(documents_held_out.get_column("doc_id").to_list())[:DIGEST_LENGTH]
        if documents_held_out.height:
            run.log_dataset(
                documents_held_out.select("doc_id", "text"), heldout, tracking.heldout_name, digest, "evaluation"
            )
            known = base_likelihoods(
                documents_held_out, settings, root=root, cache=cache, loaded=(model, tokenizer), progress=tell
            )
            before = report_of(known, settings)
            _log_heldout(run, 0, before, Measured(run.log_base(settings.model, version), tracking.heldout_name, digest))
        place(model, device, precision, exact=trained)

        def on_step(step: Step) -> None:
            run.log(step.step, {"loss": step.loss, "perplexity": _exp(step.loss), "learning_rate": step.learning_rate})
            tell(step)

        if settings.epochs > 1:
            # A single epoch runs the frozen blocks once for every document anyway.
            objective = objective.behind(FrozenPrefix.of(model, scratch / "states", precision, causal=objective.causal))
        curve, tokens, seconds = train(
            model,
            objective,
            encoded,
            settings,
            precision=precision,
            checkpoint=scratch / "checkpoint.safetensors",
            identity=identity,
            on_step=on_step,
        )
        # A killed process may have taken points with it that its checkpoint has.
        for number, loss in curve:
            rate = learning_rate(settings, number - 1, len(curve))
            run.log(number, {"loss": loss, "perplexity": _exp(loss), "learning_rate": rate})
        # Measured as it is saved and will be loaded.
        model.float()
        if documents_held_out.height:
            found = measured((model, tokenizer), documents_held_out, settings, progress=tell)
            found.write_parquet(out / LIKELIHOODS)
            after = report_of(found, settings)
        tell("saving the model")
        save_model(model, tokenizer, out / "model")
        model_id = run.log_model(out / "model", {"gotd.base_model_version": version, **_checksums(out / "model")})
        this = Measured(model_id, tracking.heldout_name, digest)
        _log_heldout(run, len(curve), after, this)
        report = TrainingReport(
            mlflow_run_id=run.run_id,
            experiment_id=run.experiment_id,
            tracking_uri=tracking.uri,
            selection_version=tracking.selection_version,
            base_model=settings.model,
            base_model_version=version,
            seed=settings.seed,
            documents=len(encoded),
            skipped_documents=skipped,
            tokens=tokens,
            steps=len(curve),
            seconds=seconds,
            trained_parameters=sum(weight.numel() for weight in trained.values()),
            parameters=sum(weight.numel() for weight in model.parameters()),
            loss_curve=curve,
            before=before,
            after=after,
        )
        write_atomically(out / "training.json", json.dumps(report.as_json(), indent=2, allow_nan=False))
        run.log_report(report.as_json())
        if after is not None and report.is_better:
            run.register(this, out / "model", after.perplexity)
    return report


def _read_documents(path: Path, settings: TrainingSettings) -> pl.DataFrame:
    """doc_id, text and those of the fields that `settings.chat` reads that are there."""
    try:
        there = scan_parquet(path).collect_schema()
        kept = [] if settings.chat is None else [name for name in settings.chat.fields if name in there]
        frame = read_parquet(path, columns=["doc_id", "text", *kept])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: cannot be read as Parquet with columns doc_id and text: {error}") from error
    if frame.is_empty():
        raise InputError(f"{path}: holds no documents to train on")
    if frame["text"].null_count():
        raise InputError(f"{path}: {frame['text'].null_count()} documents have no text")
    return frame


def _encode(
    selection: pl.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    objective: Objective,
    settings: TrainingSettings,
    path: Path,
) -> tuple[list[TokenIds | AnsweredIds], int]:
    encoded = encode_documents(tokenizer, selection, settings)
    usable = [ids for ids in encoded if objective.predicted(ids) > 0]
    if not usable:
        raise InputError(f"{path}: none of its {selection.height} documents has a token to predict; all are too short")
    return usable, len(encoded) - len(usable)


def _log_heldout(run: TrackedRun, step: int, report: PerplexityReport | None, of: Measured) -> None:
    if report is not None:
        figures = {
            "heldout_perplexity": report.perplexity,
            "heldout_perplexity_low": report.low,
            "heldout_perplexity_high": report.high,
        }
        run.log(step, {name: value for name, value in figures.items() if value is not None}, of)


def _checksums(folder: Path) -> dict[str, str]:
    return {f"gotd.sha256.{file.name}": file_sha256(file) for file in sorted(folder.glob("*.safetensors"))}


def _exp(loss: float) -> float:
    return math.exp(min(loss, 700.0))
