"""Pre-fine-tuning, evaluation and MLflow tracking."""
