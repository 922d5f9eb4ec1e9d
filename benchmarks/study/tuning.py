"""Perplexity cells: the base model trained on a selection, measured on the target's held-out documents."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.artifacts.atomic import replaced
from gotd_assets.fingerprint import fingerprint
from gotd_assets.models.batches import encode
from gotd_assets.models.device import choose_device, choose_precision
from gotd_assets.models.heldout import as_documents, measured, report_of
from gotd_assets.models.language import load_language_model, model_version
from gotd_assets.models.layers import choose_trainable
from gotd_assets.models.objectives import Objective
from gotd_assets.models.placement import place
from gotd_assets.models.prefix import FrozenPrefix
from gotd_assets.settings.training import TrainingSettings
from gotd_assets.training.loop import train

if TYPE_CHECKING:
    import torch

    from benchmarks.study.plan import Plan, Regime
    from benchmarks.study.world import World
    from gotd_assets.models.perplexity import PerplexityReport

_PRETRAINING_SEED = 1_000_003
# Trainings whose weights stay in memory: as many as lie between two targets.
_KEPT = 6
# Documents by which it is measured what the frozen blocks cost.
_TIMED = 4


@dataclasses.dataclass(frozen=True)
class Tuned:
    """One training, and what it did.

    Attributes:
        report: on the held-out documents.
        seconds: of the optimizer updates, with the states of the frozen blocks at hand.
        processor_seconds: of the optimizer updates and the frozen blocks, as if this were the only training.
        tokens: predicted tokens.
        updates: optimizer updates.
    """

    report: PerplexityReport
    seconds: float
    processor_seconds: float
    tokens: int
    updates: int


def training_settings(plan: Plan, model: Path) -> TrainingSettings:
    """How every training of a study is done."""
    return TrainingSettings(
        model=str(model),
        trainable_layers=plan.trainable_layers,
        learning_rate=plan.learning_rate,
        batch_size=plan.batch_size,
        max_tokens=plan.max_tokens,
        evaluation_documents=plan.heldout_documents,
    )


@dataclasses.dataclass(frozen=True)
class _Training:
    """Weights that were trained, and what that took."""

    weights: Mapping[str, torch.Tensor]
    updates: int
    tokens: int
    seconds: float
    processor_seconds: float


class Tuner:
    """The base model in memory; it is put back to a regime's weights before every training."""

    def __init__(self, world: World, say: Callable[[str], None]) -> None:
        self._world = world
        self._say = say
        self.settings = training_settings(world.plan, world.language_model)
        self.model_version = model_version(self.settings, world.folder)
        self._model, self._tokenizer = load_language_model(self.settings, world.folder, world.models)
        self._objective = Objective(self._tokenizer, self.settings.objective)
        device = choose_device(self.settings.device)
        self._precision = choose_precision(self.settings.precision, device)
        self._trained = choose_trainable(self._model, self.settings)
        place(self._model, device, self._precision, exact=self._trained)
        # The same blocks are frozen in every regime, so every training and measurement shares their states.
        self._prefix = FrozenPrefix.of(
            self._model, world.folder / "states", self._precision, causal=self._objective.causal
        )
        self._scratch = world.folder / "scratch"
        self._scratch.mkdir(exist_ok=True)
        self._weights: dict[Regime, dict[str, torch.Tensor]] = {"as-it-comes": self._copy()}
        self._lately: dict[str, _Training] = {}

    def base(self, regime: Regime, heldout: Sequence[str]) -> PerplexityReport:
        """Perplexity of the regime's base model itself."""
        self._restore(regime)
        return self._measured(heldout)

    def tune(self, regime: Regime, texts: Sequence[str], heldout: Sequence[str], seed: int) -> Tuned:
        """Train the regime's base model on `texts` and measure it on `heldout`.

        Selections that know no target are the same for all: what was trained on the same texts lately is used again.
        """
        identity = fingerprint({"texts": list(texts), "regime": regime, "seed": seed})
        training = self._lately.pop(identity, None)
        if training is None:
            training = self._tuned(regime, texts, seed, identity)
        else:
            self._load(training.weights)
        self._lately[identity] = training
        if len(self._lately) > _KEPT:
            del self._lately[next(iter(self._lately))]
        report = self._measured(heldout)
        return Tuned(report, training.seconds, training.processor_seconds, training.tokens, training.updates)

    def _measured(self, heldout: Sequence[str]) -> PerplexityReport:
        documents = as_documents(heldout)
        return report_of(
            measured((self._model, self._tokenizer), documents, self.settings, prefix=self._prefix), self.settings
        )

    def _tuned(self, regime: Regime, texts: Sequence[str], seed: int, identity: str) -> _Training:
        self._restore(regime)
        frozen = 0.0
        if self._prefix is not None:
            encoded = encode(self._tokenizer, texts, self.settings.max_tokens)
            self._prefix.prepare(encoded)
            some = encoded[:_TIMED]
            frozen = self._prefix.processor_seconds(some) * sum(map(len, encoded)) / sum(map(len, some))
        worked = time.process_time()
        updates, tokens, seconds = self._train(texts, self.settings.model_copy(update={"seed": seed}), None, identity)
        return _Training(self._copy(), updates, tokens, seconds, time.process_time() - worked + frozen)

    def _train(
        self, texts: Sequence[str], settings: TrainingSettings, checkpoint: Path | None, identity: str
    ) -> tuple[int, int, float]:
        encoded = encode(self._tokenizer, texts, settings.max_tokens)
        usable = [ids for ids in encoded if self._objective.predicted(ids) > 0]
        curve, tokens, seconds = train(
            self._model,
            self._objective.behind(self._prefix),
            usable,
            settings,
            precision=self._precision,
            checkpoint=checkpoint,
            identity=identity,
            on_step=lambda step: self._say(str(step)) if step.step % 50 == 0 else None,
        )
        return len(curve), tokens, seconds

    def _restore(self, regime: Regime) -> None:
        if regime not in self._weights:
            self._weights[regime] = self._pretrained()
        self._load(self._weights[regime])

    def _load(self, weights: Mapping[str, torch.Tensor]) -> None:
        import torch

        with torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(weights[name])

    def _pretrained(self) -> dict[str, torch.Tensor]:
        """Weights of the theorem's regime: trained on a large random sample of the pool, its pre-training distribution.

        Made once and kept; an interrupted training goes on from its checkpoint.
        """
        from safetensors.torch import load_file, save_file

        size = self._world.plan.pretraining_documents
        ids = self._world.pool.doc_ids().get_column("doc_id").sort()
        rows = np.random.default_rng(_PRETRAINING_SEED).permutation(len(ids))[:size]
        texts = self._world.texts(ids.gather(rows))
        identity = fingerprint(
            {"texts": texts, "model": self.model_version, "settings": self.settings.model_dump(mode="json")}
        )
        file = self._world.folder / f"base-{identity[:12]}.safetensors"
        if not file.is_file():
            self._say(f"training the base model on {size} random documents of the pool")
            self._restore("as-it-comes")
            checkpoint = self._scratch / "base.safetensors"
            self._train(texts, self.settings, checkpoint, identity)
            with replaced(file) as partial:
                save_file(self._copy(), partial)
            checkpoint.unlink()
        return load_file(file)

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self._trained.items()}
