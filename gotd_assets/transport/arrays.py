"""What is taken for points and weights: tensors, arrays, frames, and whatever speaks `__array__` or DLPack."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
import torch.utils.dlpack
from torch import Tensor

from gotd_assets.errors import TransportError


def shard_list(points: Any) -> Sequence[Any]:
    """One array is one shard; a sequence of arrays is taken as it is, one of rows of numbers is an array.

    Raises:
        TransportError: it is none of these, or can be read only once.
    """
    if _is_array(points):
        return [points]
    if not isinstance(points, Sequence) or isinstance(points, str | bytes):
        raise TransportError(
            f"the points are a {type(points).__name__}; expected an (N, D) tensor or array, or a sequence of such "
            "shards that can be read more than once (not a generator)"
        )
    if points and isinstance(points[0], Sequence) and points[0] and isinstance(points[0][0], Real):
        return [np.asarray(points, dtype=np.float64)]
    return points


def _is_array(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return bool(value.dtype != object)
    return isinstance(value, Tensor) or hasattr(value, "__dlpack__") or hasattr(value, "__array__")


def as_shard(value: Any) -> Any:
    """`value` as a tensor or a (possibly memory-mapped) array that can be cut into rows.

    Raises:
        TransportError: it is not an array, or its numbers are not floating ones.
    """
    if isinstance(value, Tensor | np.ndarray):
        shard: Any = value
    elif hasattr(value, "__array__"):
        shard = np.asarray(value)
    elif hasattr(value, "__dlpack__"):
        shard = torch.utils.dlpack.from_dlpack(value)
    else:
        raise TransportError(f"a shard of points is a {type(value).__name__}; expected an (n, D) tensor or array")
    kind = shard.dtype
    if not (kind.is_floating_point if isinstance(shard, Tensor) else np.issubdtype(kind, np.floating)):
        raise TransportError(f"vectors have dtype {kind}; expected a floating one")
    return shard


def as_tensor(rows: Any, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`rows` as a tensor of its own on `device`; memory-mapped arrays are copied, never written to."""
    shard = as_shard(rows)
    if isinstance(shard, Tensor):
        return shard.detach().to(device, dtype)
    target = np.float64 if dtype == torch.float64 else np.float32
    return torch.from_numpy(np.array(shard, dtype=target)).to(device)


def as_vector(values: Any, name: str) -> Tensor:
    """`values` as a vector (n,) float64 on the CPU.

    Raises:
        TransportError: they are no numbers, complex or boolean ones among them.
    """
    try:
        found = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError) as error:
        raise TransportError(f"{name} weights are no numbers: {error}") from error
    if found.dtype == torch.bool or found.is_complex():
        raise TransportError(f"{name} weights are {found.dtype}; expected real numbers")
    return found.to("cpu", torch.float64).flatten()
