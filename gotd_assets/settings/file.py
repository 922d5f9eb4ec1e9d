"""The settings file, gotd.yaml: found, read, and overridden by GOTD_* environment variables.

Nested fields are reached with two underscores: `GOTD_TRANSPORT__EPSILON=0.05` overrides `transport.epsilon`.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariableError

from gotd_assets.errors import SettingsError
from gotd_assets.settings.project import Project, Settings, wrong_settings
from gotd_assets.settings.yaml_file import parse_yaml

SETTINGS_FILE_VARIABLE = "GOTD_SETTINGS"


class _SettingsOfFile(BaseSettings, Settings):
    """Settings in which GOTD_* environment variables win over the file."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="GOTD_", env_nested_delimiter="__", validate_default=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose content comes as keyword arguments."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def settings_path(start: Path | None = None) -> Path:
    """The settings file: what GOTD_SETTINGS names, else gotd.yaml in `start` (default: the working directory).

    Raises:
        SettingsError: there is no such file.
    """
    named = os.environ.get(SETTINGS_FILE_VARIABLE)
    path = Path(named).expanduser() if named else (start or Path.cwd()) / "gotd.yaml"
    if not path.is_file():
        origin = f"named by the environment variable {SETTINGS_FILE_VARIABLE}" if named else "looked for by default"
        raise SettingsError(
            f"{path} ({origin}) does not exist: run in the project's folder, or set {SETTINGS_FILE_VARIABLE} to your gotd.yaml"
        )
    return path.resolve()


def load_project(path: Path | None = None) -> Project:
    """Read and validate the settings file (see `settings_path` for the default).

    Raises:
        SettingsError: the file is missing, is not YAML, or a field is wrong; every wrong field is named by its path.
    """
    path = settings_path() if path is None else path
    return Project.of(read_settings(path), path.parent.resolve())


def read_settings(path: Path) -> Settings:
    """What the settings file `path` says, without what stands in the targets folder.

    Raises:
        SettingsError: as for `load_project`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as YAML: {error}") from error
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise SettingsError(f"{path}: expected a mapping with home, sources, targets …, found {type(content).__name__}")
    try:
        return _SettingsOfFile(**content)
    except ValidationError as error:
        # Without the cause: it quotes every value, and Dagster shows causes.
        raise SettingsError(f"{path.name}: {wrong_settings(error)}") from None
    except UnreadableVariableError as error:
        raise SettingsError(f"environment: {error}: a whole section is written as JSON") from None
