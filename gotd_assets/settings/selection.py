"""Section `selection`."""

import dataclasses
import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)

from gotd_assets.settings.section import Name, Section

_BUDGET = re.compile(r"(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<thousands>[kKmM]?)\s*(?P<unit>%|tokens)?", re.ASCII)
_MULTIPLES = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much to select.

    Attributes:
        kind: what `amount` counts; 'until-zero' takes every candidate that still helps.
        amount: documents, share in (0, 1], or tokens; 0 for 'until-zero'.
    """

    kind: Literal["documents", "share", "tokens", "until-zero"]
    amount: float

    @classmethod
    def parse(cls, value: int | str) -> Self:
        """Read 1000, '1000', '2%', '50k tokens' or 'until-zero'.

        Raises:
            ValueError: it is none of these.
        """
        text = str(value).strip()
        if text == "until-zero":
            return cls("until-zero", 0)
        found = _BUDGET.fullmatch(text)
        amount = float(found["number"]) * _MULTIPLES[found["thousands"].lower()] if found else 0.0
        unit = found["unit"] if found else None
        if found is None or amount <= 0 or (unit == "%" and (found["thousands"] or amount > 100)):
            raise ValueError(
                f"{text!r} is no budget: write a number of documents (1000), a share of the candidates ('2%'), a number "
                "of tokens ('50k tokens', '1.5M tokens') or 'until-zero'"
            )
        if unit == "%":
            return cls("share", amount / 100)
        if amount != int(amount):
            raise ValueError(f"{text!r} is no budget: {unit or 'documents'} come in whole numbers")
        return cls("tokens" if unit == "tokens" else "documents", amount)


def canonical_budget(value: int | str) -> int | str:
    """`value` checked; a number of documents becomes an integer, so that 8 and '8' make the same selection.

    Raises:
        ValueError: it is no budget.
    """
    budget = Budget.parse(value)
    return int(budget.amount) if budget.kind == "documents" else str(value).strip()


METHOD_NAMES = (
    "gotd",
    "gotd-away",
    "gotd-debiased",
    "gotd-toward-and-away",
    "gotd-rounds",
    "gotd-round-robin",
    "random",
    "all-domains",
    "dapt",
    "tapt-c",
    "round-robin",
    "dsir",
    "tsds",
    "rds-plus",
    "tacs",
    "less-lite",
    "betr",
    "gotd-distilled",
    "rtp",
)


class DsirSettings(Section):
    """Data selection by importance resampling (Xie et al. 2023)."""

    buckets: int = Field(10_000, ge=2, description="Buckets that unigrams and bigrams are hashed into.")
    min_tokens: int | None = Field(
        None,
        ge=0,
        description="Documents of fewer words come last: the sum of log ratios favours short ones. By default 100, as in the "
        "authors' package, or the candidates' median number of words if that is less.",
    )


class TsdsSettings(Section):
    """Task-specific data selection by optimal transport with nearest neighbours (Liu et al. 2024)."""

    alpha: float = Field(
        0.5, gt=0, lt=1, description="Weight of alignment with the target against spreading the selection out."
    )
    scale: float = Field(5.0, gt=0, description="The paper's C: a constant of the size of a typical distance.")
    sigma: float = Field(
        0.75, ge=0, description="Width of the kernel that counts near-duplicates, in units of distance; 0 turns it off."
    )
    neighbours: int = Field(5000, ge=2, description="Nearest candidates of a target document that it may draw on.")
    density_neighbours: int = Field(1000, ge=1, description="Neighbours that enter a candidate's kernel density.")


class TacsSettings(Section):
    """Loss drop during a warm-up on the target ("Let the Target Select for Itself", 2026)."""

    epochs: int = Field(
        4, ge=2, description="T: passes over the target's texts; the drop is from the first to the last."
    )
    learning_rate: float | None = Field(
        None, gt=0, description="Peak learning rate of the warm-up; by default that of `training`."
    )


class LearnedSettings(Section):
    """Classifiers of words that are taught on a sample of the pool."""

    sample: int = Field(20_000, ge=20, description="Documents drawn from the candidates to learn from.")
    positive: float = Field(
        0.1, gt=0, lt=1, description="Share of the sample, the nearest to the target, that 'betr' tells from the rest."
    )


class SelectionSettings(Section):
    """What is chosen."""

    methods: list[Name] = Field(
        default_factory=lambda: ["gotd", "random"],
        min_length=1,
        description="Selection methods to run, each its own partition: " + ", ".join(METHOD_NAMES) + ".",
    )
    budget: Annotated[int | str, AfterValidator(canonical_budget)] = Field(
        1000,
        description="What to select: documents (1000), a share of the candidates ('2%'), tokens ('50k tokens', estimated "
        "by characters_per_token) or 'until-zero' (every candidate whose calibrated score is negative).",
    )
    characters_per_token: float = Field(
        4.0, gt=0, description="A budget in tokens counts a document's characters divided by this, rounded up."
    )
    seed: int = Field(0, ge=0, description="Seed of methods that draw at random.")
    mixing: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="λ of the effective distribution λ·selection + (1−λ)·pool: what 'gotd-rounds' works towards, and whose "
        "OT distance is reported.",
    )
    worth_mixings: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=lambda: [0.05, 0.2, 0.5],
        min_length=1,
        description="Further λ for which the report shows the OT distance of the effective distribution.",
    )
    stability_resamples: int = Field(
        2,
        ge=0,
        description="Bootstrap samples of the target that a selection is compared over, each a solve of its own; 0 for none.",
    )
    nearest_sources: int | None = Field(
        None,
        ge=1,
        description="Select only from this many sources, the nearest to the target by OT distance; all if unset.",
    )
    relevance_sample: int = Field(
        10_000, ge=1, description="Documents of a source that its OT distance to the target is measured on."
    )
    rounds: int = Field(
        10, ge=1, description="Steps of 'gotd-rounds', after each of which the transport is solved again."
    )
    rounds_similarity: float = Field(
        0.95,
        gt=0,
        le=1,
        description="'gotd-rounds' passes over a candidate whose cosine similarity to one chosen is above this for "
        "others that help at least half as much; 1 turns it off.",
    )
    away_target: Name | None = Field(
        None, description="Target to stay away from by 'gotd-toward-and-away'; one of `targets`."
    )
    away_weight: float = Field(
        1.0, gt=0, description="What the score against away_target counts, beside 1 for the target's own."
    )
    round_robin: list[Name] = Field(
        default_factory=list,
        description="Targets that share one budget by 'gotd-round-robin', in the order of their turns.",
    )
    dsir: DsirSettings = Field(default=DsirSettings(), description="Method 'dsir'.")
    tsds: TsdsSettings = Field(default=TsdsSettings(), description="Method 'tsds'.")

    tacs: TacsSettings = Field(default=TacsSettings(), description="Method 'tacs'.")
    learned: LearnedSettings = Field(default=LearnedSettings(), description="Methods 'betr' and 'gotd-distilled'.")

    @field_validator("methods")
    @classmethod
    def _methods_exist(cls, methods: list[str]) -> list[str]:
        for name in methods:
            if name not in METHOD_NAMES:
                raise ValueError(f"there is no method {name!r}; known are: {', '.join(METHOD_NAMES)}")
        return methods

    @model_validator(mode="after")
    def _methods_are_distinct(self) -> Self:
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods must differ from each other, got {self.methods}")
        if "gotd-toward-and-away" in self.methods and self.away_target is None:
            raise ValueError("method 'gotd-toward-and-away' needs away_target: name the target to stay away from")
        if "gotd-round-robin" in self.methods and not self.round_robin:
            raise ValueError("method 'gotd-round-robin' needs round_robin: name the targets that share the budget")
        if len(set(self.round_robin)) != len(self.round_robin):
            raise ValueError(f"round_robin: each target has one turn in a round, got {self.round_robin}")
        return self
