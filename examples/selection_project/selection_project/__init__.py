"""A Dagster project that selects training data with gotd-assets."""
