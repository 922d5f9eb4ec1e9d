"""The source measure: shards of vectors that are read again on every pass, with weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.problem import DEFAULT, Problem

_CHECKED_ROWS = 2048  # few enough to stay in the processor's cache while they are checked
_ROUNDING = 1e-6

Shards: TypeAlias = "Tensor | np.ndarray[Any, Any] | Sequence[Any]"
Weights: TypeAlias = "Tensor | np.ndarray[Any, Any]"


@dataclasses.dataclass(frozen=True)
class Block:
    """Consecutive rows of the source: `points` (n, D), their `weights` (n,) float64, and where they stand."""

    start: int
    points: Tensor
    weights: Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedSource:
    """A source that was read once and found sound.

    Attributes:
        shards: arrays or tensors (n_k, D), re-readable, in any floating dtype.
        lengths: their n_k.
        weights: (N,) float64, summing to 1.
        max_norm: largest Euclidean norm of a row after subtraction of `centre`.
        centre: (D,) float64 subtracted from every row; costs depend on differences only, and small numbers are more
            exact in float32.
        device: where blocks are put.
        dtype: torch.float32 or torch.float64, of the blocks.
    """

    shards: Sequence[Any]
    lengths: Sequence[int]
    weights: Tensor
    max_norm: float
    centre: Tensor
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(
        cls,
        shards: Shards | PreparedSource,
        centre: Tensor,
        problem: Problem = DEFAULT,
        *,
        weights: Weights | None = None,
    ) -> PreparedSource:
        """Read a source once, check its shapes and numbers, and measure its norms, so that several solves need not.

        Args:
            shards: (N, D) tensor or array, or a sequence of such shards that can be read again. One that is prepared
                already is not read.
            centre: (D,) float64, where the targets are: the `centre` of a sketch.
            problem: says on which device and in which dtype passes over it are made.
            weights: (N,), of any sum; uniform by default, or those that a prepared source has.

        Raises:
            TransportError: the source is empty, shapes differ, a number is NaN or infinite (shard and row are named),
                weights are negative, of the wrong length, or sum to zero, or a prepared source is for another device
                or dtype.
        """
        if isinstance(shards, PreparedSource):
            shards._check_fits(len(centre), problem)
            if weights is None:
                return shards
            return shards.weighted(normalised_weights(weights, shards.n_rows, "source"))
        parts = shard_list(shards)
        device, dtype = problem.torch_device, problem.torch_dtype
        offset = centre.to(device, dtype)
        norms = [_largest_norm(number, shard, offset) for number, shard in enumerate(parts)]
        lengths = [int(shard.shape[0]) for shard in parts]
        if sum(lengths) == 0:
            raise TransportError("the source has no points: nothing can be transported")
        mass = normalised_weights(weights, sum(lengths), "source")
        return cls(parts, lengths, mass, max(norms), centre, device, dtype)

    def weighted(self, weights: Weights) -> PreparedSource:
        """The same points, of which each has its share `weights` (N,) of the mass.

        Raises:
            TransportError: they are negative, not finite, of the wrong length, or do not sum to 1.
        """
        shares = checked_weights(weights, self.n_rows, "source")
        total = float(shares.sum())
        if abs(total - 1) > _ROUNDING:
            raise TransportError(f"the weights of a prepared source sum to {total:.6g}; divide them by their sum")
        return dataclasses.replace(self, weights=shares.clone())

    def _check_fits(self, dimension: int, problem: Problem) -> None:
        if len(self.centre) != dimension:
            raise TransportError(
                f"the source was prepared with points of dimension {len(self.centre)}, the target's have {dimension}: "
                "were both embedded by the same encoder?"
            )
        mine, asked = (self.device, self.dtype), (problem.torch_device, problem.torch_dtype)
        if mine != asked:
            raise TransportError(
                f"the source was prepared for {self.device} and {self.dtype}, the problem asks for {asked[0]} and "
                f"{asked[1]}: prepare it with PreparedSource.of(…, problem)"
            )

    @property
    def n_rows(self) -> int:
        """Number of source points N."""
        return len(self.weights)

    def blocks(self, rows: int, part: int = 0, parts: int = 1) -> Iterator[Block]:
        """The source in order, at most `rows` rows at a time; or one of `parts` nearly equal parts of it.

        A shard is read once for all its blocks.
        """
        centre = self.centre.to(self.device, self.dtype)
        first, last = self.n_rows * part // parts, self.n_rows * (part + 1) // parts
        start = 0
        for number, length in enumerate(self.lengths):
            low, high = max(first - start, 0), min(last - start, length)
            if low < high:
                shard = self.shards[number]
                for begin in range(low, high, rows):
                    end = min(begin + rows, high)
                    points = as_tensor(shard[begin:end], self.device, self.dtype) - centre
                    yield Block(start + begin, points, self.weights[start + begin : start + end])
            start += length

    def part(self, indices: Tensor, weights: Tensor | None = None) -> PreparedSource:
        """Rows at ascending `indices` (n,) as a source in memory, with `weights` (n,) float64, uniform by default."""
        uniform = torch.full((len(indices),), 1 / len(indices), dtype=torch.float64)
        return PreparedSource(
            [self.take(indices)],
            [len(indices)],
            uniform if weights is None else weights,
            self.max_norm,
            torch.zeros_like(self.centre),
            self.device,
            self.dtype,
        )

    def take(self, indices: Tensor) -> Tensor:
        """Rows at ascending `indices` (n,), as one (n, D) tensor."""
        centre = self.centre.to(self.device, self.dtype)
        wanted = indices.numpy()
        parts, start = [], 0
        for number, length in enumerate(self.lengths):
            local = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + length)] - start
            if len(local):
                shard = self.shards[number]
                rows = shard[torch.from_numpy(local)] if isinstance(shard, Tensor) else np.asarray(shard[local])
                parts.append(as_tensor(rows, self.device, self.dtype) - centre)
            start += length
        return torch.cat(parts)


def _largest_norm(number: int, shard: Any, centre: Tensor) -> float:
    """Of the rows of source shard `number`, less `centre` (D,)."""
    shape = tuple(shard.shape)
    if len(shape) != 2 or shape[1] != len(centre):
        raise TransportError(
            f"source shard {number} has shape {shape}, expected (n, {len(centre)}) like the target's points: "
            "were both embedded by the same encoder?"
        )
    largest = 0.0
    for begin in range(0, shape[0], _CHECKED_ROWS):
        rows = as_tensor(shard[begin : begin + _CHECKED_ROWS], centre.device, centre.dtype)
        squared = (rows - centre).square_().sum(1)
        worst = squared.max()
        if not torch.isfinite(worst):
            row = begin + int((~torch.isfinite(squared)).nonzero()[0, 0])
            raise TransportError(
                f"source shard {number}, row {row} holds NaN or an infinity (or overflows): remove or repair that "
                "vector before solving"
            )
        largest = max(largest, float(worst))
    return math.sqrt(largest)


def shard_list(source: Shards) -> Sequence[Any]:
    """One array is one shard; a sequence of arrays is taken as it is."""
    if isinstance(source, Tensor) or (isinstance(source, np.ndarray) and source.dtype != object):
        return [source]
    if not isinstance(source, Sequence):
        raise TransportError(
            f"the source is a {type(source).__name__}; expected an (N, D) tensor or array, or a sequence of such "
            "shards that can be read more than once (not a generator)"
        )
    return source


def as_tensor(rows: Any, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`rows` as a tensor of its own on `device`; memory-mapped arrays are copied, never written to."""
    if isinstance(rows, Tensor):
        return rows.detach().to(device, dtype)
    array = np.asarray(rows)
    if not np.issubdtype(array.dtype, np.floating):
        raise TransportError(f"vectors have dtype {array.dtype}; expected a floating one")
    target = np.float64 if dtype == torch.float64 else np.float32
    return torch.from_numpy(np.array(array, dtype=target)).to(device)


def normalised_weights(weights: Weights | None, length: int, name: str) -> Tensor:
    """`weights` as (length,) float64 on the CPU, summing to 1; uniform when None.

    Raises:
        TransportError: negative, not finite, of the wrong length, or all zero.
    """
    if weights is None:
        return torch.full((length,), 1.0 / length, dtype=torch.float64)
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
    values = torch.as_tensor(weights).detach().to("cpu", torch.float64).flatten()
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
