"""What was hoped of GOT-D, held against what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

from gotd_assets.models.comparison import corrected

if TYPE_CHECKING:
    from benchmarks.study.results import StudyResults

# A selection without embedding should cost less than this share of one training.
_COST_SHARE = 0.1
_TIMES_POOL = 8.0
_TIMES_DSIR = 1.5
GOTD = ("gotd", "gotd-debiased", "gotd-rounds")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One hope: the `question`, for which `target`, what was `measured`, and the `answer` in a word or two."""

    question: str
    target: str
    measured: str
    answer: str


def verdicts(results: StudyResults, method: str = "gotd") -> list[Verdict]:
    """Every hope for `method`, target by target, answered as far as the results go."""
    found = []
    for target in results.targets:
        found += [*_composition(results, target, method), *_perplexity(results, target, method)]
    return [*found, *_cost(results, method)]


@dataclasses.dataclass(frozen=True)
class Tally:
    """In how many targets and regimes `method` has a lower perplexity than `other`, is undecided, has a higher one."""

    method: str
    other: str
    counts: tuple[int, int, int]


def tallies(results: StudyResults) -> list[Tally]:
    """Every variant of GOT-D against every other method, as far as models were trained, corrected for their number."""
    made = [
        (method, other, gap)
        for method in (name for name in results.methods if name in GOTD)
        for other in (name for name in results.methods if name not in GOTD)
        for regime in results.regimes
        for target in results.targets
        if (gap := results.difference(target, regime, method, other)) is not None
    ]
    judged = corrected([gap for _, _, gap in made])
    found: dict[tuple[str, str], list[int]] = {}
    for (method, other, _), gap in zip(made, judged, strict=True):
        counts = found.setdefault((method, other), [0, 0, 0])
        counts[1 if not gap.sure else 0 if gap.change < 0 else 2] += 1
    return [Tally(method, other, (counts[0], counts[1], counts[2])) for (method, other), counts in found.items()]


def losses(results: StudyResults) -> list[str]:
    """Every comparison that a variant of GOT-D does not win, in a sentence each."""
    lines = []
    budget = results.plan.training_budget
    for target in results.targets:
        shares = {
            method: mean.value
            for method in results.methods
            if (mean := results.rare_share(target, method, budget)) is not None
        }
        for method in (name for name in GOTD if name in shares):
            better = [
                f"{other} ({share:.1%})"
                for other, share in shares.items()
                if other not in GOTD and share > shares[method]
            ]
            if better:
                lines.append(
                    f"{target}: `{method}` finds less of the rare domain ({shares[method]:.1%}) than {', '.join(better)}."
                )
    for regime in results.regimes:
        for target in results.targets:
            for method in GOTD:
                for other in results.methods:
                    if other in GOTD:
                        continue
                    gap = results.difference(target, regime, method, other)
                    if gap is not None and gap.change > 0:
                        sure = "and the interval excludes zero" if gap.low > 0 else "within the interval"
                        lines.append(
                            f"{target}, {regime}: `{method}` has a perplexity {gap.change:.2%} above that of `{other}` "
                            f"([{gap.low:+.2%}, {gap.high:+.2%}], {_seeds(gap.seeds)}): {sure}."
                        )
    return [*lines, *_on_a_part(results)]


def _on_a_part(results: StudyResults) -> Iterator[str]:
    """Mixtures on a part of which a variant of GOT-D is worse than random."""
    for regime in results.regimes:
        for target in results.targets:
            domains = results.plan.target(target).domains
            for method in GOTD if len(domains) > 1 else ():
                for domain in domains:
                    gap = results.difference(target, regime, method, "random", domain)
                    if gap is not None and gap.change > 0:
                        sure = "and the interval excludes zero" if gap.low > 0 else "within the interval"
                        why = (
                            ""
                            if domain == results.plan.target(target).rare
                            else " It selects what the target lacks, and the model is trained away from what the pool has "
                            "plenty of."
                        )
                        yield (
                            f"{target}, {regime}: on its part {domain} `{method}` has a perplexity {gap.change:.2%} above that "
                            f"of `random` ([{gap.low:+.2%}, {gap.high:+.2%}], {_seeds(gap.seeds)}): {sure}.{why}"
                        )


def _composition(results: StudyResults, target: str, method: str) -> Iterator[Verdict]:
    budget, pool = results.plan.training_budget, results.pool_share(target)
    share = results.rare_share(target, method, budget)
    dsir = results.rare_share(target, "dsir", budget)
    if share is None:
        return
    times = share.value / pool
    question = f"share of the rare domain at least {_TIMES_POOL:g} times the pool's"
    yield Verdict(question, target, f"{times:.1f} times", _yes(times >= _TIMES_POOL))
    if dsir is not None and dsir.value:
        times = share.value / dsir.value
        question = f"share of the rare domain at least {_TIMES_DSIR:g} times DSIR's"
        yield Verdict(question, target, f"{times:.2f} times", _yes(times >= _TIMES_DSIR))


def _perplexity(results: StudyResults, target: str, method: str) -> Iterator[Verdict]:
    for regime in results.regimes:
        for other, strict in (("random", True), ("dsir", True), ("tapt-c", False)):
            gap = results.difference(target, regime, method, other)
            hope = f"perplexity better than {other}'s" + (", interval without zero" if strict else " in the mean")
            if gap is None:
                yield Verdict(hope, f"{target}, {regime}", "not run", "unknown")
                continue
            kept = gap.high < 0 if strict else gap.change < 0
            measured = f"{gap.change:+.2%} [{gap.low:+.2%}, {gap.high:+.2%}], {_seeds(gap.seeds)}"
            yield Verdict(hope, f"{target}, {regime}", measured, _yes(kept))


def _cost(results: StudyResults, method: str) -> Iterator[Verdict]:
    trainings = results.training_seconds()
    for target in results.targets if trainings else ():
        selections = results.costs(method, target)
        if selections:
            share = median(selections) / median(trainings)
            question = f"selection without embedding under {_COST_SHARE:g} of one training's time"
            yield Verdict(question, target, f"{share:.3f}", _yes(share < _COST_SHARE))


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def _yes(kept: bool) -> str:
    return "yes" if kept else "**no**"
