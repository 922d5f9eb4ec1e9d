"""Whatever is damaged in a home, a model or a file, every command answers with a sentence."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.cli.main import app

HOME = Path(__file__).parents[1] / "reproduction" / "home-2026-11.tar.xz"
Damage = Callable[[bytes], bytes]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"
DAMAGES: dict[str, Damage] = {
    "empty": lambda _: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "noise": lambda content: bytes((byte * 7 + 13) % 256 for byte in content[:4096]) + content[4096:],
}
# What a user may lose or mend: files of the home, of models, and of the project.
FILES = (
    ".gotd/lineage.duckdb",
    ".gotd/mlflow/mlflow.db",
    ".gotd/dagster/history/runs/index.db",
    ".gotd/dagster/schedules/schedules.db",
    ".gotd/cache/checksums.json",
    ".gotd/artifacts/selected_subset/film/gotd/CURRENT",
    "current selected_subset film/gotd manifest.json",
    "current selected_subset film/gotd subset.parquet",
    "current raw_candidates news documents-*.parquet",
    "current candidate_embeddings news *.npy",
    "current ot_potentials film *.safetensors",
    "current pre_fine_tuned_model film/gotd training.json",
    "current pre_fine_tuned_model film/gotd model/model.safetensors",
    "current evaluation_report film report.json",
    "encoder/model.safetensors",
    "encoder/tokenizer.json",
    "model/model.safetensors",
    "model/tokenizer.json",
    "model/config.json",
    "model/tokenizer_config.json",
    "data/news.jsonl",
    "gotd.yaml",
)
OF_MODELS = tuple(name for name in FILES if name.startswith(("encoder/", "model/")))
OF_MODEL_FILES: dict[str, Damage] = {
    "pointer of Git LFS": lambda _: POINTER,
    "a page instead": lambda _: b"<!doctype html><title>404</title>" * 9,
    "bytes too many": lambda content: content + b"\0" * 7,
    "JSON of another kind": lambda _: b"[1, 2]",
}
QUICKLY = {("encoder/model.safetensors", "pointer of Git LFS"), ("model/tokenizer.json", "cut off")}
COMMANDS = (
    ("run", "--dry-run"),
    ("report", "film"),
    ("audit", "selection_history"),
    ("verify",),
    ("gc",),
    ("explain", "DOCUMENT", "--target", "film"),
    ("export", "film", "OUT"),
    ("backup", "OUT"),
    ("openlineage",),
    ("reproduce", "SELECTION"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    shutil.unpack_archive(HOME, folder)
    shutil.copyfile(Path(__file__).parents[2] / "dagster.yaml", folder / "dagster.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOTD_SETTINGS", str(folder / "gotd.yaml"))
        patch.setenv("DAGSTER_HOME", str(folder))
        patch.chdir(folder)
        assert CliRunner().invoke(app, ["run"], catch_exceptions=False).exit_code == 0
    return folder


def file_of(folder: Path, name: str) -> Path:
    if not name.startswith("current "):
        return folder / name
    _, asset, partition, file = name.split()
    artifact = ArtifactStore(folder / ".gotd" / "artifacts").current(ArtifactKey(asset, partition))
    return next(artifact.path.glob(file))


@contextlib.contextmanager
def damaged(path: Path, damage: Damage) -> Iterator[None]:
    """The file of other content; afterwards the whole project is what it was."""
    content, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(damage(content))
    try:
        yield
    finally:
        path.write_bytes(content)
        path.chmod(mode)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, damage) for name in FILES for damage in DAMAGES),
        *((name, damage) for name in OF_MODELS for damage in OF_MODEL_FILES),
    ],
)
def test_every_command_answers_with_a_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    subset = pl.read_parquet(file_of(folder, "current selected_subset film/gotd subset.parquet"))
    selection = file_of(folder, "current selected_subset film/random subset.parquet").parent.name
    words = {"DOCUMENT": subset["doc_id"][0], "SELECTION": selection, "OUT": str(tmp_path / "out")}
    copy = Path(shutil.copytree(folder, tmp_path / "project"))
    monkeypatch.setenv("GOTD_SETTINGS", str(copy / "gotd.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(copy))
    monkeypatch.chdir(copy)
    path = file_of(copy, name)
    wrong = {}
    with damaged(path, {**DAMAGES, **OF_MODEL_FILES}[damage]):
        for command in COMMANDS:
            done = CliRunner().invoke(app, [words.get(word, word) for word in command])
            told = done.exception is None or isinstance(done.exception, SystemExit)
            if not told or done.exit_code not in (0, 1, 2) or (done.exit_code == 2 and "error: " not in done.stderr):
                wrong[" ".join(command[:1])] = repr(done.exception) if not told else done.output[-300:]
    assert wrong == {}


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        pytest.param(name, damage, marks=() if (name, damage) in QUICKLY else pytest.mark.slow)
        for name in OF_MODELS
        for damage in (*DAMAGES, *OF_MODEL_FILES)
    ],
)
def test_a_damaged_model_is_told_before_anything_is_made(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "project", ignore=shutil.ignore_patterns("artifacts", "vectors")))
    monkeypatch.setenv("GOTD_SETTINGS", str(copy / "gotd.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(copy))
    monkeypatch.chdir(copy)
    with damaged(copy / name, {**DAMAGES, **OF_MODEL_FILES}[damage]):
        for command in (["run", "--dry-run"], ["run"]):
            done = CliRunner().invoke(app, command)
            assert done.exit_code == 2, done.output
            assert " ".join(done.stderr.split()).count(name.rpartition("/")[2]) == 1, done.stderr
    assert not list((copy / ".gotd" / "artifacts").rglob("manifest.json"))
