"""The semi-dual of entropic optimal transport, evaluated in one pass over the source.

With the target potential g as the only unknown,

    H(g) = Σ_i a_i f(x_i) + Σ_j b_j g_j,    f(x) = −ε log Σ_j b_j exp((g_j − C(x, y_j))/ε),

and ∇H = b − Pᵀ1 where P_ij = a_i b_j exp((f_i + g_j − C_ij)/ε) has exact row marginals (Cuturi & Peyré 2018, "Semi-dual
regularized optimal transport"; Genevay et al. 2016). A pass needs one exponential per element and never holds more than
one block of P. With `reach`, the target marginal is relaxed by ρ times the Kullback–Leibler divergence, as geomloss does for both marginals (ρ = reach for
the Euclidean cost, reach² for ½‖x−y‖²): Σ b_j g_j becomes −ρ Σ b_j (e^{−g_j/ρ} − 1).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.source import PreparedSource

# exp of less than this is no longer a normal number; arithmetic on the others is several times slower.
_LOWEST_EXPONENT = {torch.float32: -80.0, torch.float64: -700.0}
# A cached coupling is off by at most half a step: more than ε/50 would show in the marginals.
_LARGEST_STEP_PER_EPSILON = 1 / 25


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """H and its gradient at one g.

    Attributes:
        value: H(g).
        column: (M,) float64, the column marginal Pᵀ1.
        gradient: (M,) float64, ∇H(g).
        error: ‖∇H(g)‖₁, the marginal error.
        mean_f: Σ a_i f_i.
    """

    value: float
    column: Tensor
    gradient: Tensor
    error: float
    mean_f: float


class SemiDual:
    """H for one source, one target and one ε; couplings are cached if they fit the memory budget."""

    def __init__(
        self,
        source: PreparedSource,
        kernel: Kernel,
        target_weights: Tensor,
        epsilon: float,
        *,
        rho: float | None,
        block_rows: int,
        cache_bytes: int,
    ) -> None:
        self.source = source
        self.kernel = kernel
        self.b = target_weights
        self.epsilon = epsilon
        self.rho = rho
        self.block_rows = block_rows
        self._cache = _plan_cache(source, kernel, epsilon, cache_bytes)
        self._target_part = kernel.target_part().cpu()
        self._log_b = torch.where(self.b > 0, self.b.log(), -torch.inf)

    @property
    def caches(self) -> bool:
        """Whether couplings are kept between passes."""
        return self._cache is not None

    def bias(self, g: Tensor, epsilon: float) -> Tensor:
        """(g_j − c_j)/ε + log b_j, the exponent's part of the target alone, in the working precision."""
        bias = (g - self._target_part) / epsilon + self._log_b
        return bias.to(self.source.device, self.source.dtype)

    def evaluate(self, g: Tensor, epsilon: float | None = None) -> Evaluation:
        """One pass: H(g), the column marginal and the gradient; `epsilon` overrides ε for annealing."""
        epsilon = self.epsilon if epsilon is None else epsilon
        bias = self.bias(g, epsilon)
        column = torch.zeros(len(self.b), dtype=torch.float64, device=self.source.device)
        total = torch.zeros((), dtype=torch.float64, device=self.source.device)
        for rows, weights, exponent in self._exponents(bias, epsilon):
            f, kernel_sum = _soft_minimum(exponent, rows, epsilon)
            column += torch.mv(exponent.T, (weights / kernel_sum).to(exponent.dtype)).double()
            total += torch.dot(weights, f.double())
        return self._evaluation(g, column.cpu(), float(total))

    def curvature(self, g: Tensor) -> tuple[Evaluation, Tensor]:
        """`evaluate`, and ε times the negative Hessian: diag(Pᵀ1) − Pᵀ diag(1/a) P, (M, M) float64."""
        bias = self.bias(g, self.epsilon)
        size = len(self.b)
        column = torch.zeros(size, dtype=torch.float64, device=self.source.device)
        product = torch.zeros(size, size, dtype=self.source.dtype, device=self.source.device)
        total = torch.zeros((), dtype=torch.float64, device=self.source.device)
        for rows, weights, exponent in self._exponents(bias, self.epsilon):
            f, kernel_sum = _soft_minimum(exponent, rows, self.epsilon)
            total += torch.dot(weights, f.double())
            exponent.mul_((weights.sqrt() / kernel_sum).to(exponent.dtype)[:, None])
            product.addmm_(exponent.T, exponent)
            column += torch.mv(exponent.T, weights.sqrt().to(exponent.dtype)).double()
        curvature = product.double().cpu().neg_()
        curvature.diagonal().add_(column.cpu())
        if self.rho is not None:
            curvature.diagonal().add_(self.epsilon / self.rho * self.b * torch.exp(-g / self.rho))
        return self._evaluation(g, column.cpu(), float(total)), curvature

    def sinkhorn_step(self, g: Tensor, column: Tensor, epsilon: float | None = None) -> Tensor:
        """The next target potential of Sinkhorn's algorithm, which never lowers H."""
        epsilon = self.epsilon if epsilon is None else epsilon
        usable = (self.b > 0) & (column > 0)
        ratio = torch.where(usable, self._log_b - column.log(), 0.0)
        # Nothing reaches the points with column 0 (underflow): raise them by as much as can be told.
        ratio = torch.where((self.b > 0) & (column <= 0), 50.0, ratio)
        step = g + epsilon * ratio
        return step if self.rho is None else step * (self.rho / (self.rho + epsilon))

    def rounding(self, g: Tensor, column: Tensor) -> tuple[Evaluation, float]:
        """H(g) by exact couplings, and the cost of a feasible plan: an upper bound on the primal.

        The plan of g has the column marginal `column`; columns that carry too much are scaled down and what is missing
        is added as a rank-one plan (Altschuler, Weed & Rigollet 2017, Algorithm 2). The entropic cost of the sum is
        bounded by convexity. With `reach` every plan is feasible and its own cost is taken.
        """
        bias = self.bias(g, self.epsilon)
        device = self.source.device
        scale = torch.where(column > 0, (self.b / column.clamp_min(1e-300)).clamp_max(1.0), 1.0).to(device)
        missing = (self.b - column * scale.cpu()).clamp_min(0.0)
        target_part = self._target_part.to(device)
        new_column = torch.zeros(len(self.b), dtype=torch.float64, device=device)
        sums = torch.zeros(4, dtype=torch.float64, device=device)
        buffer = torch.empty(self.block_rows, len(self.b), device=device, dtype=self.source.dtype)
        for block in self.source.blocks(self.block_rows):
            weights = block.weights.to(device)
            rows = self.kernel.source_part(block.points).double()
            coupling = self.kernel.coupling(block.points, buffer[: len(block.points)])
            missing_cost = rows * missing.sum().to(device) + (
                (target_part * missing.to(device)).sum()
                - torch.mv(coupling, missing.to(device, coupling.dtype)).double()
            )
            exponent = coupling.mul_(1 / self.epsilon).add_(bias)
            f, kernel_sum = _soft_minimum(exponent, rows, self.epsilon)
            share = (weights / kernel_sum).to(exponent.dtype)
            new_column += torch.mv(exponent.T, share).double()
            kept = torch.mv(exponent, scale.to(exponent.dtype)).double() * share.double()
            deficit = (weights - kept).clamp_min_(0.0)
            entropy = torch.where(deficit > 0, deficit * (deficit / weights.clamp_min(1e-300)).log(), 0.0)
            sums += torch.stack(
                [
                    torch.dot(weights, f.double()),
                    torch.dot(weights - deficit, f.double()),
                    torch.dot(deficit, missing_cost),
                    entropy.sum(),
                ]
            )
        evaluation = self._evaluation(g, new_column.cpu(), float(sums[0]))
        if self.rho is not None:
            return evaluation, self._unbalanced_cost(g, new_column.cpu(), evaluation.mean_f)
        return evaluation, self._rounded_cost(g, column * scale.cpu(), scale.cpu().log(), missing, sums.cpu())

    def _rounded_cost(self, g: Tensor, kept: Tensor, log_scale: Tensor, missing: Tensor, sums: Tensor) -> float:
        mass = float(missing.sum())
        scaled = float(sums[1]) + float((kept * (g + self.epsilon * log_scale)).sum())
        if mass <= 1e-15:
            return scaled
        scaled = scaled / (1 - mass) - self.epsilon * math.log1p(-mass)
        row_entropy = (float(sums[3]) - mass * math.log(mass)) / mass
        used = missing > 0
        ratio = missing[used] / self.b[used]
        column_entropy = (float((missing[used] * ratio.log()).sum()) - mass * math.log(mass)) / mass
        added = float(sums[2]) / mass**2 + self.epsilon * (row_entropy + column_entropy)
        return (1 - mass) * scaled + mass * added

    def _unbalanced_cost(self, g: Tensor, column: Tensor, mean_f: float) -> float:
        if self.rho is None:
            raise RuntimeError("the plan of a balanced problem must be rounded")
        used = (column > 0) & (self.b > 0)
        divergence = (column[used] * (column[used] / self.b[used]).log()).sum() - column.sum() + self.b.sum()
        return mean_f + float((column * g).sum()) + self.rho * float(divergence)

    def _evaluation(self, g: Tensor, column: Tensor, mean_f: float) -> Evaluation:
        if self.rho is None:
            wanted, gain = self.b, float((self.b * g).sum())
        else:
            wanted = self.b * torch.exp(-g / self.rho)
            gain = -self.rho * float((self.b * torch.expm1(-g / self.rho)).sum())
        gradient = wanted - column
        return Evaluation(mean_f + gain, column, gradient, float(gradient.abs().sum()), mean_f)

    def _exponents(self, bias: Tensor, epsilon: float) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Block by block: r (n,) of the rows, their weights (n,) float64, and the exponent (n, M), free to overwrite."""
        buffer = torch.empty(self.block_rows, len(self.b), device=self.source.device, dtype=self.source.dtype)
        if self._cache is not None and self._cache.filled:
            for rows, weights, stored in self._cache.blocks():
                out = buffer[: len(stored)]
                out.copy_(stored)
                yield rows, weights, out.mul_(self._cache.step / epsilon).add_(bias)
            return
        for block in self.source.blocks(self.block_rows):
            out = buffer[: len(block.points)]
            coupling = self.kernel.coupling(block.points, out)
            rows = self.kernel.source_part(block.points).double()
            weights = block.weights.to(self.source.device)
            scale = 1.0
            if self._cache is not None:
                scale = self._cache.append(rows, weights, coupling)
            yield rows, weights, coupling.mul_(scale / epsilon).add_(bias)
        if self._cache is not None:
            self._cache.filled = True


def _soft_minimum(exponent: Tensor, rows: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Turn `exponent` (n, M) in place into exp(exponent − row maximum); return f (n,) and the row sums, float64."""
    maximum = exponent.amax(dim=1, keepdim=True)
    exponent.sub_(maximum).clamp_min_(_LOWEST_EXPONENT[exponent.dtype]).exp_()
    kernel_sum = exponent.sum(dim=1).double()
    return rows - epsilon * (maximum[:, 0].double() + kernel_sum.log()), kernel_sum


class _Cache:
    """Couplings of all blocks, as 16-bit multiples of `step` or in the working precision (`step` 1)."""

    def __init__(self, source: PreparedSource, targets: int, step: float, dtype: torch.dtype) -> None:
        self.step = step
        self.filled = False
        self._couplings = torch.empty(source.n_rows, targets, dtype=dtype, device=source.device)
        self._blocks: list[tuple[Tensor, Tensor, Tensor]] = []
        self._end = 0

    def append(self, rows: Tensor, weights: Tensor, coupling: Tensor) -> float:
        """Keep `coupling`, which is left in units of the returned step, rounded like what is kept."""
        stored = self._couplings[self._end : self._end + len(coupling)]
        self._end += len(coupling)
        if self.step != 1.0:
            coupling.mul_(1 / self.step).round_()
        stored.copy_(coupling)
        self._blocks.append((rows, weights, stored))
        return self.step

    def blocks(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        return iter(self._blocks)


def _plan_cache(source: PreparedSource, kernel: Kernel, epsilon: float, cache_bytes: int) -> _Cache | None:
    elements = source.n_rows * len(kernel.targets)
    lowest, highest = kernel.bound(source.max_norm)
    step = max(abs(lowest), abs(highest)) / 32_000
    fine_enough = 0 < step <= epsilon * _LARGEST_STEP_PER_EPSILON and source.dtype == torch.float32
    if fine_enough and elements * 2 <= cache_bytes:
        return _Cache(source, len(kernel.targets), step, torch.int16)
    if elements * (8 if source.dtype == torch.float64 else 4) <= cache_bytes:
        return _Cache(source, len(kernel.targets), 1.0, source.dtype)
    return None
