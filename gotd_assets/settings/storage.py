"""Section `storage`."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from gotd_assets.settings.section import Section

_SCHEMES = ("s3", "gs", "az", "file")


class StorageSettings(Section):
    """Where artifacts are kept beside the project's home, for all machines that share it."""

    url: str | None = Field(
        None,
        description="An object store: s3://BUCKET/PREFIX, gs://…, az://… or file:///FOLDER, a prefix of its own for each "
        "project; needs the extra 'storage'. Credentials and endpoint are taken from the environment. By default artifacts "
        "are in the home alone.",
    )
    cache_gb: float | None = Field(
        None,
        gt=0,
        description="GiB of artifacts kept in the home: beyond that, files that the store has and no step uses are removed "
        "there, the longest unused first; without it all stay.",
    )

    @field_validator("url")
    @classmethod
    def _is_an_object_store(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
            raise ValueError(f"{url!r} is no address of an object store: it begins with {known}")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("credentials and options do not belong into the address: set them in the environment")
        if parts.scheme != "file" and not parts.netloc:
            raise ValueError(f"{url!r} names no bucket: write {parts.scheme}://BUCKET/PREFIX")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _cache_is_of_a_store(self) -> Self:
        if self.cache_gb is not None and self.url is None:
            raise ValueError("cache_gb: without storage.url the home is the only place of artifacts: leave it out")
        return self
