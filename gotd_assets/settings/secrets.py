"""Secrets in settings: refused in URLs, which origins, lineage and command lines show, and never quoted in errors."""

from __future__ import annotations

from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from gotd_assets.errors import masked


def refuse_secrets(value: Any) -> Any:
    """`value`, a location of text or several, if no URL in it holds credentials.

    Raises:
        ValueError: one does, or names a file of this machine.
    """
    for url in value if isinstance(value, list) else [value]:
        if not isinstance(url, str) or "://" not in url:
            continue
        if masked(url) != url:
            raise ValueError(
                "a URL must not hold a password, signature or token: origins would show it; put a password into a netrc "
                "file, and use s3:// or gs:// instead of a signed address"
            )
        if urlsplit(url).scheme in ("file", "local"):
            raise ValueError("files of this machine are given by their path, without file://")
    return value


def refuse_tracking_secrets(uri: str | None) -> str | None:
    """`uri` of MLflow, if it holds no credentials.

    Raises:
        ValueError: it does.
    """
    if uri is not None and masked(uri) != uri:
        raise ValueError(
            "it must not hold a password or token: logs, records and the list of processes would show it; give a server's "
            "as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN, a database's in its own "
            "way (PGPASSWORD or ~/.pgpass, ~/.my.cnf)"
        )
    return uri


def holds_secret(settings: type[BaseModel], path: tuple[int | str, ...]) -> bool:
    """Whether what stands at `path` of `settings`, or in the section that it is in, may be a secret."""
    field = settings.model_fields.get(str(path[0])) if path else None
    section = None if field is None else field.annotation
    if not (isinstance(section, type) and issubclass(section, BaseModel)):
        return False
    return any(SecretStr in (inner.annotation, *get_args(inner.annotation)) for inner in section.model_fields.values())
