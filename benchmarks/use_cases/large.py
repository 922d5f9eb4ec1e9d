"""What models of the paper's sizes take: measured where they fit, foretold from these where they do not."""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.use_cases.models import POSITIONS, SHAPES, VOCABULARY
from gotd_assets.errors import GotdError

DOCUMENTS, TOKENS = 20_000, 256
"""What hours are told for: documents of so many tokens, one epoch."""
LAST_LAYERS = 4
# Bytes of a weight that is trained: itself, its gradient and two moments of AdamW in float32. What is frozen is bfloat16
# once it is placed, and float32 while it is loaded.
_TRAINED, _FROZEN, _LOADED = 16, 2, 4
_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Weights:
    """How many weights a model has, in all and in one of its blocks."""

    all: int
    block: int

    @classmethod
    def of(cls, name: str) -> Weights:
        """Of a shape: a block has 12·w² weights and 13·w of biases and norms; embeddings are shared with the output."""
        shape = SHAPES[name]
        block = 12 * shape.width**2 + 13 * shape.width
        return cls(shape.layers * block + (VOCABULARY + POSITIONS + 2) * shape.width, block)

    def gib(self, trained_blocks: int | None) -> float:
        """Memory of a training, of all weights or of the last blocks: the higher of loading and training."""
        trained = self.all if trained_blocks is None else trained_blocks * self.block
        training = _TRAINED * trained + _FROZEN * (self.all - trained)
        return max(training, _LOADED * self.all) / _GIB


def measure(name: str, model: Path, folder: Path) -> dict[str, Any]:
    """Seconds of one processor for a token of a training, of all weights and of the last blocks, and the most memory.

    Each in a process of its own.

    Raises:
        GotdError: it cannot be trained.
    """
    found: dict[str, Any] = {}
    for way, layers in (("all", "all"), ("last", str(LAST_LAYERS))):
        command = [sys.executable, "-m", "benchmarks.use_cases.large", str(model), layers, str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise GotdError(f"the training of {name} could not be measured")
        found[way] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[dict[str, Any]]:
    """A row for each shape and way; seconds of those not measured go by the largest measured, in proportion to the work.

    The work for a token is 6 operations for each weight trained and 2 for each that is not (forward pass alone), the output
    layer included.
    """
    known = list(SHAPES)
    largest = max(measured, key=known.index)
    told = []
    for name in known:
        weights = Weights.of(name)
        for way, blocks in (("all", None), ("last", LAST_LAYERS)):
            own = measured.get(name, {}).get(way)
            per_token = (
                measured[largest][way]["seconds_per_token"]
                * _work(weights, blocks)
                / _work(Weights.of(largest), blocks)
                if own is None
                else own["seconds_per_token"]
            )
            told.append(
                {
                    "model": name,
                    "like": SHAPES[name].like,
                    "parameters": weights.all,
                    "trained": "all" if blocks is None else f"last {blocks} layers",
                    "gib": weights.gib(blocks),
                    "gib_measured": None if own is None else own["gib"],
                    "tokens_per_second": 1 / per_token,
                    "hours": per_token * DOCUMENTS * TOKENS / 3600,
                    "is_measured": own is not None,
                }
            )
    return told


def _work(weights: Weights, blocks: int | None) -> int:
    trained = weights.all if blocks is None else blocks * weights.block
    return 6 * trained + 2 * (weights.all - trained)


def main(arguments: Sequence[str]) -> None:
    """Train a model for some updates as the product's forecast does, and say how long and in how much memory."""
    import torch

    from gotd_assets.settings.training import TrainingSettings
    from gotd_assets.training.speed import measured_speed

    model, layers, folder = arguments
    settings = TrainingSettings.model_validate(
        {
            "model": model,
            "trainable_layers": layers if layers == "all" else int(layers),
            "batch_size": 4,
            "max_tokens": TOKENS,
            "device": "cpu",
        }
    )
    torch.set_num_threads(1)
    worked, began = time.process_time(), time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        speed = measured_speed(settings, Path(folder), Path(cache), TOKENS // 2)
    # Of one processor: other work on the machine makes a training wait, not work.
    share = (time.process_time() - worked) / (time.monotonic() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB
    print(json.dumps({"seconds_per_token": speed.trained_token * min(1.0, share), "gib": peak}))


if __name__ == "__main__":
    main(sys.argv[1:])
