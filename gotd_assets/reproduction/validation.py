"""What a record says, taken up as settings of this version on this machine."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from gotd_assets.errors import InputError
from gotd_assets.reproduction.record import Recorded

_Section = TypeVar("_Section")


def known(section: Callable[..., _Section], made: Recorded, values: Mapping[str, Any]) -> _Section:
    """`section` with the recorded `values`.

    Raises:
        InputError: this version does not know such settings.
    """
    try:
        return section(**values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InputError(
            f"{made.key} version {made.version} was made with settings that this version of gotd-assets does not know "
            f"({problems}): install gotd-assets {made.packages.get('gotd-assets', 'of that time')} to make it again"
        ) from error


def recorded_files(made: Recorded, apart: object, root: Path) -> list[str]:
    """The files that `made` was read from, in their order, without those that the paths `apart` mean."""
    patterns: Sequence[object] = [] if apart is None else apart if isinstance(apart, list) else [apart]
    return [name for name in made.source_files if not any(_means(str(pattern), name, root) for pattern in patterns)]


def available_device(recorded: str | None) -> str:
    """The recorded device, or 'auto' where this machine has no such: that it is another is told if bytes differ."""
    if recorded is None or not recorded.startswith("cuda"):
        return recorded or "auto"
    import torch

    index = int(recorded.partition(":")[2] or 0)
    return recorded if index < torch.cuda.device_count() else "auto"


def _means(pattern: str, name: str, root: Path) -> bool:
    """Whether a path of gotd.yaml (file, folder, glob or URL) means the file `name`."""
    whole, file = (text if "://" in text else os.path.normpath(root / text) for text in (pattern, name))
    if file == whole or file.startswith(f"{whole.rstrip('/')}/"):
        return True
    # Only what stands in gotd.yaml is a pattern, not the folder it is in; and brackets may be part of a name.
    place = Path(glob.escape(str(root)))
    patterns = (pattern, pattern.replace("[", "[[]"))
    return any(fnmatch.fnmatch(file, one if "://" in one else os.path.normpath(place / one)) for one in patterns)
