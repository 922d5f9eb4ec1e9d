"""What is compared: a cell is a target, a budget, a seed and vectors, in which methods select and are trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gotd_assets.errors import SettingsError
from gotd_assets.selection.methods.given import uses_vectors
from gotd_assets.settings.selection import Budget
from gotd_assets.settings.texts import DrawSettings

if TYPE_CHECKING:
    from gotd_assets.settings.project import Project, Settings


@dataclasses.dataclass(frozen=True)
class Arm:
    """One row of the comparison: a method, and the name of its vectors if they are not the project's."""

    method: str
    vectors: str | None = None

    def __str__(self) -> str:
        return self.method if self.vectors is None else f"{self.method} on {self.vectors}"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One target, budget and seed, on the project's vectors or others by name, of a comparison that has a name or none."""

    target: str
    budget: int | str
    seed: int
    vectors: str | None = None
    comparison: str | None = None

    @property
    def run_id(self) -> str:
        """By what artifacts of the cell are found again (`ArtifactStore.publish`, aside)."""
        name = f"comparison-{self.target}-{self.budget}-{self.seed}".replace(" ", "-").replace("%", "percent")
        return "-".join([name, *(part for part in (self.vectors, self.comparison) if part is not None)])

    def __str__(self) -> str:
        name = f"{self.target}, budget {self.budget}, seed {self.seed}"
        return name if self.vectors is None else f"{name}, vectors {self.vectors}"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Everything that a project asks to be compared.

    Attributes:
        project: whose settings it is of.
        targets, arms, budgets, seeds: what is crossed.
        remarks: what a reader should know of how little some of it says.
        name: keeps it apart from others in the same home that have the same cells with other settings, such as another
            base model's; None for the project's own.
    """

    project: Project
    targets: Sequence[str]
    arms: Sequence[Arm]
    budgets: Sequence[int | str]
    seeds: Sequence[int]
    remarks: Sequence[str]
    name: str | None = None

    @classmethod
    def of(cls, project: Project, targets: Sequence[str] = ()) -> Comparison:
        """What `comparison` in gotd.yaml says, of `targets` only if some are named.

        Raises:
            SettingsError: a target is unknown, or the budgets cannot be told.
        """
        settings, asked = project.settings, project.settings.comparison
        names = [settings.target(name).name for name in targets or asked.targets or [t.name for t in settings.targets]]
        methods = list(dict.fromkeys(asked.methods or settings.selection.methods))
        arms = [Arm(method) for method in methods]
        arms += [Arm(method, vectors) for vectors in asked.vectors for method in methods if uses_vectors(method)]
        budgets = list(dict.fromkeys(asked.budgets or _budgets(settings)))
        remarks = []
        if asked.seeds == 1:
            remarks.append(
                "One seed: intervals are of held-out documents alone, and nothing is known about another seed."
            )
        if settings.training is None:
            remarks.append("No `training` in gotd.yaml: selections are compared, and no model.")
        if len(arms) == 1:
            remarks.append(f"One method: `{methods[0]}` is compared with the base model only.")
        if len(budgets) < 3:
            remarks.append(
                "Fewer than three budgets: whether a difference grows or fades with the budget cannot be seen."
            )
        return cls(project, names, arms, budgets, range(asked.seeds), remarks)

    @property
    def cells(self) -> list[Cell]:
        """Every cell; all budgets of a seed before the next, so that what is there early is of every budget."""
        vectors = list(dict.fromkeys(arm.vectors for arm in self.arms))
        return [
            Cell(target, budget, seed, name, self.name)
            for seed in self.seeds
            for target in self.targets
            for budget in self.budgets
            for name in vectors
        ]

    def arms_of(self, cell: Cell) -> list[Arm]:
        """What is selected by in `cell`."""
        return [arm for arm in self.arms if arm.vectors == cell.vectors]

    def project_of(self, cell: Cell) -> Project:
        """The project with the settings of a cell."""
        settings = self.project.settings
        draw = DrawSettings(share=settings.comparison.target_share, seed=cell.seed)
        changed = {
            "targets": [
                target.model_copy(update={"draw": draw}) if target.name == cell.target else target
                for target in settings.targets
            ],
            "selection": settings.selection.model_copy(
                update={
                    "methods": [arm.method for arm in self.arms_of(cell)],
                    "budget": cell.budget,
                    "seed": cell.seed,
                }
            ),
            "training": None if settings.training is None else settings.training.model_copy(update={"seed": cell.seed}),
        }
        if cell.vectors is not None:
            changed["encoder"] = settings.comparison.vectors[cell.vectors]
        return self.project.model_copy(update={"settings": settings.model_copy(update=changed)})


def _budgets(settings: Settings) -> list[int | str]:
    """A quarter, half and the whole of the selection's budget, as far as it can be divided."""
    whole = settings.selection.budget
    if not isinstance(whole, int):
        kind = Budget.parse(whole).kind
        if kind == "share":
            share = float(str(whole).rstrip(" %"))
            return [f"{share * part:g}%" for part in (0.25, 0.5, 1)]
        if kind == "until-zero":
            return [whole]
        raise SettingsError(
            f"comparison.budgets: say which budgets to compare, for selection.budget {whole!r} is not divided by itself: "
            "budgets: ['10k tokens', '20k tokens', '40k tokens']"
        )
    return sorted({max(1, whole // 4), max(1, whole // 2), whole})
