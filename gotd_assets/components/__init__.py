"""The pipeline as a Dagster component, for other people's projects."""
