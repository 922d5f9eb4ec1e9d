"""The training loop: AdamW over length-bucketed updates, continued from a checkpoint after an interruption.

transformers' Trainer is not used because its checkpoints are pickles, and because it computes logits for padding.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from safetensors import safe_open

from gotd_assets.artifacts.atomic import replaced
from gotd_assets.catalogue.durations import in_words
from gotd_assets.errors import TrainingError
from gotd_assets.models.batches import Batch, Seed
from gotd_assets.models.placement import autocast

if TYPE_CHECKING:
    import torch

    from gotd_assets.settings.training import TrainingSettings

# Updates whose documents are sorted by length together: enough to cut padding, few enough to stay a random order.
_BUCKET_UPDATES = 8
_MAX_GRADIENT_NORM = 1.0


_Model_contra = TypeVar("_Model_contra", bound="torch.nn.Module", contravariant=True)
_Document_contra = TypeVar("_Document_contra", bound=Sized, contravariant=True)
_AnyModel = TypeVar("_AnyModel", bound="torch.nn.Module")
_AnyDocument = TypeVar("_AnyDocument", bound=Sized)


class Task(Protocol[_Model_contra, _Document_contra]):
    """What a model is trained to do with documents, which are as long as they have tokens."""

    def batch(
        self, documents: Sequence[_Document_contra], seeds: Sequence[Seed], *, corrupt: bool, device: torch.device
    ) -> Batch:
        """Documents as one batch, with as many labels as there are losses."""
        ...

    def loss(self, model: _Model_contra) -> Callable[[Batch], torch.Tensor]:
        """What is minimised: from a batch to a loss for each of its labels."""
        ...


@dataclasses.dataclass(frozen=True)
class Step:
    """One optimizer update that was done.

    Attributes:
        step: its number, from 1.
        steps: how many there will be.
        loss: nats per predicted token, before the update.
        learning_rate: its learning rate.
        tokens, seconds: predicted tokens and time so far, parts before an interruption included.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float

    def __str__(self) -> str:
        rate = self.tokens / max(self.seconds, 1e-9)
        left = in_words(self.seconds / self.step * (self.steps - self.step))
        return (
            f"training: step {self.step} of {self.steps}, loss {self.loss:.3f}, {rate:,.0f} tokens/s, about {left} left"
        )


def learning_rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """Learning rate of update `step` (from 0) of `steps`.

    It rises linearly over the first ceil(warmup_ratio * steps) updates, reaches `settings.learning_rate` at the next,
    and then falls to 0 linearly or along half a cosine, or stays. No update has rate 0.
    """
    warmup = min(math.ceil(settings.warmup_ratio * steps), steps - 1)
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    factor = {"linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress)), "constant": 1.0}
    return settings.learning_rate * factor[settings.schedule]


def plan_updates(lengths: Sequence[int], settings: TrainingSettings) -> list[list[list[int]]]:
    """Which documents each update sees: per update, per accumulated batch, document numbers.

    Every epoch is a permutation drawn from (seed, epoch); a fractional last epoch is cut. Documents of a few consecutive
    updates are sorted by length and dealt out again, and these updates shuffled, so that a batch holds texts of like
    length. An update's documents depend on batch_size * gradient_accumulation only.
    """
    per_update = settings.batch_size * settings.gradient_accumulation
    total = max(1, round(settings.epochs * len(lengths)))
    epochs = math.ceil(total / len(lengths))
    permutations = [np.random.default_rng((settings.seed, epoch)).permutation(len(lengths)) for epoch in range(epochs)]
    order = np.concatenate(permutations)[:total]
    sizes = np.asarray(lengths)[order]
    updates = []
    window = per_update * _BUCKET_UPDATES
    for number, start in enumerate(range(0, total, window)):
        by_length = order[start : start + window][np.argsort(-sizes[start : start + window], kind="stable")].tolist()
        bucketed = [by_length[at : at + per_update] for at in range(0, len(by_length), per_update)]
        shuffled = np.random.default_rng((settings.seed, epochs, number)).permutation(len(bucketed))
        updates += [bucketed[index] for index in shuffled]
    size = settings.batch_size
    return [[update[at : at + size] for at in range(0, len(update), size)] for update in updates]


@dataclasses.dataclass
class _Progress:
    """What a checkpoint remembers beside tensors."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    scaler: dict[str, Any] = dataclasses.field(default_factory=dict)


def train(
    model: _AnyModel,
    objective: Task[_AnyModel, _AnyDocument],
    documents: Sequence[_AnyDocument],
    settings: TrainingSettings,
    *,
    precision: torch.dtype,
    checkpoint: Path | None,
    identity: str,
    on_step: Callable[[Step], None],
    section: str = "training",
) -> tuple[list[tuple[int, float]], int, float]:
    """Train the parameters of `model` that require gradients, in place.

    The loss is the mean over all labels of an update, however they are split into accumulated batches.
    Gradients are cut to norm 1; weights with two or more dimensions decay. Every draw comes from (seed, step), so a
    resumed training ends with the weights of an uninterrupted one (on the CPU with equally many threads, bit for bit).

    Args:
        model: on its device; trained parameters in float32.
        objective: what is predicted.
        documents: what the objective takes, each with something to predict.
        settings: optimisation.
        precision: number format of products; float16 scales the loss.
        checkpoint: file for the state, written every `checkpoint_steps` and at the end; None for a training so short that
            an interrupted one begins again.
        identity: what the training is of; a checkpoint of something else is ignored.
        on_step: called after every update.
        section: of the settings that hold the learning rate, for errors.

    Returns:
        The loss curve [(step, loss), …], the number of labels, and seconds, all including what was done before a resume.

    Raises:
        TrainingError: loss or gradient are not finite.
    """
    import torch

    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    decayed = [parameter for parameter in parameters.values() if parameter.ndim >= 2]
    others = [parameter for parameter in parameters.values() if parameter.ndim < 2]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=(0.9, settings.adam_beta2),
        eps=settings.adam_epsilon,
    )
    device = next(model.parameters()).device
    scaler = torch.amp.GradScaler(device.type, enabled=precision is torch.float16)
    updates = plan_updates([len(ids) for ids in documents], settings)
    earlier = None if checkpoint is None else _restore(checkpoint, identity, parameters, optimizer, scaler)
    progress = earlier or _Progress()
    with autocast(device, precision):
        loss_of = objective.loss(model)
    cuda = [device] if device.type == "cuda" else []
    model.train()
    with torch.random.fork_rng(devices=cuda):
        for step in range(progress.step, len(updates)):
            started = time.monotonic()
            rate = learning_rate(settings, step, len(updates))
            for group in optimizer.param_groups:
                group["lr"] = rate
            torch.manual_seed(int(np.random.SeedSequence((settings.seed, step)).generate_state(1, np.uint64)[0]))
            batches = [
                objective.batch(
                    [documents[index] for index in batch],
                    [(settings.seed, step, index) for index in batch],
                    corrupt=True,
                    device=device,
                )
                for batch in updates[step]
            ]
            tokens = sum(len(batch.labels) for batch in batches)
            loss = _gradients(loss_of, batches, tokens, scaler, precision)
            scaler.unscale_(optimizer)
            norm = float(torch.nn.utils.clip_grad_norm_(parameters.values(), _MAX_GRADIENT_NORM))
            # Under float16 an overflowing gradient is expected now and then: the scaler skips that update.
            if not math.isfinite(loss) or not (math.isfinite(norm) or scaler.is_enabled()):
                raise TrainingError(
                    f"training diverged at step {step + 1} of {len(updates)}: loss {loss}, gradient norm {norm}; "
                    f"lower {section}.learning_rate (now {settings.learning_rate:g}) or compute in float32"
                )
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            progress.step = step + 1
            progress.tokens += tokens
            progress.seconds += time.monotonic() - started
            progress.losses.append((step + 1, loss))
            if checkpoint and (progress.step % settings.checkpoint_steps == 0 or progress.step == len(updates)):
                progress.scaler = scaler.state_dict()
                _save(checkpoint, identity, parameters, optimizer, progress)
            on_step(Step(progress.step, len(updates), loss, rate, progress.tokens, progress.seconds))
    return progress.losses, progress.tokens, progress.seconds


def _gradients(
    loss_of: Callable[[Batch], torch.Tensor],
    batches: Sequence[Batch],
    tokens: int,
    scaler: torch.amp.GradScaler,
    precision: torch.dtype,
) -> float:
    """Add up the gradients of the mean loss over all `tokens` (labels) of the batches; return that loss."""
    total = 0.0
    for batch in batches:
        with autocast(batch.inputs.device, precision):
            loss = loss_of(batch).sum() / tokens
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def _save(
    path: Path,
    identity: str,
    parameters: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    progress: _Progress,
) -> None:
    """Replace the checkpoint; a crash leaves the old one or the new one."""
    from safetensors.torch import save_file

    tensors = {}
    for name, parameter in parameters.items():
        tensors[f"parameter/{name}"] = parameter.detach()
        for key, value in optimizer.state[parameter].items():
            tensors[f"{key}/{name}"] = value
    with replaced(path) as partial:
        save_file(tensors, partial, {"identity": identity, "progress": json.dumps(dataclasses.asdict(progress))})


def _restore(
    path: Path,
    identity: str,
    parameters: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> _Progress | None:
    """Take up the checkpoint, if there is one of this training."""
    import torch

    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file, torch.no_grad():
        metadata = file.metadata()
        if metadata["identity"] != identity:
            return None
        for key in file.keys():  # noqa: SIM118 - not a dict
            kind, _, name = key.partition("/")
            parameter = parameters[name]
            if kind == "parameter":
                parameter.copy_(file.get_tensor(key))
            else:
                value = file.get_tensor(key)
                optimizer.state[parameter][kind] = value if kind == "step" else value.to(parameter.device)
        saved = json.loads(metadata["progress"])
    progress = _Progress(**saved | {"losses": [(int(step), float(loss)) for step, loss in saved["losses"]]})
    if progress.scaler:
        scaler.load_state_dict(progress.scaler)
    return progress
