"""How large the use cases are."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Numbers of texts, labels, seeds and prompts.

    Attributes:
        name: names the folder.
        common, rare: documents of each common and each rare source of the pool.
        outspoken: documents of the source that the classifier finds toxic, in the pool of detoxification alone.
        guiding, held_out: texts of each target.
        budget: documents selected and trained on.
        seeds: of labelled tasks.
        few_seeds: of everything that is dearer.
        labelled: labelled texts of each task, about half of them to measure on.
        labels: numbers of labels that a probe is fitted to.
        draws: draws of labels of each number.
        prompts, generations, new_tokens: continued, continuations of each, tokens of each.
        judged: pieces that the classifier of toxicity judges, to find toxic and clean ones.
        pretraining: documents that the masked model is pre-trained on.
        pretraining_epochs: passes over them.
        measured: shapes of GPT-2 that are trained for some updates, by name.
        largest: the one that a whole run is made with.
    """

    name: str
    common: int
    rare: int
    outspoken: int
    guiding: int
    held_out: int
    budget: int
    seeds: int
    few_seeds: int
    labelled: int
    labels: tuple[int, ...]
    draws: int
    prompts: int
    generations: int
    new_tokens: int
    judged: int
    pretraining: int
    pretraining_epochs: float
    measured: tuple[str, ...]
    largest: str


FULL = Sizes(
    name="full",
    common=400,
    rare=100,
    outspoken=150,
    guiding=100,
    held_out=50,
    budget=48,
    seeds=5,
    few_seeds=3,
    labelled=240,
    labels=(10, 20, 40, 80),
    draws=5,
    prompts=24,
    generations=8,
    new_tokens=12,
    judged=1500,
    pretraining=800,
    pretraining_epochs=2,
    measured=("124M", "355M"),
    largest="774M",
)
# To see that all of it works.
TINY = Sizes(
    name="tiny",
    common=60,
    rare=20,
    outspoken=20,
    guiding=20,
    held_out=10,
    budget=8,
    seeds=2,
    few_seeds=2,
    labelled=40,
    labels=(5, 10),
    draws=2,
    prompts=4,
    generations=2,
    new_tokens=4,
    judged=120,
    pretraining=40,
    pretraining_epochs=1,
    measured=("124M",),
    largest="124M",
)
