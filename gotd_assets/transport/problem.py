"""What is asked of transport, whichever the source and the target."""

from __future__ import annotations

import dataclasses
import math
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias, get_args

import torch

from gotd_assets.errors import TransportError
from gotd_assets.execution.device import device_named
from gotd_assets.transport.kernel import CostName
from gotd_assets.transport.products import Products

EpsilonScale: TypeAlias = Literal["absolute", "mean", "median"]
SolverName: TypeAlias = Literal["semidual", "geomloss"]
Dtype: TypeAlias = Literal["float32", "float64"]

_WORDS: dict[str, Any] = {
    "cost": CostName,
    "epsilon_scale": EpsilonScale,
    "solver": SolverName,
    "dtype": Dtype,
    "products": Products,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """The entropic transport problem min ⟨C,P⟩ + ε KL(P | a⊗b), how exactly it is to be solved, and where.

    Attributes:
        cost: C, 'sqeuclidean' is ½‖x−y‖² (1 − cosine on unit vectors), 'euclidean' is ‖x−y‖.
        epsilon: ε, the entropic regularisation (Cuturi 2013), in units of the cost or of `epsilon_scale`; geomloss
            calls its p-th root `blur`.
        epsilon_scale: what epsilon is a multiple of: 1, or the mean or median cost between source and target.
        reach: distance beyond which the target's mass may stay unserved (unbalanced transport, Séjourné et al. 2019; of
            the target's marginal only, where geomloss relaxes both), in units of distance; None for never.
        tolerance: marginal error ‖Pᵀ1 − b‖₁ to reach.
        overlap: share of the best `top_share` of the rows that is to be the same at the optimum, as predicted; 0 asks for
            nothing.
        score_error: largest error of a score, as predicted, in units of ε; `math.inf` asks for nothing.
        top_share: which share of the rows is to be selected.
        max_passes: passes over the source after which a solve ends without convergence.
        solver: 'semidual', or 'geomloss' as the reference.
        dtype: arithmetic of the passes; sums are float64 always.
        products: of the couplings' matrix products with dtype float32: 'float32', or 'reduced' for TF32 on CUDA and
            bfloat16 on processors with units for matrices (AMX). Only a solve's passes before the last go by them: the certificate is of
            float32 products, as scores are, and says how large the error of the others is. It can help where couplings
            are not cached.
        device: 'auto' (CUDA if there is a device, else the CPU), 'cpu', 'cuda', 'cuda:1', …: of solves and of scores.
        memory_bytes: for couplings that a solve keeps between passes if all of them fit; else they are computed anew in every pass,
            to the same bytes. 0 keeps none.

    Raises:
        TransportError: a word is unknown, a number is none or out of range, 'reduced' products are asked for in
            float64, or the device is not one of this machine.
    """

    cost: CostName = "sqeuclidean"
    epsilon: float = 0.05
    epsilon_scale: EpsilonScale = "absolute"
    reach: float | None = None
    tolerance: float = 1e-2
    overlap: float = 0.99
    score_error: float = 1.0
    top_share: float = 0.01
    max_passes: int = 500
    solver: SolverName = "semidual"
    dtype: Dtype = "float32"
    products: Products = "float32"
    device: str = "auto"
    memory_bytes: int = 2 * 2**30

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            value, known = getattr(self, name), get_args(words)
            if value not in known:
                raise TransportError(f"{name} {value!r} is not known: use {' or '.join(map(repr, known))}")
        if self.products == "reduced" and self.dtype == "float64":
            raise TransportError("products 'reduced' with dtype 'float64': use 'float32', or 'reduced' with float32")
        for name in ("epsilon", "tolerance", "reach"):
            value = getattr(self, name)
            if value is not None or name != "reach":
                object.__setattr__(self, name, positive(name, value))
        for name in ("overlap", "top_share"):
            object.__setattr__(self, name, _share(name, getattr(self, name)))
        object.__setattr__(self, "score_error", positive("score_error", self.score_error, infinite=True))
        for name, least in (("max_passes", 1), ("memory_bytes", 0)):
            object.__setattr__(self, name, _whole(name, getattr(self, name), least=least))
        if self.reach is not None and self.solver == "geomloss":
            raise TransportError(
                "solver 'geomloss' with a reach relaxes both marginals, this problem only the target's: use 'semidual'"
            )
        if self.device != "auto":
            resolve_device(self.device)

    @property
    def rho(self) -> float | None:
        """The weight of the relaxed marginal's divergence, in units of the cost, as geomloss derives it from `reach`."""
        if self.reach is None:
            return None
        return self.reach**2 if self.cost == "sqeuclidean" else self.reach

    @property
    def torch_device(self) -> torch.device:
        """Where it is computed."""
        return resolve_device(self.device)

    @property
    def torch_dtype(self) -> torch.dtype:
        """In what its passes compute."""
        return torch.float64 if self.dtype == "float64" else torch.float32


def resolve_device(name: str) -> torch.device:
    """`name`, or for 'auto' the first CUDA device if there is one, else the CPU.

    Raises:
        TransportError: the device is not one of this machine, or lacks float64, in which sums are taken.
    """
    try:
        return device_named(name, needs_float64=True)
    except ValueError as error:
        raise TransportError(f"device {error}") from error


def _share(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise TransportError(f"{name} is {value!r}; it must be a number from 0 to 1")
    return float(value)


def positive(name: str, value: object, *, infinite: bool = False) -> float:
    """`value` as a plain number: one of NumPy's could not be saved.

    Raises:
        TransportError: it is none, or not positive, or (unless it may be `infinite`) not finite.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TransportError(f"{name} is {value!r}; it must be a number")
    number = float(value)
    if not 0 < number < math.inf and not (infinite and number == math.inf):
        raise TransportError(f"{name} is {number}; it must be positive and finite")
    return number


def _whole(name: str, value: object, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise TransportError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return int(value)


DEFAULT = Problem()
"""All as it is where nothing is said."""
