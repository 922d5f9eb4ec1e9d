"""Typed project settings: gotd.yaml, overridden by GOTD_* environment variables."""
