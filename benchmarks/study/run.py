"""The study, cell by cell: seed by seed, selections first, which are cheap, then trainings, as time allows."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.study.plan import Plan, Regime, Target
from benchmarks.study.record import StudyRecord
from benchmarks.study.selecting import pose, select_and_judge
from benchmarks.study.world import World
from gotd_assets.artifacts.lock import BusyError, held
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import Json, fingerprint
from gotd_assets.selection.methods import method_named
from gotd_assets.tracking.context import TrackingContext

if TYPE_CHECKING:
    from benchmarks.study.tuning import Tuner

Say = Callable[[str], None]

_SELECTION_CODE = 1
_TRAINING_CODE = 1


@dataclasses.dataclass
class Clock:
    """Time that may be spent; no new cell begins after it."""

    minutes: float | None = None
    started: float = dataclasses.field(default_factory=time.monotonic)

    def is_over(self) -> bool:
        """Whether it is spent."""
        return self.minutes is not None and time.monotonic() - self.started > 60 * self.minutes


def run_study(
    world: World, tracking: TrackingContext, say: Say, *, minutes: float | None = None, train: bool = True
) -> bool:
    """Do what is not done yet, until everything is or time is over; return whether everything is.

    A process that is killed loses the cell it was at. One process at a time: see `alone`.

    Args:
        world: the plan and its documents.
        tracking: where results go; its experiment is the plan's.
        say: is told what happens.
        minutes: after which no further cell begins; None for no limit.
        train: whether to train models, too, or only to select.
    """
    clock = Clock(minutes)
    record = StudyRecord(tracking)
    record.begin(_description(world))
    complete = False
    try:
        work = _Work(world, record, clock, say)
        seeds = range(world.plan.seeds)
        # Seed by seed, and what is trained on first, so that a study that is stopped has something to tell.
        complete = all(
            work.select(seed, first=True) and (not train or work.train(_first_cells(world.plan, seed)))
            for seed in seeds
        )
        complete = complete and all(work.select(seed, first=False) for seed in seeds)
        complete = complete and (not train or work.train(_training_cells(world.plan)))
    finally:
        record.end(complete=complete and train)
    return complete


@contextlib.contextmanager
def alone(plan: Plan, home: Path) -> Iterator[None]:
    """Keep other processes from the same study.

    Raises:
        InputError: another process is at it.
    """
    lock = home / "study" / f"{plan.experiment}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(lock, timeout_seconds=0))
        except BusyError:
            raise InputError(f"another process is at this study ({lock} is locked): wait for it or end it") from None
        yield


class _Work:
    """Cells that are not done yet, one after the other, until time is over."""

    def __init__(self, world: World, record: StudyRecord, clock: Clock, say: Say) -> None:
        self._world, self._record, self._clock, self._say = world, record, clock, say
        self._selected = {entry.key: entry.run_id for entry in record.measurements("selection")}
        self._trained = record.done("perplexity") | record.done("base")
        self._tuner: Tuner | None = None

    def select(self, seed: int, *, first: bool) -> bool:
        """Select by every method for every target and budget; return whether all is done.

        With `first`, only by the plan's first methods, and for the training budget where another one costs extra.
        """
        world, plan = self._world, self._world.plan
        for target in plan.targets:
            wanted = {
                method: budgets
                for method in plan.methods
                if (method in plan.first or not first)
                and (
                    budgets := [
                        budget
                        for budget in plan.budgets
                        if (not first or budget == plan.training_budget or method_named(method).nested)
                        and selection_key(world, target, method, budget, seed) not in self._selected
                    ]
                )
            }
            if not wanted:
                continue
            if self._clock.is_over():
                return False
            question = pose(world, target, seed)
            for method, budgets in wanted.items():
                if self._clock.is_over():
                    return False
                started = time.monotonic()
                for budget, figures, files in select_and_judge(question, target, method, budgets):
                    key = selection_key(world, target, method, budget, seed)
                    self._selected[key] = self._record.write(
                        "selection",
                        key,
                        cell={"target": target.name, "method": method, "budget": budget},
                        own={"seed": seed},
                        figures=figures,
                        files=files,
                        seconds=time.monotonic() - started,
                    )
                    self._say(
                        f"selected: {target.name}, {method}, {budget}, seed {seed}: {figures['rare_share']:.1%} "
                        f"{target.rare}, {figures['processor_seconds']:.2f} processor seconds"
                    )
                    started = time.monotonic()
        return True

    def train(self, cells: Iterable[TrainingCell]) -> bool:
        """Train and measure; return whether all of `cells` are done."""
        for cell in cells:
            key = training_key(self._world, cell)
            if key in self._trained:
                continue
            if self._clock.is_over():
                return False
            self._measure(cell, key)
            self._trained.add(key)
        return True

    def _measure(self, cell: TrainingCell, key: str) -> None:
        from benchmarks.study.tuning import Tuner

        world, plan = self._world, self._world.plan
        self._tuner = self._tuner or Tuner(world, self._say)
        heldout = world.heldout(cell.target)
        texts = heldout.get_column("text").to_list()
        started = time.monotonic()
        figures: dict[str, float] = {}
        if cell.method is None:
            report = self._tuner.base(cell.regime, texts)
        else:
            selection = selection_key(world, cell.target, cell.method, plan.training_budget, cell.seed)
            ids = self._record.read(self._selected[selection], "selection")
            tuned = self._tuner.tune(cell.regime, world.texts(pl.Series("doc_id", ids)), texts, cell.seed)
            report = tuned.report
            figures = {
                "training_seconds": tuned.seconds,
                "training_processor_seconds": tuned.processor_seconds,
                "tokens": tuned.tokens,
                "updates": tuned.updates,
            }
        figures["perplexity"] = report.perplexity
        self._record.write(
            "base" if cell.method is None else "perplexity",
            key,
            cell=cell.shared(plan),
            own={"regime": cell.regime, "seed": cell.seed},
            figures=figures,
            files={
                "heldout": {
                    "doc_id": heldout.get_column("doc_id").to_list(),
                    "source": heldout.get_column("source").to_list(),
                    "nll": report.document_nll.tolist(),
                    "tokens": report.document_tokens.tolist(),
                    "skipped": report.skipped,
                }
            },
            seconds=time.monotonic() - started,
        )
        self._say(f"measured: {cell}: perplexity {report.perplexity:.2f}")


@dataclasses.dataclass(frozen=True)
class TrainingCell:
    """A model to measure: trained on what `method` selected for `target`, or for method None the base model itself."""

    target: Target
    method: str | None
    regime: Regime
    seed: int

    def __str__(self) -> str:
        return f"{self.target.name}, {self.method or 'base model'}, {self.regime}, seed {self.seed}"

    def shared(self, plan: Plan) -> dict[str, Json]:
        """What it has in common with other seeds."""
        if self.method is None:
            return {"target": self.target.name, "method": "base"}
        return {"target": self.target.name, "method": self.method, "budget": plan.training_budget}


def _first_cells(plan: Plan, seed: int) -> Iterator[TrainingCell]:
    """Those of `seed` that come before all others."""
    for regime in plan.regimes:
        for target in plan.targets:
            if seed == 0:
                yield TrainingCell(target, None, regime, 0)
            for method in plan.methods:
                if method in plan.first:
                    yield TrainingCell(target, method, regime, seed)


def _training_cells(plan: Plan) -> Iterator[TrainingCell]:
    """All of them."""
    for seed in range(plan.seeds):
        yield from _first_cells(plan, seed)
    for seed in range(plan.seeds):
        for regime in plan.regimes:
            for target in plan.targets:
                for method in plan.methods:
                    if method not in plan.first and seed < plan.training_seeds(method):
                        yield TrainingCell(target, method, regime, seed)


def selection_key(world: World, target: Target, method: str, budget: int, seed: int) -> str:
    """Identifies a selection by everything that shapes it."""
    plan = world.plan
    return fingerprint(
        {
            "world": world.version,
            "target": [target.name, *target.domains],
            "method": method,
            "budget": budget,
            "seed": seed,
            "target_documents": plan.target_documents,
            "epsilon": plan.epsilon,
            "sketch": plan.sketch,
            "settings": plan.tsds_neighbours if method == "tsds" else None,
            "code": _SELECTION_CODE,
        }
    )


def training_key(world: World, cell: TrainingCell) -> str:
    """Identifies a training and its measurement by everything that shapes them."""
    plan = world.plan
    selection = (
        None if cell.method is None else selection_key(world, cell.target, cell.method, plan.training_budget, cell.seed)
    )
    return fingerprint(
        {
            "world": world.version,
            "target": [cell.target.name, *cell.target.domains],
            "selection": selection,
            "seed": cell.seed,
            "regime": [cell.regime, plan.pretraining_documents if cell.regime == "trained-on-pool" else 0],
            "heldout": plan.heldout_documents,
            "training": [plan.max_tokens, plan.trainable_layers, plan.learning_rate, plan.batch_size],
            "code": _TRAINING_CODE,
        }
    )


def _description(world: World) -> dict[str, Json]:
    import torch

    plan = dataclasses.asdict(world.plan) | {"pool": dict(world.plan.pool)}
    counts = world.pool.doc_ids().group_by("source").len().sort("source")
    described: dict[str, Json] = {
        "plan": json.loads(json.dumps(plan)),
        "world": world.version,
        "pool_documents": dict(counts.iter_rows()),
        "selection_keys": sorted(
            selection_key(world, target, method, budget, seed)
            for target in world.plan.targets
            for method in world.plan.methods
            for budget in world.plan.budgets
            for seed in range(world.plan.seeds)
        ),
        "training_keys": sorted(training_key(world, cell) for cell in _training_cells(world.plan)),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.system()}, torch threads in the last "
        f"part of the run: {torch.get_num_threads()}",
    }
    return described
