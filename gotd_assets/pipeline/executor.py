"""How steps are started in this code location; one that uses the component has an executor of its own choice."""

import dagster as dg

# Steps start as forks of one process that has Dagster loaded already; torch is not, so that CUDA can be initialised.
EXECUTOR = dg.multiprocess_executor.configured(
    {"start_method": {"forkserver": {"preload_modules": ["gotd_assets.pipeline.graph"]}}}
)
