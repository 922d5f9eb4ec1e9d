"""Where a model is that the settings name: a folder or file, inside an installed package, or on the model hub."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TypedDict

from gotd_assets.errors import InputError

_PACKAGE = "package:"
_HUB_ID = re.compile(r"^[\w-][\w.-]*(/[\w.-]+)?$")
_AT_COMMIT = re.compile(r"(?P<model>.+)@(?P<revision>[0-9a-f]{40})")
PROBE_SECONDS = 5.0
# Of a model on the hub: what is read besides its weights and tokenizer.
_SMALL = ["*.json", "*_*/*.json", "*_*/*.safetensors"]


class HubOptions(TypedDict):
    """How `from_pretrained` and `hf_hub_download` are to get a model."""

    revision: str | None
    local_files_only: bool


def model_setting(name: str) -> dict[str, str]:
    """What a section says of the model that people call `name`: a hub id may have its commit, 'ORGANISATION/NAME@COMMIT'."""
    at = _AT_COMMIT.fullmatch(name)
    return {"model": name} if at is None else at.groupdict()


def find_model(name: str, root: Path, setting: str) -> Path | None:
    """The folder or file that `name` means, or None if it can only be an id on the hub.

    Args:
        name: a path, relative ones to `root`; 'package:NAME[/PART]'; or a hub id, 'NAME' or 'ORGANISATION/NAME'.
        root: folder of the project.
        setting: what names it, for errors: 'encoder.model'.

    Raises:
        InputError: the package is not installed or lacks that part, or there is no such path and `name` is no hub id.
    """
    if name.startswith(_PACKAGE):
        return _inside_package(name, setting)
    path = root / Path(name).expanduser()
    if path.exists():
        return path
    if not _HUB_ID.match(name) or name.endswith(".gguf"):
        raise InputError(f"{setting} {name!r}: {path} does not exist: correct the path in gotd.yaml")
    return None


def pinned(name: str, revision: str | None, setting: str) -> str:
    """The revision of a model on the hub.

    Raises:
        InputError: there is none; a run that takes whatever the hub has today cannot be repeated.
    """
    if revision is None:
        section = setting.partition(".")[0]
        raise InputError(
            f"{setting} {name!r}: there is no such folder here; if a model on the hub is meant, set {section}.revision "
            "to one of its commits, so that runs repeat"
        )
    return revision


def hub_options(name: str, revision: str | None, setting: str) -> HubOptions:
    """How to get the model `name` from the hub, or from its cache on this machine if the hub cannot be reached.

    The hub is asked once, for a few seconds. Left to itself, its client tries again for most of a minute, file by file,
    before it says anything. What answers slowly is given all the time it needs to download.

    Raises:
        InputError: the hub does not answer and the model is not in the cache.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    if constants.HF_HUB_OFFLINE:
        return {"revision": revision, "local_files_only": True}
    problem = _unreachable(constants.ENDPOINT)
    if problem is None:
        return {"revision": revision, "local_files_only": False}
    if isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
        return {"revision": revision, "local_files_only": True}
    raise InputError(
        f"{setting} {name!r} is on the model hub, and {constants.ENDPOINT} does not answer ({problem}); it is not in this "
        f"machine's cache ({constants.HF_HUB_CACHE}) either. Name a local folder, or 'package:NAME' for a model inside "
        "an installed package; or make the hub reachable: HF_ENDPOINT names a mirror, HTTPS_PROXY a proxy, and where it "
        "was downloaded before, HF_HOME its cache"
    )


def hub_folder(name: str, revision: str | None, setting: str) -> Path | None:
    """Folder with the small files of a model on the hub, fetched if the hub can be reached; None if it is not here.

    `modules.json`, or that there is none, is asked for last: once that is known, all of them are here.
    """
    from huggingface_hub import constants, hf_hub_download, snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import RemoteEntryNotFoundError

    if try_to_load_from_cache(name, "modules.json", revision=revision) is None and not constants.HF_HUB_OFFLINE:
        try:
            where = hub_options(name, revision, setting)
            if not where["local_files_only"]:
                snapshot_download(name, revision=revision, allow_patterns=_SMALL, ignore_patterns=["modules.json"])
                hf_hub_download(name, "modules.json", revision=revision)
        except RemoteEntryNotFoundError:
            pass
        except Exception:  # noqa: BLE001 - the hub's client may be any of several libraries, each with its own errors
            # Loading says so; until then a version is that of a plain transformer.
            return None
    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _unreachable(endpoint: str) -> str | None:
    """Why there is no answer from `endpoint`, None if there is one, whatever it says."""
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=PROBE_SECONDS)
    except Exception as error:  # noqa: BLE001 - the hub's client may be any of several libraries, each with its own errors
        return str(error) or type(error).__name__
    return None


def _inside_package(name: str, setting: str) -> Path:
    package, _, inner = name.removeprefix(_PACKAGE).partition("/")
    package = package.replace("-", "_")
    try:
        # Of a plain name nothing is imported.
        found = importlib.util.find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        raise InputError(f"{setting} {name!r}: there is no installed package {package!r}; install it with pip")
    folder = Path(next(iter(found.submodule_search_locations))).resolve()
    path = (folder / inner).resolve()
    if not path.is_relative_to(folder):
        raise InputError(f"{setting} {name!r} leaves the package's folder {folder}")
    if not path.exists():
        raise InputError(f"{setting} {name!r}: {path} does not exist in the installed package")
    return path
