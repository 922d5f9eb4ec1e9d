"""Whether an artifact is fit for what comes next: one finding per question, without Dagster."""

from gotd_assets.quality.finding import Finding

__all__ = ["Finding"]
