"""The use cases as projects: a gotd.yaml each, in one home, so that pool and vectors are made once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from benchmarks.use_cases.sizes import Sizes
from benchmarks.use_cases.texts import OUTSPOKEN, SOURCES, TOPICS
from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.errors import GotdError
from gotd_assets.fingerprint import Json

METHODS = ("random", "tapt-c", "dsir", "gotd")
_MAX_TOKENS = 64
_TEMPLATES = {
    "sentiment": "{text}\nIn one word, this review is {label}",
    "topics": "{text}\nIn one word, this article is about {label}",
}
_LABELS: Mapping[str, Mapping[str, str]] = {"sentiment": {"1": "positive", "0": "negative"}, "topics": TOPICS}
_LANGUAGE_MODEL = {"trainable_layers": 4, "learning_rate": 1e-4, "batch_size": 8}


class Projects:
    """Writes projects below `folder`, whose `texts` and `toxic-texts` are there.

    Args:
        sizes: of everything.
        folder: gets a folder for each project, and their common `home`.
        encoder, language_model: folder or file.
    """

    def __init__(self, sizes: Sizes, folder: Path, encoder: Path, language_model: Path) -> None:
        self._sizes, self._folder = sizes, folder
        self._encoder, self._language_model = encoder, language_model

    def labelled(self, task: str) -> Path:
        """A labelled task, `sentiment` or `topics`, with a language model."""
        return self._write(task, self._settings(task, methods=METHODS, seeds=self._sizes.seeds, task=task))

    def tuned(self) -> Path:
        """Topics, with the encoder as it is and fine-tuned on the labelled texts."""
        settings = self._settings("topics", methods=("tapt-c", "gotd"), seeds=self._sizes.few_seeds, task="topics")
        tuned = {**_encoder(self._encoder), "tune": {"target": "topics"}}
        return self._write("tuned", _with(settings, "comparison", vectors={"tuned": tuned}))

    def detoxified(self, target: str, methods: Sequence[str], classifier: Path) -> Path:
        """Prompts continued by models selected for toward `clean` text, or away from `toxic` text."""
        texts = self._folder / "toxic-texts"
        entry: dict[str, Json] = {
            "name": target,
            "path": str(texts / f"{target}.jsonl"),
            "holdout": {"path": str(texts / f"{target}-heldout.jsonl")},
            "direction": "away" if target == "toxic" else "toward",
        }
        settings = self._settings(target, methods=methods, seeds=self._sizes.few_seeds, entry=entry)
        sources = settings["sources"]
        assert isinstance(sources, list)
        prompts: dict[str, Json] = {
            "target": target,
            "path": str(texts / "prompts.jsonl"),
            "neutral": str(texts / "neutral.jsonl"),
            "prompts": self._sizes.prompts,
            "generations": self._sizes.generations,
            "new_tokens": self._sizes.new_tokens,
        }
        settings |= {
            "sources": [*sources, {"name": OUTSPOKEN, "path": str(texts / f"{OUTSPOKEN}.jsonl")}],
            "toxicity": {"model": str(classifier), "labels": ["toxic"]},
            "evaluation": {"detoxification": [prompts]},
        }
        return self._write(target, settings)

    def masked(self, model: Path) -> Path:
        """Sentiment, with a masked language model."""
        settings = self._settings("sentiment-masked", methods=METHODS, seeds=self._sizes.seeds, task="sentiment")
        return self._write("masked", _with(settings, "training", **self._masked(model)))

    def pretraining(self, model: Path) -> Path:
        """The training of a masked model's head, and of all beneath it, on random documents of the pool."""
        settings = self._settings("sentiment-masked", methods=("random",), seeds=1)
        settings = _with(settings, "comparison", budgets=[self._sizes.pretraining])
        rate = {"learning_rate": 5e-4, "batch_size": 16, "epochs": self._sizes.pretraining_epochs}
        return self._write("pretraining", _with(settings, "training", **self._masked(model), **rate))

    def large(self, model: Path) -> Path:
        """One selection and one training of a large model's last two layers."""
        settings = self._settings("large", methods=("gotd",), seeds=1, files="sentiment")
        del settings["comparison"]
        budget: Json = max(2, self._sizes.budget // 5)
        settings = _with(settings, "selection", budget=budget)
        few = {"trainable_layers": 2, "batch_size": 4, "evaluation_documents": 8}
        return self._write("large", _with(settings, "training", model=str(model), **few))

    def _masked(self, model: Path) -> dict[str, Json]:
        return {"model": str(model), "objective": "masked", "trainable_layers": "all"}

    def _settings(
        self,
        target: str,
        *,
        methods: Sequence[str],
        seeds: int,
        task: str | None = None,
        files: str | None = None,
        entry: dict[str, Json] | None = None,
    ) -> dict[str, Json]:
        sizes, texts = self._sizes, self._folder / "texts"
        files = files or target.removesuffix("-masked")
        settings: dict[str, Json] = {
            "home": "../home",
            "sources": [{"name": name, "path": str(texts / "pool" / f"{name}.jsonl")} for name in SOURCES],
            "targets": [
                entry
                or {
                    "name": target,
                    "path": str(texts / "targets" / f"{files}.jsonl"),
                    "holdout": {"path": str(texts / "heldout" / f"{files}.jsonl")},
                }
            ],
            "encoder": _encoder(self._encoder),
            "transport": {"epsilon": 0.05},
            "selection": {"methods": [*methods], "budget": sizes.budget, "stability_resamples": 0},
            "training": {
                "model": str(self._language_model),
                **_LANGUAGE_MODEL,
                "max_tokens": _MAX_TOKENS,
                "evaluation_documents": sizes.held_out,
            },
            "comparison": {"methods": [*methods], "budgets": [sizes.budget], "seeds": seeds},
        }
        if task is not None:
            labelled: dict[str, Json] = {
                "target": target,
                "path": str(texts / "labelled" / f"{task}.jsonl"),
                "labels": dict(_LABELS[task]),
                "template": _TEMPLATES[task],
                "sizes": [*sizes.labels],
                "seeds": sizes.draws,
                "fine_tune": False,
            }
            settings["evaluation"] = {"classification": [labelled]}
        return settings

    def _write(self, name: str, settings: Mapping[str, Json]) -> Path:
        path = self._folder / name / "gotd.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, yaml.safe_dump(dict(settings), sort_keys=False))
        return path


def gotd(path: Path, *arguments: str) -> float:
    """Run the command `gotd` on the project `path`; its seconds.

    Raises:
        GotdError: it failed; what it said is on the screen.
    """
    started = time.monotonic()
    command = [str(Path(sys.executable).with_name("gotd")), *arguments]
    environment = {**os.environ, "GOTD_SETTINGS": str(path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=path.parent, env=environment, check=False)
    if done.returncode:
        raise GotdError(f"`gotd {' '.join(arguments)}` failed in {path.parent}; the same command goes on from there")
    return time.monotonic() - started


def _encoder(folder: Path) -> dict[str, Json]:
    return {"model": str(folder), "max_tokens": 128}


def _with(settings: dict[str, Json], section: str, **changes: Json) -> dict[str, Json]:
    """The same with some settings of a section changed."""
    known = settings[section]
    assert isinstance(known, dict)
    return {**settings, section: {**known, **changes}}
