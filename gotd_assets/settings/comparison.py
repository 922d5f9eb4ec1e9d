"""Section `comparison`."""

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.section import Name, Section
from gotd_assets.settings.selection import METHOD_NAMES, canonical_budget


class ComparisonSettings(Section):
    """What `gotd compare` compares: methods on targets, over budgets and seeds."""

    targets: list[Name] = Field(default_factory=list, description="Targets; all by default.")
    methods: list[Name] = Field(
        default_factory=list,
        description="Selection methods; those of `selection.methods` by default. The base model is always a row.",
    )
    budgets: list[Annotated[int | str, AfterValidator(canonical_budget)]] = Field(
        default_factory=list,
        description="Budgets, as `selection.budget`; by default a quarter, half and the whole of that one. Budgets in tokens "
        "compare methods at equal tokens.",
    )
    vectors: dict[Name, EncoderSettings] = Field(
        default_factory=dict,
        description="Other vectors to compare beside those of `encoder`, as that section: {words: {kind: lexical}}. Methods "
        "that go by vectors are compared on each.",
        examples=["{words: {kind: lexical}}"],
    )
    seeds: int = Field(
        3,
        ge=1,
        description="Each seed draws the target's sample, what methods draw, and the order of training. One says nothing "
        "about another.",
    )
    target_share: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Share of the target's texts that each seed draws; held-out texts are the same for all.",
    )

    @field_validator("methods")
    @classmethod
    def _methods_exist(cls, methods: list[str]) -> list[str]:
        for name in methods:
            if name not in METHOD_NAMES:
                raise ValueError(f"there is no method {name!r}; known are: {', '.join(METHOD_NAMES)}")
        return methods
