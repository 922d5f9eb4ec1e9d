"""Typed project settings: gotd.yaml, overridden by GOTD_* environment variables."""

from gotd_assets.settings.encoder import EncoderSettings

__all__ = ["EncoderSettings"]
