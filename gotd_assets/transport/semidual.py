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
from collections.abc import Iterable

import torch
from torch import Tensor

from gotd_assets.transport.couplings import Keeping
from gotd_assets.transport.held import HeldSource
from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.model import Entries, Model
from gotd_assets.transport.passes import Asked, LocalPasses, Passes
from gotd_assets.transport.products import Products
from gotd_assets.transport.source import PreparedSource
from gotd_assets.transport.source_potential import SourcePotential
from gotd_assets.transport.workers import Partial, Workers

_LOOKED_AT_ROWS = 512
FEW_ENTRIES, MANY_ENTRIES = 16, 64  # of a row, on average
_MOST_ENTRIES = {FEW_ENTRIES: 8_000_000, MANY_ENTRIES: 24_000_000}  # of a model, which takes 12 bytes for each
_MOST_LAST = 2_000_000  # of one that only foretells
DEEPEST = 58.0


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """H and its gradient at one g.

    Attributes:
        value: H(g).
        column: (M,) float64, the column marginal Pᵀ1.
        gradient: (M,) float64, ∇H(g).
        error: ‖∇H(g)‖₁, the marginal error.
        potential: the source potential f(x_i), (N,) by shard.
        mean_f: Σ a_i f_i.
        excess: (M,) float64, Σ_i P_ij (r_i − f_i), of which the upper bound is made.
        exact: whether couplings came of float32 (or float64) products.
    """

    value: float
    column: Tensor
    gradient: Tensor
    error: float
    potential: SourcePotential
    mean_f: float
    excess: Tensor
    exact: bool


class SemiDual:
    """H for one source, one target and one ε; couplings are cached if they fit the memory budget."""

    def __init__(
        self,
        source: PreparedSource,
        kernel: Kernel,
        target_weights: Tensor,
        epsilon: float,
        workers: Workers,
        *,
        rho: float | None,
        block_rows: int,
        cache_bytes: int,
        marginal: Tensor | None = None,
        products: Products = "float32",
    ) -> None:
        """`marginal` (M,) float64 is the column marginal to reach, if not `target_weights`."""
        self.source = source
        self.b = target_weights
        self.marginal = target_weights if marginal is None else marginal
        self.epsilon = epsilon
        self.rho = rho
        self.workers = workers
        self.products = products
        self.keeping = Keeping.of(source, kernel, cache_bytes)
        self._filled = False
        self._passes: Passes = (
            source.passes(kernel, self.keeping)
            if isinstance(source, HeldSource)
            else LocalPasses(
                source, kernel, workers, parts=source.parts(block_rows), block_rows=block_rows, keeping=self.keeping
            )
        )
        self._kernel = kernel
        self._target_part = kernel.target_part().cpu()
        self._log_b = torch.where(self.b > 0, self.b.log(), -torch.inf)

    def bias(self, g: Tensor, epsilon: float) -> Tensor:
        """(g_j − c_j)/ε + log b_j, the exponent's part of the target alone, in the working precision."""
        bias = (g - self._target_part) / epsilon + self._log_b
        return bias.to(self.source.device, self.source.dtype)

    @property
    def exact(self) -> bool:
        """Whether passes have exact couplings unless they are asked for some: always, but for reduced products."""
        return self.products == "float32"

    def _asked(self, g: Tensor, epsilon: float, *, exact: bool) -> Asked:
        keeps = self.keeping.cached and not (exact and not self.exact)
        return Asked(self.bias(g, epsilon), epsilon, "float32" if exact else self.products, keeps, self._filled)

    def _added(self, parts: Iterable[Partial], asked: Asked) -> Partial:
        """The sum over all parts, in their order, on the CPU; what was kept on the way is there from now on."""
        total: Partial = ()
        for part in parts:
            total = part if not total else tuple(a.add_(b) for a, b in zip(total, part, strict=True))
        self._filled = self._filled or asked.keeps
        return tuple(each.cpu() for each in total)

    def evaluate(self, g: Tensor, epsilon: float | None = None, *, exact: bool = False) -> Evaluation:
        """One pass: H(g), the column marginal, the gradient and what bounds the optimum from above.

        `epsilon` overrides ε for annealing; `exact` couplings are computed anew if those in the cache are not.
        """
        exact = exact or self.exact
        asked = self._asked(g, self.epsilon if epsilon is None else epsilon, exact=exact)
        sums, total = self._added(self._passes.evaluate(asked), asked)
        return self._evaluation(g, sums, float(total), asked, exact=exact)

    def curvature(self, g: Tensor) -> tuple[Evaluation, Tensor]:
        """`evaluate`, and ε times the negative Hessian: diag(Pᵀ1) − Pᵀ diag(1/a) P, (M, M) float64."""
        exact = self.exact
        asked = self._asked(g, self.epsilon, exact=exact)
        sums, total, product = self._added(self._passes.curvature(asked), asked)
        curvature = product.double().neg_()
        curvature.diagonal().add_(sums[0])
        return self._evaluation(g, sums, float(total), asked, exact=exact), self._with_divergence(g, curvature)

    def moved(self, g: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """F (n,) at `g`, and how it changes to first order as g moves by `step` (M,), −P·step; float64 on the CPU."""
        asked = self._asked(g, self.epsilon, exact=self.exact)
        f, change = self._passes.moved(asked, step).cpu().unbind(1)
        self._filled = self._filled or asked.keeps
        return f, change

    def depth(self, g: Tensor, entries: int) -> tuple[float, float]:
        """How far below its row's largest an entry may lie that a `model` at `g` keeps, and the share of the mass in such.

        In units of ε; so far that a few rows, evenly spaced, have `entries` on average.
        """
        rows = self.source.take(torch.arange(0, self.source.n_rows, max(1, self.source.n_rows // _LOOKED_AT_ROWS)))
        exponent = self._kernel.coupling(rows).mul_(1 / self.epsilon).add_(self.bias(g, self.epsilon))
        below = (exponent.amax(dim=1, keepdim=True) - exponent).double()
        kept = min(below.numel(), entries * len(rows))
        depth = min(float(below.flatten().kthvalue(kept).values), DEEPEST)
        share = torch.where(below <= depth, (-below).exp(), 0.0).sum(1) / (-below).exp().sum(1)
        return depth, float(share.mean())

    def model(
        self, g: Tensor, depth: float, per_row: int = FEW_ENTRIES, *, exact: bool = False, last: bool = False
    ) -> tuple[Evaluation, Model]:
        """`evaluate`, and a model of H around `g` from the entries of P that are at least e^−`depth` of their row's largest.

        Of every row if they are few enough, at `per_row` entries of each, else of every k-th; of fewer if this is expected to
        be the `last` pass. For processors: the number of entries is known only after they were looked for, for which an
        accelerator would have to wait.
        """
        exact = exact or self.exact
        asked = self._asked(g, self.epsilon, exact=exact)
        every = max(1, -(-self.source.n_rows * per_row // (_MOST_LAST if last else _MOST_ENTRIES[per_row])))
        entries: list[Entries] = []

        def sums_alone() -> Iterable[Partial]:
            for sums, total, found in self._passes.model(asked, depth, every):
                entries.extend(found)
                yield sums, total

        sums, total = self._added(sums_alone(), asked)
        evaluation = self._evaluation(g, sums, float(total), asked, exact=exact)
        wanted = evaluation.gradient + evaluation.column
        relaxed = None if self.rho is None else self.epsilon / self.rho
        return evaluation, Model(entries, evaluation.column, wanted, relaxed, self.workers, depth=depth)

    def _with_divergence(self, g: Tensor, curvature: Tensor) -> Tensor:
        """Add what the relaxed marginal's divergence bends."""
        if self.rho is not None:
            curvature.diagonal().add_(self.epsilon / self.rho * self.marginal * torch.exp(-g / self.rho))
        return curvature

    def sinkhorn_step(self, g: Tensor, column: Tensor, epsilon: float | None = None) -> Tensor:
        """The next target potential of Sinkhorn's algorithm, which never lowers H."""
        epsilon = self.epsilon if epsilon is None else epsilon
        usable = (self.b > 0) & (column > 0)
        ratio = torch.where(usable, self.marginal.log() - column.log(), 0.0)
        # Nothing reaches the points with column 0 (underflow): raise them by as much as can be told.
        ratio = torch.where((self.b > 0) & (column <= 0), 50.0, ratio)
        step = g + epsilon * ratio
        return step if self.rho is None else step * (self.rho / (self.rho + epsilon))

    def upper_bound(self, g: Tensor, evaluation: Evaluation) -> float:
        """From the `evaluation` at `g` (at the oracle's own ε), the entropic cost of a feasible plan, or a little more.

        The optimum lies between the evaluation's value and this.

        Columns of the plan P of g that carry too much are scaled down, and what its rows then lack, d, is added as the
        rank-one plan d⊗t of column marginal μt, what the columns lack (Altschuler, Weed & Rigollet 2017, Algorithm 2);
        the entropic cost of the sum is bounded by convexity. Of the rows only column sums are needed, so that a pass
        bounds as it goes: with the share w_j that column j loses,

            d = Pw,  Σ_i d_i (r_i − f_i) = Σ_j w_j Σ_i P_ij (r_i − f_i),  Σ_i d_i log(d_i/a_i) ≤ Σ_j m_j w_j log w_j,

        the last by Jensen's inequality, and Σ_j t_j C(x_i, y_j) − r_i is bounded for all rows at once. With `reach` every plan
        is feasible and its own cost is taken.
        """
        # What a point without weight is served is underflow.
        column, mean_f = torch.where(self.b > 0, evaluation.column, 0.0), evaluation.mean_f
        if self.rho is not None:
            return self._unbalanced_cost(g, column, mean_f, self.rho)
        scale = torch.where(column > self.b, self.b / column.clamp_min(1e-300), 1.0).clamp_min(1e-300)
        lost = torch.where(column > self.b, (column - self.b) / column.clamp_min(1e-300), 0.0)
        missing = (self.b - column).clamp_min(0.0)
        kept = (
            mean_f + float((column * scale * (g + self.epsilon * scale.log())).sum()) + float(lost @ evaluation.excess)
        )
        mass = float(missing.sum())
        if mass <= 1e-15:
            return kept
        # What is lost and what is missing differ in mass by the rounding errors of `column`.
        used = missing > 0
        column_entropy = float(torch.xlogy(missing[used], missing[used] / self.b[used]).sum()) - mass * math.log(mass)
        row_entropy = float((column * torch.xlogy(lost, lost)).sum()) - mass * math.log(mass)
        added = mass * self._kernel.mean_cost_bound(missing / mass, self.source.max_norm)
        remaining = max(1 - mass, 1e-300)
        entropy = row_entropy + column_entropy - remaining * math.log(remaining)
        return kept + added + self.epsilon * entropy

    def _unbalanced_cost(self, g: Tensor, column: Tensor, mean_f: float, rho: float) -> float:
        used = (column > 0) & (self.b > 0)
        divergence = (column[used] * (column[used] / self.b[used]).log()).sum() - column.sum() + self.b.sum()
        return mean_f + float((column * g).sum()) + rho * float(divergence)

    def _evaluation(self, g: Tensor, sums: Tensor, mean_f: float, asked: Asked, *, exact: bool) -> Evaluation:
        """From the sums of the pass just made."""
        column, excess = sums
        if self.rho is None:
            wanted, gain = self.marginal, float((self.marginal * g).sum())
        else:
            wanted = self.marginal * torch.exp(-g / self.rho)
            gain = -self.rho * float((self.marginal * torch.expm1(-g / self.rho)).sum())
        gradient, potential = wanted - column, self._passes.potential(asked)
        return Evaluation(
            mean_f + gain, column, gradient, float(gradient.abs().sum()), potential, mean_f, excess, exact
        )
