"""Pre-fine-tuning, evaluation and MLflow tracking."""

from gotd_assets.training.detoxification import evaluate_detoxification
from gotd_assets.training.encoder_tuning import TuningReport, tune_encoder
from gotd_assets.training.heldout import evaluate_perplexity
from gotd_assets.training.labelled import labelled_source, read_labelled
from gotd_assets.training.models import load_language_model, load_trained_model, model_version
from gotd_assets.training.perplexity import PerplexityReport, perplexity
from gotd_assets.training.pre_fine_tuning import TrainingReport, pre_fine_tune
from gotd_assets.training.task_evaluation import evaluate_task
from gotd_assets.training.tracking import TrackingContext, prepare_tracking

__all__ = [
    "PerplexityReport",
    "TrackingContext",
    "TrainingReport",
    "TuningReport",
    "evaluate_detoxification",
    "evaluate_perplexity",
    "evaluate_task",
    "labelled_source",
    "load_language_model",
    "load_trained_model",
    "model_version",
    "perplexity",
    "pre_fine_tune",
    "prepare_tracking",
    "read_labelled",
    "tune_encoder",
]
