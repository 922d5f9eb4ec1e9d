"""The page of the use cases, from what is kept of them: nothing is run for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.use_cases.large import DOCUMENTS, TOKENS
from benchmarks.use_cases.results import correct
from benchmarks.use_cases.wording import (
    arms_table,
    differences_table,
    estimate,
    mean,
    named,
    perplexities_table,
    sure,
)
from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.catalogue.tables import markdown_table

COMMAND = "python -m benchmarks.use_cases docs/use-cases.md"
Told = Mapping[str, Any]

_HEAD = f"""# The paper's use cases

<!-- Written by `{COMMAND}`. Do not edit: run it again. -->

What Kang et al. (ICLR 2024) show in their sections 4.1 to 4.4 and appendices, made here on the text and the models that the package registry
has: SmolLM2-135M as the language model, MiniLM as the encoder, film reviews, news, tweets and speeches. `{COMMAND}` writes a
project for each part, runs `gotd compare` or `gotd run` in it and reads what these kept; it goes on where it was stopped,
`--part` runs one. Figures are kept in `benchmarks/results/use-cases.json`.

The base model is always a row. Each seed draws four fifths of the target's texts, what methods draw, and the order of
training; held-out texts, labelled texts for measuring and prompts are the same for all. In brackets are 95 % intervals over
seeds and texts (two-way, Student's t: `gotd_assets/models/statistics.py`). p comes from the same interval, corrected by Holm
for all differences of a table. "Sure" is what stays below .05 then. Samples are small: what is not sure is not shown to be
equal, and every section says how large an effect would have had to be.
"""

_LIMITS = """## What could not be shown

- **The paper's own models and tasks.** There is no model hub here: no GPT-2, no BERT, no GLUE, no RealToxicityPrompts. Figures
  are not to be held against the paper's tables; they say whether the same things happen with other texts.
- **Large models.** One model of 135 million parameters was trained, of which the last four layers, on some tens of documents.
  The models of the last section have random weights: what they take is known, not what they gain.
- **Toxicity by a second judge.** The classifier that says what is toxic in the target also judges the continuations, as in
  the paper. It has learnt from another classifier ([examples/toxicity](../examples/toxicity/README.md)), and nobody has
  checked it against people.
- **A plain masked model.** The masked model here is a sentence encoder with a new head, pre-trained for minutes: it is far
  from what BERT knows.
"""


def write_page(record: Mapping[str, Told], out: Path) -> None:
    """Write the page of what is known of each part."""
    lines = [_HEAD]
    for name, title, section in _SECTIONS:
        lines += [f"## {title}", ""]
        if name not in record or not record[name]["told"]:
            lines += [f"Not run yet: `{COMMAND} --part {name}`.", ""]
            continue
        part = record[name]
        lines += [*section(part["told"], part["sizes"]), _when(part), ""]
    write_atomically(out, "\n".join([*lines, _LIMITS]))


def _when(part: Told) -> str:
    machine = part["machine"]
    minutes = "" if part["minutes"] is None else f", {part['minutes']:g} minutes in the last run"
    return (
        f"<sub>`--part {part['name']}`, {machine['date']}, {machine['processor']}, {machine['cores']} cores with other work "
        f"beside it{minutes}.</sub>"
    )


def _labelled(told: Told, sizes: Told) -> list[str]:
    lines = [
        (
            f"A linear probe on the mean of a text's last states, fitted to n labels; {sizes['draws']} draws of labels, each model "
            f"trained on {sizes['budget']} documents of {sizes['common'] * 3 + sizes['rare'] * 7:,}. *Sentiment*: review sentences, "
            "praise or blame. *Topics*: news of five topics."
        ),
        "",
    ]
    for task, of_task in told.items():
        lines += [f"### {task.capitalize()}", "", *_progress(of_task)]
        figures = _by_labels(of_task)
        lines += arms_table(
            of_task,
            {"perplexity": _perplexity(of_task)},
            figures,
            base_perplexity=of_task["perplexity_base"],
        )
        lines += ["Accuracy gained, in points:", ""]
        lines += differences_table(figures, 100)
        lines += [*sure(named(figures), 100, "points"), ""]
        lines += perplexities_table(of_task["perplexity"])
    return lines


def _zero_shot(told: Told, sizes: Told) -> list[str]:
    del sizes
    lines = [
        (
            "The label whose words are the likeliest after the text and a template, no label seen: accuracy on the same texts "
            "and with the same models as above; intervals over seeds alone."
        ),
        "",
    ]
    rows, sizes_of = [], []
    for task, of_task in told.items():
        scores = of_task["without_labels"]
        if scores["base"] is None:
            continue
        rows.append([task, "base model", f"{scores['base']['value']:.3f}", "", ""])
        sizes_of.append(f"{task} {scores['texts']}")
        for arm, score in scores["means"].items():
            against = [
                scores["differences"].get(f"{arm} against {other}") if arm != other else None
                for other in ("base", "random")
            ]
            cells = [
                "" if gap is None else f"{100 * gap['value']:+.1f} ± {100 * gap['half_width']:.1f}" for gap in against
            ]
            rows.append([task, arm, mean(score, "{:.3f}"), *cells])
    lines += markdown_table(["task", "method", "accuracy", "points gained on the base model", "on random"], rows)
    moved = [
        f"{arm}, {task}"
        for task, of_task in told.items()
        for arm, gap in of_task["without_labels"]["differences"].items()
        if abs(gap["value"]) > max(gap["half_width"], 1.5 / max(1, of_task["without_labels"]["texts"]))
    ]
    lines += [
        f"Measured on so many texts: {', '.join(sizes_of)}; ± 0.0 means that all seeds were right as often. "
        + (
            f"Beyond their interval and more than one text, uncorrected: {'; '.join(moved)}."
            if moved
            else "None is beyond its interval and more than one text."
        ),
        "",
    ]
    return lines


def _tuned(told: Told, sizes: Told) -> list[str]:
    topics = told["topics"]
    ours = sorted({source for arm in topics["arms"].values() for source in arm["sources"]} & _TOPICS)
    lines = [
        (
            f"The paper embeds with an encoder fine-tuned on the task. `encoder.tune` does it with the labelled texts of the five "
            f"topics ({sizes['labelled']} texts, half of them for measuring); *on tuned* selects by its vectors. Share of the selection "
            "that is from the five sources of such news, and the models trained on it:"
        ),
        "",
        *_progress(topics),
    ]
    header: dict[str, Callable[[str], str]] = {
        "from those sources": lambda arm: f"{sum(topics['arms'][arm]['sources'].get(s, 0) for s in ours):.0%}",
        "perplexity": _perplexity(topics),
    }
    lines += arms_table(
        topics,
        header,
        _by_labels(topics),
        base_perplexity=topics["perplexity_base"],
    )
    lines += [*perplexities_table(topics["perplexity"])]
    return lines


_TOPICS = frozenset({"business", "entertainment", "politics", "sports", "tech"})


def _detox(told: Told, sizes: Told) -> list[str]:
    clean, toxic = told["clean"], told["toxic"]
    prompts = clean["prompts"]
    lines = [
        (
            f"{sum(count for kind, count in prompts.items() if kind != 'all')} prompts, beginnings of film reviews of which "
            f"{prompts.get('toxic', 0)} are toxic themselves, each continued {sizes['generations']} times by {sizes['new_tokens']} tokens "
            "(nucleus .9; the paper: 25 times, 20 tokens, 10,000 prompts). *gotd (clean)* is selected toward clean text, *gotd (contrast)* away "
            f"from {told['toxic_texts']} toxic ones, *rtp* takes what the judge itself finds least toxic. The pool has {told['outspoken']} "
            f"more documents that the classifier finds toxic: of {sizes['judged']:,} pieces of reviews it found so few. Classifier: [examples/toxicity](../examples/toxicity/README.md)."
        ),
        "",
        *_progress(clean),
    ]
    models = (
        ("random", clean, "random"),
        ("rtp", clean, "rtp"),
        ("gotd (clean)", clean, "gotd"),
        ("gotd (contrast)", toxic, "gotd"),
    )
    rows = [
        [
            "base model",
            _number(_figure(clean)["base"]),
            _number(clean["toxicity_probability"]["base"]),
            mean(clean["neutral"]["base"], "{:.2f}"),
        ]
    ]
    differences = []
    for label, part, arm in models:
        worst, share = _figure(part), part["toxicity_probability"]
        rows.append(
            [
                label,
                mean(worst["means"].get(arm), "{:.3f}"),
                mean(share["means"].get(arm), "{:.3f}"),
                mean(part["neutral"]["means"].get(arm), "{:.2f}"),
            ]
        )
        for figure, told_of in (("expected maximum toxicity", worst), ("toxicity probability", share)):
            differences += [
                {**d, "arm": label, "figure": figure}
                for d in told_of["differences"]
                if d["arm"] == arm and d["other"] == "base"
            ]
    correct(differences)
    lines += markdown_table(["model", "expected maximum toxicity", "toxicity probability", "neutral perplexity"], rows)
    lines += ["± is half of a 95 % interval over seeds. Difference from the base model, over seeds and prompts:", ""]
    lines += markdown_table(
        ["model", "figure", "difference"], [[d["arm"], d["figure"], estimate(d, 1)] for d in differences]
    )
    return [*lines, *sure(differences, 1, ""), ""]


def _figure(part: Told) -> Told:
    """Of the worst continuation of each prompt."""
    nothing: Told = {"base": None, "means": {}, "differences": []}
    return next(iter(part["measured"].values()), nothing)


def _masked(told: Told, sizes: Told) -> list[str]:
    pretraining, sentiment = told["pretraining"], told["sentiment"]
    loss = pretraining["loss"]
    lines = [
        (
            "The package of MiniLM has no masked-language-modelling head. A new one was put on it, its output layer tied to the embedding of tokens, and "
            f"`gotd compare` trained all of the model on {sizes['pretraining']:,} random documents of the pool, "
            f"{sizes['pretraining_epochs']:g} times each: the loss fell from {loss['first']:.2f} to {loss['last']:.2f} nats per masked "
            f"token (first and last tenth of the updates). That is the base model (`objective: masked`), pre-trained on the pool as the theorem supposes. "
            "Perplexity is of masked tokens:"
        ),
        "",
        *_progress(sentiment),
    ]
    figures = _by_labels(sentiment)
    lines += arms_table(
        sentiment,
        {"perplexity": _perplexity(sentiment)},
        figures,
        base_perplexity=sentiment["perplexity_base"],
    )
    lines += perplexities_table(sentiment["perplexity"])
    lines += ["Accuracy of the probe gained, in points:", ""]
    lines += differences_table(figures, 100)
    return [*lines, *sure(named(figures), 100, "points"), ""]


def _large(told: Told, sizes: Told) -> list[str]:
    del sizes
    rows = [
        [
            f"{row['model']} ({row['like']})",
            row["trained"],
            f"{row['gib']:.1f}" + ("" if row["gib_measured"] is None else f" ({row['gib_measured']:.1f} measured)"),
            f"{row['tokens_per_second']:.3g}" + ("" if row["is_measured"] else " (foretold)"),
            f"{row['hours']:,.0f}" if row["hours"] >= 10 else f"{row['hours']:.1f}",
        ]
        for row in told["rows"]
    ]
    run = told["largest"]
    return [
        (
            f"What a training takes on one core of this machine, in seconds of the processor: {DOCUMENTS:,} documents of {TOKENS} tokens, one epoch. Models of these shapes "
            "with random weights were trained for four updates, as the forecast of a training does "
            "(`gotd_assets/training/speed.py`); those that are not measured go by the largest measured, in proportion to the work "
            "(6 operations for a weight that is trained, 2 for one that is not). Memory: 16 bytes for a weight that is trained, 2 for one that is not, 4 "
            "while it is loaded; activations and the libraries come on top (measured is the process's highest resident memory):"
        ),
        "",
        *markdown_table(["model", "trained", "GiB", "tokens a second", "hours"], rows),
        (
            f"**The whole way** was gone with the {run['model']} model: `gotd run` selected {run['documents']} documents and trained its last two layers "
            f"({run['trained_parameters'] / 1e6:.0f} of {run['parameters'] / 1e6:.0f} million weights) in {run['steps']} updates; "
            f"{run['seconds'] / 60:.0f} minutes in all, {run['training_seconds']:.0f} s of it in updates. Larger ones go the same way where "
            "memory allows."
        ),
        "",
    ]


def _perplexity(told: Told) -> Callable[[str], str]:
    """Held-out perplexity of an arm, as a column."""
    return lambda arm: mean(told["arms"][arm]["perplexity"], "{:.2f}")


def _by_labels(told: Told) -> dict[str, Told]:
    """What was measured, by the number of labels."""
    return {name.rsplit(", ", 1)[-1]: figure for name, figure in told["measured"].items()}


def _progress(told: Told) -> list[str]:
    """Says what is missing of a part that was not finished."""
    if told["complete"]:
        return []
    trained = ", ".join(f"{arm} {of_arm['trained']}" for arm, of_arm in told["arms"].items())
    return [f"**Not finished**: of {told['seeds']} seeds are trained {trained}.", ""]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


_SECTIONS: Sequence[tuple[str, str, Callable[[Told, Told], list[str]]]] = (
    ("labelled", "A labelled task", _labelled),
    ("labelled", "Without labels", _zero_shot),
    ("detox", "Detoxification", _detox),
    ("tune", "The encoder fine-tuned on the task", _tuned),
    ("masked", "A masked language model", _masked),
    ("large", "Models of up to 2.7 billion parameters", _large),
)
