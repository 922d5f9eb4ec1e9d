"""Where a solve begins that has the potentials of an earlier, similar target."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.instance import Instance
from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.problem import Problem
from gotd_assets.transport.sketch import Sketch
from gotd_assets.transport.source import PreparedSource
from gotd_assets.transport.source_potential import SourcePotential

_SAME_POINT = 1e-6  # of the largest norm
_SAME_POTENTIAL = 1e-2  # of ε
_SAME_MEAN = 1e-4  # of ε
_CHECKED_ROWS = 500
_BLOCK_ELEMENTS = 1_000_000
_MOST_CHANGED = 0.1  # of the target's weight: beyond, finding out whom it concerns takes longer than it saves
_MOST_CONCERNED = 2.0  # of the even sample's rows
_DRAWN_PER_SHARE = 4.0
_LEAST_OUTSIDE = 1e-3
_HIGHEST_EXPONENT = 300.0
_MOST_STEPS = 200
_CLOSE_ENOUGH = 0.02


@dataclasses.dataclass(frozen=True, eq=False)
class Earlier:
    """What an earlier solve found.

    Attributes:
        problem: that was solved, epsilon absolute.
        sketch: its target.
        g: (M,) float64, the target potential.
        mean_f: Σ a_i f_i over its source.
        f: the potential of its source, (N,) by shard, or None.
        column: (M,) float64, the column marginal that goes with f, or None.
    """

    problem: Problem
    sketch: Sketch
    g: Tensor
    mean_f: float
    f: SourcePotential | None
    column: Tensor | None


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """Where the ascent on a subsample begins.

    Attributes:
        sample: the subsample, or the source itself.
        marginal: (M,) float64, the column marginal to reach on it.
        g: (M,) float64.
        epsilon: where annealing begins, or None if g is near its optimum.
        passes: over the subsample or as much work, to find this.
    """

    sample: PreparedSource
    marginal: Tensor
    g: Tensor
    epsilon: float | None
    passes: int

    @classmethod
    def cold(cls, instance: Instance) -> Start:
        """Of a solve that knows nothing."""
        g = torch.zeros_like(instance.weights)
        return cls(instance.sample, instance.weights, g, instance.mean_cost / 2, 0)


def carried_over(earlier: Earlier, sketch: Sketch, instance: Instance) -> Start:
    """The start that the potentials of an earlier target give.

    Points that stayed keep their potential; new ones get the one at which they draw their weight from the subsample's
    rows against what those had. The marginal to reach on the subsample is the target's plus what the subsample had too
    much of under the earlier potentials (a control variate), so that it errs in what changed only.

    If `earlier` brings the source potential of the very same rows, those that changed target points drew or draw are
    known, and all of them, or as many as affordable, are in the subsample: what changes is then hardly sampled at all.

    Where more than a tenth of the target's weight changed, the start is a cold one.

    Raises:
        TransportError: the earlier potentials have another cost or dimension.
    """
    old = earlier.sketch
    if earlier.problem.cost != instance.kernel.cost or old.points.shape[1] != sketch.points.shape[1]:
        raise TransportError("the initial potentials were solved with another cost or dimension: start without them")
    stayed, nearest = _stayed(sketch, old)
    if _changed_weight(sketch, old, stayed, nearest) > _MOST_CHANGED:
        return Start.cold(instance)
    # A point without weight draws nothing, whatever its potential.
    came = ~stayed & (instance.weights > 0)
    then = _instance_then(earlier, instance)
    g, passes, before = earlier.g[nearest].clone(), 0, None
    f, column = earlier.f, earlier.column
    if f is not None and column is not None and _holds(earlier, f, then):
        on_sample = f.take(instance.rows)
    else:
        before = then.oracle(instance.sample, 0).evaluate(earlier.g)
        f, on_sample, column, passes = (
            None,
            before.potential.rows(0, instance.sample.n_rows),
            before.column + before.gradient,
            1,
        )
    changed = _Changed.between(earlier.g, then, instance, came=came, kept=nearest[stayed])
    if changed is not None:
        changed = changed.settled(instance.sample, on_sample)
        g[came] = changed.g[changed.gone :]
        passes += 1
    same_epsilon = abs(then.epsilon / instance.epsilon - 1) < 1e-6
    if instance.sample is instance.source or not same_epsilon or not bool(stayed.any()):
        return Start(instance.sample, instance.weights, g, instance.epsilon, passes)
    sample = instance.sample
    if changed is not None and f is not None:
        sample = _drawn(instance, changed, f, on_sample)
        passes += 1
    if before is None:
        before = then.oracle(sample, 0).evaluate(earlier.g)
        passes += 1
    excess = torch.where(column > 0, before.column / column.clamp_min(1e-300), 1.0).clamp(0.1, 10.0)
    marginal = torch.where(stayed, instance.weights * excess[nearest], instance.weights)
    return Start(sample, marginal * (sample.weights.sum() / marginal.sum()), g, None, passes)


def is_near(earlier: Sketch, sketch: Sketch) -> bool:
    """Whether the solve for `sketch` can do with what was found for `earlier`: of one dimension, and much the same points."""
    if earlier.points.shape[1] != sketch.points.shape[1]:
        return False
    return _changed_weight(sketch, earlier, *_stayed(sketch, earlier)) <= _MOST_CHANGED


def _stayed(sketch: Sketch, earlier: Sketch) -> tuple[Tensor, Tensor]:
    """Which points of `sketch` are points of `earlier` (M,), and the index there of the nearest to each (M,)."""
    distance, nearest = torch.cdist(sketch.points.double(), earlier.points.double()).min(dim=1)
    return distance <= _SAME_POINT * earlier.points.norm(dim=1).max(), nearest


def _changed_weight(sketch: Sketch, earlier: Sketch, stayed: Tensor, nearest: Tensor) -> float:
    """Of the points that came or of those that went, whichever is more."""
    kept = torch.zeros(len(earlier.weights), dtype=torch.bool).index_fill_(0, nearest[stayed], value=True)
    return max(float(sketch.weights[~stayed].sum()), float(earlier.weights[~kept].sum()))


def _instance_then(earlier: Earlier, now: Instance) -> Instance:
    """What `earlier` solved, in the coordinates of `now`."""
    centre = now.source.centre.to(now.source.device)
    centred = (earlier.sketch.points.to(centre) - centre).to(now.source.dtype)
    kernel = Kernel(earlier.problem.cost, centred)
    return dataclasses.replace(now, kernel=kernel, weights=earlier.sketch.weights, epsilon=earlier.problem.epsilon)


def _holds(earlier: Earlier, f: SourcePotential, then: Instance) -> bool:
    """Whether `f` can be read and is of this source: by its mean, where weights count, and looked up at a few rows."""
    source = then.source
    if len(f) != source.n_rows:
        return False
    try:
        mean = f.mean(source.weights)
    except TransportError:
        return False
    if abs(mean - earlier.mean_f) > _SAME_MEAN * then.epsilon:
        return False
    rows = then.rows[:: max(1, len(then.rows) // _CHECKED_ROWS)]
    few = source.part(rows)
    found = then.oracle(few, 0).evaluate(earlier.g).potential.rows(0, few.n_rows)
    return bool((found - f.take(rows)).abs().max() <= _SAME_POTENTIAL * then.epsilon)


@dataclasses.dataclass(frozen=True, eq=False)
class _Changed:
    """Target points that went and points that came.

    Attributes:
        kernel: cost against them, (K, D).
        g: (K,) float64, their potentials.
        log_b: (K,) float64, of their weights.
        gone: how many of them went; they are the first.
        epsilon: absolute.
    """

    kernel: Kernel
    g: Tensor
    log_b: Tensor
    gone: int
    epsilon: float

    @classmethod
    def between(cls, g: Tensor, then: Instance, now: Instance, *, came: Tensor, kept: Tensor) -> _Changed | None:
        """None if nothing changed. `g` are the potentials of `then`, `came` (M,) is a mask, `kept` are indices of earlier points.

        Points that came have no potential yet.
        """
        gone = torch.ones(len(then.weights), dtype=torch.bool).index_fill_(0, kept, value=False)
        if not bool(gone.any()) and not bool(came.any()):
            return None
        device = now.source.device
        targets = torch.cat([then.kernel.targets[gone.to(device)], now.kernel.targets[came.to(device)]])
        potentials = torch.cat([g[gone], torch.zeros(int(came.sum()), dtype=torch.float64)])
        log_b = torch.cat([then.weights[gone], now.weights[came]]).log()
        return cls(Kernel(now.kernel.cost, targets), potentials, log_b, int(gone.sum()), now.epsilon)

    def settled(self, sample: PreparedSource, f: Tensor) -> _Changed:
        """With the potentials at which each point that came draws its weight, if those of all other points stand still.

        `f` (n,) is the earlier source potential of the sample's rows. Sinkhorn's algorithm on the new columns alone,
        against what a row is offered elsewhere: a column that starts from nothing has neither gradient nor curvature.
        """
        if self.gone == len(self.g):
            return self
        blocks = [
            (self._exponent(block.points, f[block.start : block.start + len(block.points)]), block.weights)
            for block in sample.blocks(max(64, _BLOCK_ELEMENTS // len(self.g)))
        ]
        exponent = torch.cat([exponent for exponent, _ in blocks])
        weights = torch.cat([weights for _, weights in blocks]).to(exponent)
        outside = 1 - exponent[:, : self.gone].exp().sum(dim=1)
        came = exponent[:, self.gone :]
        raised = -came.amax(dim=0)
        mass = came.add_(raised).exp_()
        factor, wanted = torch.ones_like(raised), self.log_b[self.gone :].exp().to(raised)
        outside = outside.clamp_min_(_LEAST_OUTSIDE)
        for _ in range(_MOST_STEPS):
            column = factor * (mass.T @ (weights / (outside + mass @ factor)))
            if float((column - wanted).abs().sum()) <= _CLOSE_ENOUGH * float(wanted.sum()):
                break
            factor *= wanted / column.clamp_min(1e-300)
        g = self.g.clone()
        g[self.gone :] += self.epsilon * (raised + factor.log()).to(g)
        return dataclasses.replace(self, g=g)

    def share(self, points: Tensor, f: Tensor) -> Tensor:
        """(n,) how much of the mass of each of `points` goes elsewhere; `f` (n,) is their earlier source potential."""
        mass = self._exponent(points, f).exp_()
        gone, came = mass[:, : self.gone].sum(dim=1), mass[:, self.gone :].sum(dim=1)
        outside = (1 - gone).clamp_min_(_LEAST_OUTSIDE)
        return gone + came / (outside + came)

    def _exponent(self, points: Tensor, f: Tensor) -> Tensor:
        """(n, K): log of each point's mass in the rows `points` (n, D), where the mass of an earlier row is 1."""
        bias = (self.g - self.kernel.target_part().cpu()) / self.epsilon + self.log_b
        own = (f.to(points.device).double() - self.kernel.source_part(points).double()) / self.epsilon
        exponent = self.kernel.coupling(points).double().mul_(1 / self.epsilon)
        return exponent.add_(bias.to(points.device)).add_(own[:, None]).clamp_max_(_HIGHEST_EXPONENT)


def _drawn(instance: Instance, changed: _Changed, f: SourcePotential, on_sample: Tensor) -> PreparedSource:
    """A subsample of all rows that `changed` concerns much, and of the others as many as in the even one.

    How much mass goes elsewhere at all is told by the even one, of which `on_sample` (n,) is the potential.
    """
    source, even = instance.source, instance.sample
    concerned = sum(
        float(block.weights @ changed.share(block.points, on_sample[block.start :][: len(block.points)]).cpu())
        for block in even.blocks(instance.block_rows)
    ) / float(even.weights.sum())
    factor = min(_DRAWN_PER_SHARE * source.n_rows, _MOST_CONCERNED * even.n_rows / max(concerned, 1e-300))
    chance = _Chance(changed, even.n_rows, factor)
    rows, chances = source.drawn(chance, f, instance.block_rows, even.n_rows, instance.workers)
    return source.part(rows, source.weights[rows] / chances)


@dataclasses.dataclass(frozen=True, eq=False)
class _Chance:
    """With which rows are drawn: evenly, `size` of them, and by the mass of a row that `changed` leads elsewhere, times `factor`."""

    changed: _Changed
    size: int
    factor: float

    def __call__(self, points: Tensor, f: Tensor, weights: Tensor) -> Tensor:
        """(n,) float64 on the CPU, for `points` (n, D) of potential `f` (n,) and `weights` (n,)."""
        share = self.changed.share(points, f).cpu()
        return (self.size * weights + self.factor * weights * share).clamp_max_(1.0)
