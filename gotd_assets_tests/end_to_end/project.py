"""A complete small project: topics are made of words of their own, and the encoder knows them."""

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unittest import mock

import dagster as dg
import huggingface_hub.constants as hub
import numpy as np
import torch
import yaml
from safetensors.numpy import save_file

from gotd_assets.settings.project import Settings
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.graph import Stage
from gotd_assets_tests.end_to_end.run_history import REPOSITORY, keep_history
from gotd_assets_tests.models.tiny import WORDS, model_folder, tokenizer
from gotd_assets_tests.once import mlflow_database

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
    """Write data, models and gotd.yaml below `folder`; `changes` replace whole sections. Returns gotd.yaml.

    Its home has databases of MLflow and Dagster already, as that of a project has in which something was trained.
    """
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
    shutil.copyfile(REPOSITORY / "workspace.yaml", folder / "workspace.yaml")
    keep_history(folder)
    set_up_mlflow(folder / ".gotd")
    return path


def set_up_mlflow(home: Path) -> None:
    """Give the home a database of MLflow with nothing in it, unless it has one."""
    database = home / "mlflow" / "mlflow.db"
    if not database.exists():
        database.parent.mkdir(parents=True)
        shutil.copyfile(mlflow_database(), database)


def copied(project: Path, folder: Path) -> Path:
    """The whole project copied into `folder`, to be changed at will; what is on record names the original's files."""
    return Path(shutil.copytree(project, folder, dirs_exist_ok=True))


def environment(folder: Path, settings: Path | None = None) -> dict[str, str]:
    """Environment in which every command means the project in `folder`, whose settings are those in its gotd.yaml."""
    return {
        **os.environ,
        "DAGSTER_HOME": str(folder),
        "GOTD_SETTINGS": str(settings or folder / "gotd.yaml"),
        "PYTHONPATH": str(REPOSITORY),
        "HF_HUB_OFFLINE": "1",
    }


@contextlib.contextmanager
def inside(folder: Path, settings: Path | None = None) -> Iterator[None]:
    """This process as one that was started in the project of `folder`; afterwards it is what it was."""
    variables = environment(folder, settings)
    threads, here = torch.get_num_threads(), Path.cwd()
    with mock.patch.dict(os.environ, variables, clear=True), mock.patch.object(hub, "HF_HUB_OFFLINE", new=True):
        os.chdir(folder)
        # PyTorch read it when it was loaded.
        torch.set_num_threads(int(variables.get("OMP_NUM_THREADS", threads)))
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            os.chdir(here)


def gotd(folder: Path, *arguments: str, settings: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What `gotd ARGUMENTS` does and says in the project of `folder`; `settings` if they are not its gotd.yaml.

    It is done in this process, which has loaded the libraries: that takes longer than what most commands do.
    """
    from gotd_assets.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        inside(folder, settings),
        mock.patch.object(sys, "argv", ["gotd", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(["gotd", *arguments], code, out.getvalue(), err.getvalue())


def run_stages_of(folder: Path, choose: Callable[[Settings], Iterable[Stage]]) -> None:
    """Those stages of the project in `folder` that `choose` names, as `gotd run` runs all of them."""
    from gotd_assets.pipeline.graph import pipeline_job
    from gotd_assets.pipeline.placement import Placement
    from gotd_assets.pipeline.runs.stage_runs import command, run_stages

    placement = Placement.of_file(folder / "gotd.yaml")
    stages = list(choose(placement.load().settings))
    with inside(folder), dg.DagsterInstance.get() as instance:
        run_stages(
            placement,
            pipeline_job(placement),
            instance,
            stages,
            starter=command(placement),
            announce=lambda *_: None,
            warn=print,
        )


def until_scores(settings: Settings) -> list[Stage]:
    """The stages from files to the scores of every target."""
    names = [target.name for target in settings.targets]
    return GRAPH.stages(settings, names, lambda station: station.group in ("candidates", "target", "transport"))


def until_selection(settings: Settings) -> list[Stage]:
    """Those and the first selection of the first target."""
    selecting = [
        stage for stage in GRAPH.stages(settings, [settings.targets[0].name]) if "selected_subset" in stage.assets
    ]
    return [*until_scores(settings), selecting[0]]


def started_gotd(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`gotd ARGUMENTS` in the project of `folder` as a process, both of whose outputs come through one pipe."""
    return _started(folder, "from gotd_assets.cli.main import main; main()", *arguments)


def started_selection(folder: Path) -> subprocess.Popen[str]:
    """The last of `until_selection` as a process, in a project that has its scores."""
    return _started(
        folder,
        f"from pathlib import Path; from {__name__} import run_stages_of, until_selection; "
        "run_stages_of(Path.cwd(), lambda settings: until_selection(settings)[-1:])",
    )


def _started(folder: Path, program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
