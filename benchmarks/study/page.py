"""The study's page: every table from what its comparisons made, good or bad."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.study import plots
from benchmarks.study.results import StudyResults
from benchmarks.study.verdicts import GOTD, losses, tallies, verdicts
from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.catalogue.tables import markdown_table
from gotd_assets.models.statistics import Mean

_HEAD = """# Study: the methods side by side on real text

<!-- Written by `python -m benchmarks.study page docs/study.md`. Do not edit: run it again. -->

`make study-quick` and `make study` compare every method that needs no more than a pool and a target. Texts come out of
packages of the Python registry. A text goes whole to the pool, to the target side or to the held-out side before it
is cut into documents; duplicates, and documents of the pool that are (nearly) target or held-out text, are removed.
Every seed draws another sample of the target, another draw of the methods that draw, and another order of training;
the held-out documents (one of a text) are the same for all. *as-it-comes* trains the base model as published;
*trained-on-pool* is the theorem's regime: the base model was first trained on random documents of the pool, so that the
pool is its pre-training distribution. A study is a project that is generated below `.gotd/study`, and what compares is
`gotd compare`: it goes on where it was interrupted, and its artifacts, its lineage and its MLflow are those of any project.

± is half of a 95 % interval over seeds (Student's t, wide with two seeds). Comparisons are paired: the change of
perplexity on the same documents (below zero is better), its 95 % interval over seeds and documents (two-way, Student's t;
`gotd_assets/models/statistics.py`), and p from the same interval. In tables p is of one comparison alone; where wins are counted it
is corrected for all that are counted (Holm). One seed says nothing about another: its interval is of documents alone.

**Sections that say "Read from MLflow"** were made by an earlier program of this study's own, which drew samples of a mixture
in exactly equal parts, started solves at another random part of the pool in every seed, and measured costs in processor
seconds. They have an earlier interval, a bootstrap, and a p that ignores seeds. It covers
92 % with five seeds and 81 % with two where it says 95 %. Take those intervals 1.6 times as wide for five seeds and nine
times for two (t over normal quantile, times √(S/(S−1))), and their p and counts of wins as too good. The figures of
`gotd-debiased` in them are of an earlier method that barred a part of the pool by chance. Their vectors of words weighed
each word by how rare it was in that pool; `--encoder lexical` and `minilm+lexical` are now what anybody has
(`encoder.kind: lexical`, `encoder.lexical: 0.5`), which fit nothing.
"""

_CAVEATS = """## To be kept in mind

- The near-duplicate guard of `gotd-rounds` (cosine .95) was tuned while looking at results of earlier experiments on text
  like this. Its results here are not those of a method fixed beforehand.
- That `dsir` keeps documents shorter than the pool's median back when fewer than 100 words are usual is our own choice,
  made after seeing that short documents crowded in otherwise; the authors' default (100 words) would keep back nearly
  every document of this length.
- `tsds` departs from its authors' program: it draws without replacement, since a selection here holds a document once, and
  its neighbours are exact where theirs are approximate.
- `dapt` is told which source every document comes from, and in these pools the rare domain is a source of its own: it
  needs only to find the nearest source to select that domain alone. No other method but all-domains sees sources.
- The quick study is a small one: few seeds, short trainings of a small model, two targets of the same rare domain.
- Documents are short, one language model of 135 million parameters was trained, and only its last layers: effects of a
  selection are small in such a setting. They say nothing of large models.
- The full study's plan was cut down, before methods were compared in it, to what two processors embed and train in some
  hours: four targets, documents of half the length, 100 documents to train on, 1000 instead of 5000 neighbours for `tsds`.
  With so few documents per seed, two seeds say little: what is missing is under *What was run*.
- What a selection costs grows with the pool, what a training costs with the budget. The full study has a pool five times
  as large as the quick one's and trains on a quarter of the text, so the ratio of the two is twenty times as unfavourable.
- Costs are medians with the range over targets and seeds. In sections read from MLflow they are processor seconds over all
  threads, those of threads that wait for each other included, and memory is the highest resident memory above that before the
  method began. In the others they are seconds by the clock, other programs that ran at the same time included.
"""


_WHY = """## Why it loses where it does

What the full study's tables of losses come to (the run of 2026-11-27; base model as it comes, unless said otherwise).

- **Parliament, against DSIR: the vectors, not the method.** MiniLM tells topics apart, and what is debated in parliament
  is in speeches and the news, too. No method that sees those vectors alone finds the debates (`gotd` 15 %, `tapt-c` 9 %,
  `tsds` 6 %); DSIR, which counts words, finds 40 %. Given vectors of the words used (`python -m benchmarks.study run --encoder lexical`),
  the same gradient step finds 67 %, and its perplexity is 4.2 % below DSIR's instead of 6.2 % above. Those vectors
  know little of topics, though: with them `gotd` is no better than DSIR for sport and both mixtures.
- **Both kinds of vectors beside each other** (`--encoder minilm+lexical`) put `gotd` ahead of DSIR for all four targets in the mean,
  beyond the wider interval for sport and for news and film; for parliament (46 % of the selection, perplexity 1.2 % below)
  it is undecided. It finds more of the sport (91 instead of 84 %), though its perplexity there is no better. For the mixture of tweets and
  technology (1.4 % ahead, undecided) plain MiniLM stays the better one.
- **Tweets and technology, 6.0 instead of 8 times the pool's share: the single step.** Tweets repeat one another; one step
  takes near-copies of what helps most (19 % of its selection), and technology, which was to be learnt, gets worse than
  with random documents. `gotd-debiased`, whose scores leave out what the pool's own density adds, finds 38 times
  the pool's share and improves on random selection for both parts and with both base models; `gotd-rounds`, which looks
  again after each step, finds 21 times and takes no near-copies.
- **Sport, against nearest neighbours.** The target is one topic, of which the pool lacks everything alike: nothing is
  gained by weighing what is missing, and both select nearly the same share of sport (84 and 83 %). `tapt-c` is ahead by
  0.8 %, beyond the wider interval only of `gotd-rounds`; with the model trained on the pool by at most 0.4 %, within it.
- **DAPT** is told the sources, see below; for mixtures it takes one of the two parts alone.
- **Cost.** A single step costs 0.08 of a training of 100 documents; debiasing (0.4) and rounds (1.3) cost more than the
  tenth that was hoped for. They grow with the pool, not with what is trained on: the tenth is reached for trainings four
  and thirteen times as long, of 400 and 1,300 such documents.
"""


_HEADING = re.compile(r"## The (?P<name>.+) study\n")
FIGURE_THREE, FIGURE_THREE_ON_TEXT = "figure-3.svg", "figure-3-text.svg"
_FIGURE_THREE = """## Figure 3 of the paper, in full

![what each method selects, over budgets and mixtures]({folder}/{file})

Ten thousand points of two Gaussians, 99 % cats and 1 % dogs (`python -m benchmarks.study figure-3`). Matching methods select dogs in the
target's proportion; the gradient of the transport cost selects what is missing. *importance resampling* draws by the true
densities, which DSIR has to estimate. One step goes too far where the target has no or only a few more dogs than the
pool: with 1 % in the target `gotd` selects 56 % dogs, with 10 % nothing else, and both times the transport cost ends
*above* where it began; every other method does better there, and `gotd-rounds`, which looks again after each step,
best.
"""
_FIGURE_THREE_ON_TEXT = """![the same on news and film reviews]({folder}/{file})

The same on text (`python -m benchmarks.study figure-3 --text` draws it from the quick study's documents): a pool of 99 % news and 1 % film
reviews, the larger one of a study that was run, and targets of 200 documents. A target of half film reviews has half
news, which the pool has in plenty: methods that look for what is like the target, `tapt-c`, `dsir` and `tsds`, find
mostly news, and the gradient finds the film reviews; where the target lacks nothing, as at 1 %, it selects none.
At every mixture and budget `gotd` and `gotd-rounds` save more transport cost than those three and `random`. More of the same, with
models trained on the selections, is in the studies' targets of a common and a rare domain.
"""


def write_page(results: Sequence[StudyResults], out: Path, today: dt.date) -> None:
    """Write the page to the file `out`, and its plots to a folder beside it that is named like it.

    The section of a study that `out` has and `results` do not, because it ran in another home, stays as it is.

    Args:
        results: of every study there is.
        out: Markdown file.
        today: date to stand on the page.
    """
    parts = [_HEAD]
    for file, text in ((FIGURE_THREE, _FIGURE_THREE), (FIGURE_THREE_ON_TEXT, _FIGURE_THREE_ON_TEXT)):
        if (out.parent / out.stem / file).is_file():
            parts.append(text.format(folder=out.stem, file=file))
    minilm = {result.plan.name: result for result in results if result.plan.encoder == "minilm"}
    written = {
        _name(result): "\n".join(_section(result, minilm.get(result.plan.name), out, today)) for result in results
    }
    sections = _sections_of(out) | written
    parts += [sections[name] for name in sorted(sections, key=lambda name: (not name.startswith("quick"), name))]
    if "full" in sections:
        parts.append(_WHY)
    parts.append(_CAVEATS)
    write_atomically(out, "\n".join(parts))


def _sections_of(page: Path) -> dict[str, str]:
    """Sections of an earlier page by name of the study."""
    if not page.is_file():
        return {}
    found = {}
    for section in re.split(r"^(?=## )", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading = _HEADING.match(section)
        if heading:
            found[heading["name"]] = section.rstrip("\n") + "\n"
    return found


def _name(results: StudyResults) -> str:
    plan = results.plan
    return plan.name + ("" if plan.encoder == "minilm" else f", {plan.encoder} encoder")


def _section(results: StudyResults, minilm: StudyResults | None, out: Path, today: dt.date) -> list[str]:
    plan = results.plan
    name = _name(results)
    slug = plan.name + ("" if plan.encoder == "minilm" else f"-{plan.encoder}")
    folder = out.parent / out.stem
    plots.save(plots.rare_shares(results), folder / f"{slug}-shares.svg")
    parts = [f"## The {name} study\n", _setting(results, today), _extent(results)]
    parts += ["### What is selected\n", f"![share of the rare domain over budgets]({out.stem}/{slug}-shares.svg)\n"]
    parts += [_selection_table(results, target) for target in results.targets]
    parts.append("### Perplexity on held-out target text\n")
    figure = plots.perplexity_changes(results)
    if figure is None:
        parts.append("Nothing was trained yet.\n")
    else:
        plots.save(figure, folder / f"{slug}-perplexity.svg")
        parts.append(f"![perplexity against random]({out.stem}/{slug}-perplexity.svg)\n")
        parts += [
            table
            for regime in results.regimes
            for target in results.targets
            if (table := _perplexity_table(results, target, regime))
        ]
    if minilm is not None and minilm is not results:
        parts.append(_beside(results, minilm))
    return [*parts, _costs(results), *_judgement(results)]


def _beside(results: StudyResults, minilm: StudyResults) -> str:
    """What the vectors change."""
    encoder, budget = results.plan.encoder, results.plan.training_budget
    rows = []
    for target in results.targets:
        for method in results.methods:
            shares = [_percent(study.rare_share(target, method, budget)) for study in (minilm, results)]
            gaps = [
                str(study.difference(target, results.regimes[0], method, "dsir") or "–") if method != "dsir" else ""
                for study in (minilm, results)
            ]
            rows.append([target, method, *shares, *gaps])
    head = ["target", "method", *(f"share of the rare domain, {name}" for name in ("minilm", encoder))]
    head += [f"perplexity against DSIR, {results.regimes[0]}, {name}" for name in ("minilm", encoder)]
    return (
        "### With these vectors and with MiniLM's\n\nThe same pool, samples of the targets and budget. `random` and `dsir` "
        "use no vectors.\n\n" + "\n".join(markdown_table(head, rows))
    )


def _setting(results: StudyResults, today: dt.date) -> str:
    plan, counts = results.plan, results.pool_documents
    pool = ", ".join(f"{domain} {count:,}" for domain, count in sorted(counts.items(), key=lambda item: -item[1]))
    targets = "; ".join(
        f"*{target.name}*: {' and '.join(target.domains)}"
        + (f" in equal parts, of which {target.rare} is rare" if target.is_mixture else ", rare")
        for target in plan.targets
    )
    return (
        f"Pool: {sum(counts.values()):,} documents from {len(counts)} domains ({pool}). Targets: {targets}; "
        f"samples of {plan.target_documents} documents, {plan.heldout_documents} held out. Documents of at most "
        f"{plan.max_chars} characters. Trained on "
        f"{plan.training_budget} documents for one epoch, learning rate {plan.learning_rate:g}, last "
        f"{plan.trainable_layers} layers of SmolLM2-135M-Instruct, {plan.max_tokens} tokens a document; "
        f"trained-on-pool: {plan.pretraining_documents:,} random documents first. Encoder {plan.encoder}, "
        f"½‖x−y‖², ε {plan.epsilon}, every document of a sample a point. Read from the artifacts of `gotd compare` on {today}; "
        f"{results.machine}.\n"
    )


def _extent(results: StudyResults) -> str:
    plan = results.plan
    planned = len(plan.targets) * len(plan.methods) * len(plan.budgets) * plan.seeds
    rows = [["selections", str(len(results.selections)), str(planned)]]
    for regime in results.regimes:
        for target in results.targets:
            seeds = {
                method: sum(key[:3] == (target, regime, method) for key in results.trained)
                for method in results.methods
            }
            missing = [f"{method} {count}" for method, count in seeds.items() if count < plan.training_seeds(method)]
            rows.append(
                [
                    f"trainings, {target}, {regime}" + (f" (fewer seeds: {', '.join(missing)})" if missing else ""),
                    str(sum(seeds.values())),
                    str(sum(plan.training_seeds(method) for method in results.methods)),
                ]
            )
    return "What was run, of what is planned:\n\n" + "\n".join(markdown_table(["", "run", "planned"], rows))


def _selection_table(results: StudyResults, target: str) -> str:
    budget, pool = results.plan.training_budget, results.pool_share(target)
    dsir = results.rare_share(target, "dsir", budget)
    rows = []
    for method in results.methods:
        share = results.rare_share(target, method, budget)
        if share is None:
            continue
        overlap = results.overlap(target, method, budget)
        rows.append(
            [
                method,
                _percent(share),
                f"{share.value / pool:.1f}×",
                f"{share.value / dsir.value:.1f}×" if dsir and dsir.value else "–",
                _number(results.figure("transport_saved", target, method, budget), ".4f", half_width=False),
                _percent(results.figure("near_duplicate_share", target, method, budget)),
                _number(results.figure("mean_nearest_distance", target, method, budget), ".3f"),
                "–" if overlap is None else f"{overlap:.0%}",
            ]
        )
    if not rows:
        return f"Target {target}: nothing was selected yet.\n"
    rare = results.plan.target(target).rare
    head = [
        "method",
        f"share of {rare}",
        "of the pool's",
        "of DSIR's",
        "transport cost saved (λ .2)",
        "near-duplicates",
        "distance to the nearest",
        "stays with another sample",
    ]
    return f"Target {target}, {budget} documents; {rare} is {pool:.2%} of the pool.\n\n" + "\n".join(
        markdown_table(head, rows)
    )


def _perplexity_table(results: StudyResults, target: str, regime: str) -> str:
    rows = []
    base = results.base(target, regime)
    if base is not None:
        rows.append(["base model", f"{base.perplexity:.2f}", "", "", "", ""])
    for method in results.methods:
        mean = results.perplexity(target, regime, method)
        if mean is None:
            continue
        against = [
            str(results.difference(target, regime, method, other) or "–") if other != method else ""
            for other in ("random", "dsir", "tapt-c")
        ]
        rows.append([method, _number(mean, ".2f"), str(mean.count), *against])
    if len(rows) < 2:
        return ""
    head = ["method", "perplexity", "seeds", "against random", "against DSIR", "against TAPT/c"]
    return (
        f"Target {target}, {regime}:\n\n" + "\n".join(markdown_table(head, rows)) + _by_domain(results, target, regime)
    )


def _by_domain(results: StudyResults, target: str, regime: str) -> str:
    """For a mixture: who gains on which of its parts."""
    domains = results.plan.target(target).domains
    rows = [
        [method, *(str(gap or "–") for gap in gaps)]
        for method in results.methods
        if method != "random"
        and any(gaps := [results.difference(target, regime, method, "random", domain) for domain in domains])
    ]
    if len(domains) < 2 or not rows:
        return ""
    return "\nThe same against random, by the domain of the held-out documents:\n\n" + "\n".join(
        markdown_table(["method", *domains], rows)
    )


def _costs(results: StudyResults) -> str:
    training = results.training_seconds()
    rows = [
        [method, _range(seconds), f"{median(seconds) / median(training):.3f}" if training else "–"]
        for method in results.methods
        if (seconds := results.costs(method))
    ]
    note = f"The updates of one training took {_range(training)} seconds.\n\n" if training else ""
    return (
        "### What it costs\n\nSeconds by the clock, without embedding, which all but random, all-domains and DSIR need; "
        f"with the solve where a method uses it.\n\n{note}"
        + "\n".join(markdown_table(["method", "seconds", "of one training's"], rows))
    )


def _judgement(results: StudyResults) -> Iterable[str]:
    yield "### Does GOT-D keep its promises here?\n"
    for method in (name for name in GOTD if name in results.methods):
        found = verdicts(results, method)
        rows = [[entry.question, entry.target, entry.measured, entry.answer] for entry in found]
        yield f"For `{method}`:\n\n" + "\n".join(markdown_table(["promise", "target", "measured", "kept"], rows))
    yield (
        "### Perplexities compared, in all\n\n"
        + "\n".join(
            markdown_table(
                ["of GOT-D", "against", "better", "undecided", "worse"],
                [[entry.method, entry.other, *map(str, entry.counts)] for entry in tallies(results)],
            )
        )
        + "\nTargets and regimes in which the 95 % interval lies below zero, includes it, or lies above.\n"
    )
    lost = losses(results)
    yield "### Where GOT-D loses\n\n" + (
        "".join(f"- {line}\n" for line in lost) if lost else "Nowhere among what was run.\n"
    )


def _number(mean: Mean | None, form: str, *, half_width: bool = True) -> str:
    if mean is None:
        return "–"
    known = mean.half_width if half_width else None
    return f"{mean.value:{form}}" + ("" if known is None else f" ± {known:{form}}")


def _range(values: Sequence[float]) -> str:
    """Median, and from where to where."""
    return f"{median(values):.2f} ({min(values):.2f} – {max(values):.2f})"


def _percent(mean: Mean | None) -> str:
    if mean is None:
        return "–"
    return f"{100 * mean.value:.1f} %" + ("" if mean.half_width is None else f" ± {100 * mean.half_width:.1f}")
