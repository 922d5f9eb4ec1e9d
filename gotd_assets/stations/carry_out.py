"""Carrying out what a station prepared: made, checked, recorded in lineage, published; or only planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.conditions import current_conditions, installed_packages
from gotd_assets.artifacts.leases import Lease, leased
from gotd_assets.artifacts.making import Made, make
from gotd_assets.artifacts.planning import Plan, Planned
from gotd_assets.catalogue.shown import Description, Shown
from gotd_assets.checks.check import CheckContext, Evaluated, evaluate
from gotd_assets.lineage import Materialisation
from gotd_assets.stations.attempts import end_earlier_attempts
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work


@dataclasses.dataclass(frozen=True)
class Outcome:
    """An artifact, what its checks found, and what it says of itself."""

    made: Made
    evaluated: Sequence[Evaluated]
    description: Description

    @property
    def artifact(self) -> Artifact:
        """What was made, or was found."""
        return self.made.artifact


def carry_out(station: Station, work: Work, *, step: str | None = None) -> Outcome:
    """Make the artifact of `station` that `work` is for, unless its version exists already; `step` names the step for lineage.

    Raises:
        HeldBackError: it fails a blocking check, so it is neither recorded nor published.
        GotdError: it cannot be made; the message says what to do.
    """
    with leased(work.store.root) as lease:
        work.lease = lease
        return _carried_out(station, work, step, lease)


def _carried_out(station: Station, work: Work, step: str | None, lease: Lease) -> Outcome:
    recipe = station.prepare(work)
    evaluated: list[Evaluated] = []

    def record(made: Made) -> None:
        if made.reused:
            work.log(f"{work.key} version {made.artifact.version} is up to date; nothing to do", always=True)
        materialisation = dataclasses.replace(
            Materialisation.of(made.artifact),
            run_id=work.run_id,
            step=step,
            reused=made.reused,
            packages=installed_packages(),
            conditions=current_conditions(work.settings),
            settings=work.settings.without_secrets(),
        )
        work.lineage.record(recipe.record(made.artifact, materialisation))

    made = make(
        work.store,
        work.key,
        code_version=station.code_version,
        inputs=work.inputs,
        parameters=recipe.parameters,
        write=recipe.write,
        check=lambda artifact: evaluated.extend(
            evaluate(station.checks, CheckContext(work.project, work.store), artifact)
        ),
        record=record,
        run_id=work.run_id,
        aside=work.aside,
        lease=lease,
    )
    end_earlier_attempts(work)
    return Outcome(made, evaluated, _described(recipe, made))


def plan_out(station: Station, work: Work, plan: Plan) -> Planned:
    """Work out what `carry_out` would do, and add it to `plan`."""
    recipe = station.prepare(work)
    return plan.add(work.store, work.key, station.code_version, work.inputs, recipe.parameters)


def _described(recipe: Recipe, made: Made) -> Description:
    described: dict[str, Shown] = dict(recipe.describe(made.artifact))
    if recipe.paced_by is not None and not made.reused:
        count = int(str(made.artifact.manifest.summary[recipe.paced_by]))
        described["documents_per_second"] = round(count / max(made.seconds, 1e-9), 1)
    return described
