"""A complete small project: topics are made of words of their own, and the encoder knows them."""

import functools
import json
import multiprocessing
import multiprocessing.context
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from gotd_assets_tests.training.tiny import WORDS, model_folder, tokenizer

REPOSITORY = Path(__file__).parents[2]
TOPICS = {"news": WORDS[:30], "sport": WORDS[30:60], "film": WORDS[60:90]}


def sentences(topic: str, count: int, seed: int) -> list[str]:
    """Texts of 8 to 15 words of `topic`."""
    draw = random.Random(f"{topic} {seed}")
    return [" ".join(draw.choices(TOPICS[topic], k=draw.randint(8, 15))) for _ in range(count)]


def write_jsonl(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


def topic_encoder(folder: Path) -> None:
    """Save static embeddings in which words of one topic lie together."""
    draw = np.random.default_rng(0)
    inner = tokenizer()
    vectors = 0.3 * draw.standard_normal((len(inner), 16)).astype(np.float32)
    for axis, words in enumerate(TOPICS.values()):
        vectors[inner.convert_tokens_to_ids(words), axis] += 1
    folder.mkdir()
    save_file({"embeddings": vectors}, folder / "model.safetensors")
    inner.backend_tokenizer.save(str(folder / "tokenizer.json"))


def make_project(folder: Path, **changes: object) -> Path:
    """Write data, models and gotd.yaml below `folder`; `changes` replace whole sections. Returns gotd.yaml."""
    write_jsonl(folder / "data" / "news.jsonl", sentences("news", 60, 0))
    write_jsonl(folder / "data" / "mixed.jsonl", sentences("sport", 40, 0) + sentences("film", 12, 0))
    write_jsonl(folder / "data" / "target.jsonl", sentences("film", 24, 1))
    if not (folder / "encoder").is_dir():
        topic_encoder(folder / "encoder")
        model_folder(folder / "model", "gpt2")
    settings: dict[str, object] = {
        "sources": [{"name": "news", "path": "data/news.jsonl"}, {"name": "mixed", "path": "data/mixed.jsonl"}],
        "targets": [{"name": "film", "path": "data/target.jsonl"}],
        "encoder": {"model": "encoder"},
        "selection": {"budget": 8},
        "training": {"model": "model", "max_tokens": 32, "learning_rate": 0.01},
        **changes,
    }
    path = folder / "gotd.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    for name in ("dagster.yaml", "workspace.yaml"):
        (folder / name).write_text((REPOSITORY / name).read_text(encoding="utf-8"), encoding="utf-8")
    return path


def environment(folder: Path) -> dict[str, str]:
    """Environment in which every command means the project in `folder`."""
    return {
        **os.environ,
        "DAGSTER_HOME": str(folder),
        "GOTD_SETTINGS": str(folder / "gotd.yaml"),
        "PYTHONPATH": str(REPOSITORY),
        "HF_HUB_OFFLINE": "1",
    }


def gotd(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `gotd` in the project of `folder`: a process of its own, forked from one that has loaded the libraries."""
    with tempfile.TemporaryDirectory(prefix="gotd-said-") as said:
        process = _libraries_loaded().Process(
            target=_command, args=(folder, environment(folder), arguments, Path(said))
        )
        process.start()
        process.join(timeout=1200)
        if process.is_alive():
            process.kill()
            process.join()
            raise TimeoutError(f"gotd {' '.join(arguments)} did not end: {(Path(said) / 'stderr').read_text()[-3000:]}")
        out, err = ((Path(said) / name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
    assert process.exitcode is not None
    return subprocess.CompletedProcess(["gotd", *arguments], process.exitcode, out, err)


@functools.cache
def _libraries_loaded() -> multiprocessing.context.ForkServerContext:
    """Loading torch, transformers and MLflow takes longer than what most commands of a test do."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "gotd_assets.cli", "gotd_assets.defs.pipeline", "mlflow"])
    # Read when the hub's library is loaded, so it must be said before that.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        forkserver.ensure_running()
    return context


def _command(folder: Path, variables: Mapping[str, str], arguments: Sequence[str], said: Path) -> None:
    """What `gotd ARGUMENTS` is, with its output in files of the folder `said`."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        with (said / name).open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["gotd", *arguments]
    from gotd_assets.cli import main

    main()
