"""What this project makes of a trained model."""

import dagster as dg


@dg.asset(deps=[dg.AssetKey(["support", "evaluation_report"])], group_name="product", kinds={"markdown"})
def release_notes() -> dg.MaterializeResult[None]:
    """An asset of the project's own that waits for the pipeline's report."""
    return dg.MaterializeResult(metadata={"notes": dg.MetadataValue.md("A new model for support is ready.")})
