"""Making the cells of a comparison with the project's own stations: selections first, then trainings as time allows."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gotd_assets.catalogue.durations import in_words
from gotd_assets.comparison.ledger import Ledger
from gotd_assets.comparison.worth import measure_worth
from gotd_assets.errors import GotdError
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.first_look import problems_ahead
from gotd_assets.stations.work import Silence
from gotd_assets.stations.workshop import Workshop

if TYPE_CHECKING:
    from gotd_assets.comparison.cells import Cell, Comparison
    from gotd_assets.stations.graph import Stage
    from gotd_assets.stations.station import Station
    from gotd_assets.stations.work import Journal

_REPORT = "evaluation_report"


@dataclasses.dataclass(frozen=True)
class Progress:
    """What became of a comparison.

    Attributes:
        complete: whether every cell was made.
        failures: a sentence for each cell of which something could not be.
    """

    complete: bool
    failures: dict[str, str]


def make_cells(
    comparison: Comparison,
    journal: Journal,
    announce: Callable[[str], None],
    *,
    minutes: float | None = None,
    train: bool = True,
) -> Progress:
    """Make what is missing: for every cell the selections of all methods, then for every cell the models.

    What exists is found by version, so that a comparison that was killed goes on where it was, and what the project made
    already is not made again. What cannot be made of a cell (a budget beyond the candidates) is left out, and the rest made;
    nothing is begun of a target whose files, or models that it alone needs, are not what the settings say.

    Args:
        comparison: what to compare.
        journal: is told how far each station is.
        announce: is told each part before it begins, and after each cell how long the rest will take.
        minutes: begin no training after this many.
        train: whether to train at all.

    Raises:
        GotdError: encoder or base model are not what the settings say.
    """
    started, failures = time.monotonic(), dict[str, str]()
    ledger = Ledger(comparison.project.home)
    broken = _problems_ahead(comparison, train=train)
    for target, why in broken.items():
        journal.warn(f"nothing is made of target {target}: {why}")
        failures |= {str(cell): why for cell in comparison.cells if cell.target == target}
    todo = [cell for cell in comparison.cells if cell.target not in broken]
    for phase in ("select", "train") if train else ("select",):
        spent: list[float] = []
        for number, cell in enumerate(todo, 1):
            elapsed = (time.monotonic() - started) / 60
            if phase == "train" and minutes is not None and elapsed >= minutes:
                announce(f"{minutes:g} minutes are over: {len(todo) - number + 1} cells are not trained")
                return Progress(complete=False, failures=failures)
            rest = len(todo) - number + 1
            told = f", about {in_words(sum(spent) / len(spent) * rest)} to {phase} the rest" if spent else ""
            announce(f"{phase} {number}/{len(todo)}: {cell}{told}")
            began, made = time.monotonic(), 0
            with _failure_noted(cell, failures, journal):
                made = _make(comparison, cell, journal, ledger, late=phase == "train", is_first=number == 1)
            if phase == "select":
                with _failure_noted(cell, failures, journal):
                    measure_worth(comparison, cell, ledger)
            if made:
                spent.append(time.monotonic() - began)
    return Progress(complete=not failures, failures=failures)


def _problems_ahead(comparison: Comparison, *, train: bool) -> dict[str, str]:
    """What is wrong with the files of a target or with models that it alone needs, by target: told before any work.

    Raises:
        GotdError: something is wrong that all targets need.
    """
    found: dict[str, str] = {}
    # Of a target, cells of one kind of vectors have the same files and models.
    for cell in {(cell.target, cell.vectors): cell for cell in comparison.cells}.values():
        stages = [stage for late in (False, True)[: 1 + train] for stage in stages_of(comparison, cell, late=late)]
        for target, error in problems_ahead(GRAPH, comparison.project_of(cell), stages).items():
            if target is None:
                raise error
            found.setdefault(target, str(error))
    return found


@contextlib.contextmanager
def _failure_noted(cell: Cell, failures: dict[str, str], journal: Journal) -> Iterator[None]:
    """Of a cell the first: what was not selected cannot be trained on, which is no news."""
    try:
        yield
    except GotdError as error:
        if str(cell) not in failures:
            failures[str(cell)] = str(error)
            journal.warn(f"{cell}: {error}")


def stages_of(comparison: Comparison, cell: Cell, *, late: bool) -> list[Stage]:
    """What a cell is made of: all that comes before models, or models and what is measured on them."""
    settings = comparison.project_of(cell).settings

    def wanted(station: Station) -> bool:
        if station.name == _REPORT:
            return False
        return station.is_late if late else GRAPH.comes_early(station, settings)

    return GRAPH.stages(settings, [cell.target], wanted)


def _make(comparison: Comparison, cell: Cell, journal: Journal, ledger: Ledger, *, late: bool, is_first: bool) -> int:
    """Make a cell's stages; how many artifacts were not there before."""
    project = comparison.project_of(cell)
    workshop = Workshop(project, journal=journal, aside=cell.run_id)
    # What all cells share is there from the first on, and found again without a word.
    shared = workshop if is_first else Workshop(project, journal=Silence(), aside=cell.run_id)
    made = 0
    failed: list[str] = []
    for stage in stages_of(comparison, cell, late=late):
        if late:
            journal.log(stage.title)
        try:
            outcomes = (workshop if stage.partition.target else shared).run(stage)
        except GotdError as error:
            # No other method needs what one selects or trains.
            if stage.partition.method is None:
                raise
            failed.append(str(error))
            continue
        for outcome in outcomes:
            if not outcome.made.reused:
                made += 1
                ledger.put(outcome.artifact.version, "seconds", outcome.made.seconds)
    if failed:
        raise GotdError("; ".join(failed))
    return made
