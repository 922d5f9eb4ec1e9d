"""Select pre-fine-tuning data by optimal transport gradients (GOT-D), as Dagster assets with lineage."""

__version__ = "0.1.0"
