"""Solved potentials with their certificate, and what they say about any point."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.kernel import CostName, Kernel
from gotd_assets.transport.products import Products
from gotd_assets.transport.sketch import Sketch, read_tensors, write_tensors
from gotd_assets.transport.source import as_tensor, resolve_device

_BLOCK_ELEMENTS = 4_000_000


@dataclasses.dataclass(frozen=True)
class Certificate:
    """How good a solve is, and what it took.

    Attributes:
        dual_value: H(g), a lower bound on the entropic transport cost.
        primal_upper_bound: cost of a feasible plan, an upper bound on it.
        gap: primal_upper_bound − dual_value; the optimum lies in between.
        marginal_error: ‖Pᵀ1 − b‖₁ of the returned g, from couplings that were neither reduced nor rounded.
        tolerance: the marginal error asked for.
        converged: marginal_error ≤ tolerance.
        passes: passes over the whole source; the last one certifies.
        subsample_passes: passes over a subsample of `subsample_rows` rows that prepared them.
        subsample_rows: rows of the subsample; 0 if the whole source was used from the start.
        seconds: wall-clock time of the solve.
        epsilon: absolute entropic regularisation.
        n_source: N.
        n_target: M.
        solver: 'semidual' or 'geomloss'.
        cached: whether couplings were cached between passes.
        dtype: arithmetic of the passes.
        device: where they ran.
        products: 'float32' or 'reduced' (see `solve`), of all passes but the certifying one.
        product_error: the largest error of a reduced coupling found on the subsample, in units of ε; else 0.
    """

    dual_value: float
    primal_upper_bound: float
    gap: float
    marginal_error: float
    tolerance: float
    converged: bool
    passes: int
    subsample_passes: int
    subsample_rows: int
    seconds: float
    epsilon: float
    n_source: int
    n_target: int
    solver: str
    cached: bool
    dtype: str
    device: str
    products: Products = "float32"
    product_error: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and words."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, eq=False)
class Potentials:
    """Optimal dual potentials between a source and a target sketch.

    Attributes:
        g: (M,) float64, the target potential.
        sketch: the target the potentials belong to.
        cost: 'sqeuclidean' or 'euclidean'.
        epsilon: absolute entropic regularisation.
        reach: of the unbalanced target marginal, or None.
        mean_f: Σ a_i f(x_i) over the source: the constant that calibrates scores.
        certificate: how exact all this is.
        f: (N,) float32, the source potential at the rows that were solved for, or None. Scores do not need it; a later
            solve of the same rows learns from it which of them a changed target concerns.
        column: (M,) float64, the column marginal Pᵀ1 that goes with f, or None.
        self_sketch: points of the source that carry its self-potential, for debiased scores, or None.
        self_g: (K,) float64, the self-potential on `self_sketch`, or None.
    """

    g: Tensor
    sketch: Sketch
    cost: CostName
    epsilon: float
    reach: float | None
    mean_f: float
    certificate: Certificate
    f: Tensor | None = None
    column: Tensor | None = None
    self_sketch: Sketch | None = None
    self_g: Tensor | None = None

    def scores(self, points: Any, *, device: str = "auto") -> Tensor:
        """Calibrated gradient f(x) − Σ a_i f_i of the transport cost at `points` (n, D); (n,) float64 on the CPU.

        Negative: adding mass there brings the source closer to the target. Points need not belong to the source. With
        a self-potential (debiased), f is reduced by it: the gradient of the Sinkhorn divergence.
        """
        return self.soft_c_transform(points, device=device) - self.mean_f

    def soft_c_transform(self, points: Any, *, device: str = "auto") -> Tensor:
        """f(x) = −ε log Σ_j b_j exp((g_j − C(x, y_j))/ε) at `points` (n, D), less the self-potential if there is one."""
        f = soft_c_transform(points, self.g, self.sketch, self.cost, self.epsilon, device=device)
        if self.self_sketch is not None and self.self_g is not None:
            f -= soft_c_transform(points, self.self_g, self.self_sketch, self.cost, self.epsilon, device=device)
        return f

    def target_pull(self, points: Any, k: int = 5, *, device: str = "auto") -> tuple[Tensor, Tensor]:
        """Which sketch points draw each of `points` (n, D): indices (n, k) and their shares of its mass (n, k).

        The shares are a row of the transport plan divided by the row's mass; they sum to 1 over all M.
        """
        kernel, rows = self._kernel(points, device)
        exponent = kernel.coupling(rows).double() / self.epsilon + self._bias(kernel)
        shares = torch.softmax(exponent, dim=1)
        mass, index = shares.topk(min(k, shares.shape[1]), dim=1)
        return index.cpu(), mass.cpu()

    def save(self, path: Path) -> None:
        """Write potentials, sketch and certificate to a safetensors file at `path`."""
        tensors = {"g": self.g, "points": self.sketch.points, "weights": self.sketch.weights}
        if self.f is not None and self.column is not None:
            tensors |= {"f": self.f, "column": self.column}
        if self.self_sketch is not None and self.self_g is not None:
            tensors |= {
                "self_g": self.self_g,
                "self_points": self.self_sketch.points,
                "self_weights": self.self_sketch.weights,
            }
        facts = {
            "cost": self.cost,
            "epsilon": self.epsilon,
            "reach": self.reach,
            "mean_f": self.mean_f,
            "certificate": self.certificate.as_dict(),
            "sketch": {"method": self.sketch.method, "error": self.sketch.error},
        }
        write_tensors(path, tensors, {"potentials": json.dumps(facts)})

    @classmethod
    def load(cls, path: Path) -> Potentials:
        """Read what `save` wrote.

        Raises:
            TransportError: the file is missing or is not a potentials file.
        """
        tensors, metadata = read_tensors(path)
        try:
            facts = json.loads(metadata["potentials"])
            sketch = Sketch(tensors["points"], tensors["weights"], **facts["sketch"])
            self_sketch = (
                Sketch(tensors["self_points"], tensors["self_weights"], method="random", error=None)
                if "self_points" in tensors
                else None
            )
            return cls(
                g=tensors["g"],
                sketch=sketch,
                cost=facts["cost"],
                epsilon=facts["epsilon"],
                reach=facts["reach"],
                mean_f=facts["mean_f"],
                certificate=Certificate(**facts["certificate"]),
                f=tensors.get("f"),
                column=tensors.get("column"),
                self_sketch=self_sketch,
                self_g=tensors.get("self_g"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TransportError(f"{path} is not a potentials file of this version: {error}") from error

    def _kernel(self, points: Any, device: str) -> tuple[Kernel, Tensor]:
        where = resolve_device(device)
        centre = self.sketch.centre.to(where)
        kernel = Kernel(self.cost, (self.sketch.points.to(where, torch.float64) - centre).float())
        return kernel, (as_tensor(points, where, torch.float64) - centre).float()

    def _bias(self, kernel: Kernel) -> Tensor:
        log_b = self.sketch.weights.log().to(kernel.targets.device)
        return (self.g.to(kernel.targets.device) - kernel.target_part()) / self.epsilon + log_b


def soft_c_transform(
    points: Any, g: Tensor, sketch: Sketch, cost: CostName, epsilon: float, *, device: str = "auto"
) -> Tensor:
    """f(x) = −ε log Σ_j b_j exp((g_j − C(x, y_j))/ε) at `points` (n, D); (n,) float64 on the CPU.

    Raises:
        TransportError: `points` have another dimension than the sketch, or hold NaN.
    """
    where = resolve_device(device)
    if points.ndim != 2 or points.shape[1] != sketch.points.shape[1]:
        raise TransportError(f"points have shape {tuple(points.shape)}, expected (n, {sketch.points.shape[1]})")
    dtype = torch.float64 if points.dtype in (torch.float64, "float64") else torch.float32
    centre = sketch.centre.to(where, dtype)
    kernel = Kernel(cost, sketch.points.to(where, dtype) - centre)
    bias = ((g.to(where) - kernel.target_part()) / epsilon + sketch.weights.to(where).log()).to(dtype)
    rows_per_block = max(64, _BLOCK_ELEMENTS // len(g))
    parts = []
    for begin in range(0, len(points), rows_per_block):
        rows = as_tensor(points[begin : begin + rows_per_block], where, dtype) - centre
        exponent = kernel.coupling(rows).mul_(1 / epsilon).add_(bias)
        maximum = exponent.amax(dim=1, keepdim=True)
        kernel_sum = exponent.sub_(maximum).clamp_min_(-80.0).exp_().sum(dim=1)
        parts.append(kernel.source_part(rows).double() - epsilon * (maximum[:, 0].double() + kernel_sum.double().log()))
    f = torch.cat(parts).cpu() if parts else torch.empty(0, dtype=torch.float64)
    if bool(torch.isnan(f).any()):
        raise TransportError(f"point {int(torch.isnan(f).nonzero()[0, 0])} holds NaN: it cannot be scored")
    return f
