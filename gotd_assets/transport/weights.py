"""Weights of points, and draws by them."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.arrays import as_vector

Weights: TypeAlias = Any
"""(N,) numbers: a tensor, an array, a series, a list."""


def normalised_weights(weights: Weights | None, length: int, name: str) -> Tensor:
    """`weights` as (length,) float64 on the CPU, summing to 1; uniform when None.

    Raises:
        TransportError: negative, not finite, of the wrong length, or all zero.
    """
    if weights is None:
        return torch.tensor([1.0 / length], dtype=torch.float64).expand(length)
    values = checked_weights(weights, length, name)
    total = float(values.sum())
    if total <= 0:
        raise TransportError(f"{name} weights are all zero")
    return values / total


def checked_weights(weights: Weights, length: int, name: str) -> Tensor:
    """`weights` as (length,) float64 on the CPU.

    Raises:
        TransportError: negative, not finite, or of the wrong length.
    """
    values = as_vector(weights, name)
    if len(values) != length:
        raise TransportError(f"{name} weights have length {len(values)}, but there are {length} points")
    if not bool(torch.isfinite(values).all()) or bool((values < 0).any()):
        row = int(((~torch.isfinite(values)) | (values < 0)).nonzero()[0, 0])
        raise TransportError(f"{name} weight {row} is {float(values[row])}; weights must be finite and not negative")
    return values


def draw_rows(weights: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """`size` ascending row indices (size,), each row expected size·weight times, by systematic resampling.

    Unlike `torch.multinomial` it has no limit of 2²⁴ rows, never draws a row of weight zero, and rows of more weight
    than 1/size are repeated rather than under-represented.
    """
    cumulative = weights.cumsum(0)
    uniform = torch.rand((), generator=generator, dtype=torch.float64)
    wanted = (torch.arange(size, dtype=torch.float64) + uniform) / size * cumulative[-1]
    last = int(weights.nonzero()[-1, 0])
    return torch.searchsorted(cumulative, wanted, right=True).clamp_max_(last)
