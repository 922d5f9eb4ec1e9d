"""The Dagster shell: assets, checks, sensors, jobs, resources."""
