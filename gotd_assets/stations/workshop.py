"""Making artifacts of a project in this process, without an orchestrator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gotd_assets.artifacts.planning import Plan, Planned
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import GotdError
from gotd_assets.lineage import LineageStore
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.carry_out import Outcome, carry_out, plan_out
from gotd_assets.stations.first_look import problems_ahead
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.work import Journal, Work

if TYPE_CHECKING:
    from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
    from gotd_assets.settings.project import Project
    from gotd_assets.stations.graph import Graph, Stage


class Workshop:
    """Makes what is asked for, one artifact after the other; what exists already is found.

    Args:
        project: settings and folder.
        graph: its stations.
        journal: is told how far each is.
        aside: id of a run that what is made is for alone; for everybody else what is current stays so.
    """

    def __init__(
        self, project: Project, *, graph: Graph = GRAPH, journal: Journal | None = None, aside: str | None = None
    ) -> None:
        self.project = project
        self._aside = aside
        self._graph = graph
        self._journal = journal
        self._store = ArtifactStore.of(project)
        self._lineage: LineageStore | None = None

    def make(
        self, asset: str, partition: Partition | None = None, overrides: Mapping[str, object] | None = None
    ) -> Outcome:
        """Make `asset` in `partition` from what is current, with other values of some settings ('transport.epsilon').

        Raises:
            HeldBackError: it fails a blocking check.
            GotdError: it cannot be made; the message says what to do.
        """
        if self._lineage is None:
            # It looks at the database's schema when it is made, which takes as long as a record.
            self._lineage = LineageStore(self.project.home.lineage)
        work = self._work(asset, partition or Partition(), overrides or {})
        return carry_out(self._graph.named(asset), work)

    def run(self, stage: Stage) -> list[Outcome]:
        """Make the assets of `stage`, in their order."""
        return [self.make(asset, stage.partition, stage.overrides.get(asset)) for asset in stage.assets]

    def plan(self, stages: Sequence[Stage]) -> tuple[list[Planned], list[str]]:
        """What `run` would make of `stages`, and why; and what is wrong, a sentence each.

        A target in whose files or settings something is wrong is left out from there on; the others are planned.
        """
        plan = Plan()
        problems = [str(error) for error in problems_ahead(self._graph, self.project, stages).values()]
        broken: set[str] = set()
        for stage in stages:
            if stage.target in broken:
                continue
            for asset in stage.assets:
                work = self._work(asset, stage.partition, {}, read=lambda key: plan.read(self._store, key))
                try:
                    plan_out(self._graph.named(asset), work, plan)
                except GotdError as error:
                    if not any(str(error) in problem for problem in problems):
                        problems.append(str(error))
                    if stage.target is None:
                        return plan.entries, problems
                    broken.add(stage.target)
                    break
        return plan.entries, problems

    def _work(
        self,
        asset: str,
        partition: Partition,
        overrides: Mapping[str, object],
        read: Callable[[ArtifactKey], Artifact] | None = None,
    ) -> Work:
        project = self.project.overridden(overrides)
        reads = self._graph.reads(self._graph.named(asset), partition, project.settings)
        return Work(
            project,
            asset,
            partition,
            reads,
            read=read,
            journal=self._journal,
            lineage=self._lineage,
            run_id=self._aside,
            aside=self._aside is not None,
        )
