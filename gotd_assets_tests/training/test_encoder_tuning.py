"""The encoder fine-tuned on a target: what became of vectors, of bytes, and of an interruption."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from gotd_assets.embedding.embed import load_encoder
from gotd_assets.errors import InputError, TrainingError
from gotd_assets.fingerprint import document_id
from gotd_assets.models.encoder import encoder_version
from gotd_assets.models.encoder_folder import read_encoder_folder
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.evaluation import ClassificationSettings
from gotd_assets.settings.project import Settings
from gotd_assets.training.encoder_tuning import tune_encoder
from gotd_assets_tests.models import tiny
from gotd_assets_tests.models.sentence_folders import two_layers

TASK = ClassificationSettings(target="film", path=Path("unused"), label="stars", labels={"1": "good", "0": "bad"})
TUNE = {"target": "film", "learning_rate": 3e-3, "batch_size": 8, "epochs": 6}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that meet over tiny matrices cost more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model_folder(tmp_path_factory.mktemp("base") / "encoder", "bert-headless")


def reviews(count: int, seed: int) -> pl.DataFrame:
    """Texts of common words and some that tell praise from blame."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        telling = tiny.WORDS[60:75] if number % 2 else tiny.WORDS[75:90]
        words = draw.choices(tiny.WORDS[:60], k=6) + draw.choices(telling, k=3)
        draw.shuffle(words)
        rows.append((" ".join(words), str(number % 2)))
    return pl.DataFrame(rows, schema=["text", "stars"], orient="row").with_columns(
        doc_id=pl.col("text").map_elements(document_id, return_dtype=pl.String)
    )


def settings(base: Path, **changes: object) -> EncoderSettings:
    return EncoderSettings(model=str(base), dtype="float32", tune={**TUNE, **changes})


def tune(folder: Path, encoder: EncoderSettings, documents: pl.DataFrame, *, labelled: bool, progress=None):
    (folder / "documents").mkdir(parents=True)
    (folder / "out").mkdir()
    documents.write_parquet(folder / "documents" / "documents-00000.parquet")
    return resume(folder, encoder, labelled=labelled, progress=progress)


def resume(folder: Path, encoder: EncoderSettings, *, labelled: bool, progress=None):
    return tune_encoder(
        folder / "documents",
        encoder,
        labels=TASK if labelled else None,
        root=folder,
        out=folder / "out",
        scratch=folder / "scratch",
        progress=progress,
    )


def vectors(model: Path, texts: list[str]) -> np.ndarray:
    encoder = load_encoder(EncoderSettings(model=str(model), dtype="float32"), Path())
    found = np.concatenate(list(encoder.encode(texts, lambda *_: None)))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def agreement(found: np.ndarray, labels: np.ndarray) -> float:
    """Share of texts whose nearest other text has the same label."""
    cosines = found @ found.T
    np.fill_diagonal(cosines, -2)
    return float((labels[cosines.argmax(axis=1)] == labels).mean())


def test_labels_come_apart_in_texts_that_were_not_trained_on(base: Path, tmp_path: Path) -> None:
    report = tune(tmp_path, settings(base), reviews(80, 1), labelled=True)
    unseen = reviews(80, 2)
    labels = unseen["stars"].to_numpy()
    before, after = (
        agreement(vectors(m, unseen["text"].to_list()), labels) for m in (base, tmp_path / "out" / "model")
    )
    assert (report.objective, report.documents, report.labels, report.steps) == ("classification", 80, 2, 60)
    assert report.loss_curve[-1][1] < 0.5 * report.loss_curve[0][1]
    assert before < 0.7
    assert after > 0.9


def test_without_labels_texts_come_apart_and_a_text_stays_near_its_edited_self(base: Path, tmp_path: Path) -> None:
    tune(tmp_path, settings(base), reviews(80, 1).select("doc_id", "text"), labelled=False)
    texts = reviews(60, 2)["text"].to_list()
    edited = [" ".join(text.split()[:-2]) for text in texts]

    def found(model: Path) -> tuple[float, float]:
        whole, part = vectors(model, texts), vectors(model, edited)
        others = ~np.eye(len(texts), dtype=bool)
        return float((whole @ whole.T)[others].mean()), float(((part @ whole.T).argmax(1) == range(len(texts))).mean())

    (crowded, hits_before), (spread, hits_after) = found(base), found(tmp_path / "out" / "model")
    assert spread < crowded - 0.2
    assert hits_after >= max(0.95, hits_before)


def test_the_folder_is_an_encoder_that_says_how_it_pools(base: Path, tmp_path: Path) -> None:
    encoder = settings(base, epochs=0.2).model_copy(update={"pooling": "cls", "max_tokens": 24})
    tune(tmp_path, encoder, reviews(20, 1), labelled=True)
    folder = tmp_path / "out" / "model"
    plain = EncoderSettings(model=str(folder))
    assert read_encoder_folder(folder, plain).modes == ("cls",)
    assert encoder_version(plain, tmp_path) != encoder_version(EncoderSettings(model=str(base)), tmp_path)
    assert json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"] == 24
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}


def test_the_same_input_gives_the_same_bytes_and_another_seed_others(base: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        tune(tmp_path / name, settings(base, seed=seed, epochs=1), reviews(24, 1), labelled=True)
    one, two, three = (content(tmp_path / name / "out" / "model") for name in ("one", "two", "three"))
    assert one == two
    assert one["model.safetensors"] != three["model.safetensors"]


class KilledError(Exception):
    pass


@pytest.mark.parametrize("labelled", [True, False])
def test_an_interrupted_tuning_ends_with_the_bytes_of_an_uninterrupted_one(
    base: Path, tmp_path: Path, labelled: bool
) -> None:
    documents, encoder, steps = reviews(80, 1), settings(base, epochs=3), []

    def stop(state: object) -> None:
        steps.append(str(state))
        if len(steps) == 28:
            raise KilledError

    with pytest.raises(KilledError):
        tune(tmp_path / "cut", encoder, documents, labelled=labelled, progress=stop)
    assert not list((tmp_path / "cut" / "out").iterdir())
    seen: list[str] = []
    resume(tmp_path / "cut", encoder, labelled=labelled, progress=lambda state: seen.append(str(state)))
    assert seen[0].startswith("fine-tuning the encoder: step 26 of 30, loss ")
    tune(tmp_path / "whole", encoder, documents, labelled=labelled)
    assert content(tmp_path / "cut" / "out" / "model") == content(tmp_path / "whole" / "out" / "model")


RUN = """
import sys
from pathlib import Path
from gotd_assets_tests.training.test_encoder_tuning import resume, settings
resume(Path(sys.argv[1]), settings(Path(sys.argv[2])), labelled=True, progress=lambda s: print(s, flush=True))
"""


@pytest.mark.slow
def test_a_killed_process_is_continued(base: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    tune(tmp_path / "whole", settings(base), reviews(80, 1), labelled=True)
    (killed / "documents").mkdir(parents=True)
    (killed / "out").mkdir()
    reviews(80, 1).write_parquet(killed / "documents" / "documents-00000.parquet")
    command = [sys.executable, "-c", RUN, str(killed), str(base)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "step 30 of" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "step 25 of" not in done.stdout
    np.testing.assert_allclose(
        vectors(killed / "out" / "model", ["w61 w3 w80"]),
        vectors(tmp_path / "whole" / "out" / "model", ["w61 w3 w80"]),
        atol=1e-4,
    )


def test_too_little_and_too_fast_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 1 texts to fine-tune on"):
        tune(tmp_path / "a", settings(base), reviews(1, 1), labelled=False)
    with pytest.raises(InputError, match="has labels of 1 kind to fine-tune on"):
        tune(tmp_path / "b", settings(base), reviews(20, 1).filter(pl.col("stars") == "1"), labelled=True)
    with pytest.raises(TrainingError, match=r"lower encoder\.tune\.learning_rate"):
        tune(tmp_path / "c", settings(base, learning_rate=1e30), reviews(20, 1), labelled=True)


def test_an_encoder_with_layers_after_its_pooling_is_not_fine_tuned(tmp_path: Path) -> None:
    two_layers(tmp_path / "encoder")
    with pytest.raises(InputError, match="has Dense, LayerNorm, Dense after its transformer, which is not fine-tuned"):
        tune(tmp_path, settings(tmp_path / "encoder"), reviews(8, 0), labelled=True)


def test_settings_that_cannot_be_are_refused() -> None:
    whole = {
        "sources": [{"name": "a", "path": "a"}],
        "targets": [{"name": "film", "path": "b"}],
        "training": {"model": "m"},
    }
    with pytest.raises(ValueError, match="precomputed vectors cannot be fine-tuned"):
        EncoderSettings(model="x", kind="precomputed", tune={"target": "film"})
    with pytest.raises(ValueError, match=r"encoder\.tune\.target: there is no target 'flim'"):
        Settings(**whole, encoder={"model": "x", "tune": {"target": "flim"}})
    with pytest.raises(ValueError, match="target 'film' has no labelled texts"):
        Settings(**whole, encoder={"model": "x", "tune": {"target": "film", "objective": "classification"}})


def test_tuning_changes_no_version_where_it_is_not_asked_for(base: Path, tmp_path: Path) -> None:
    plain = EncoderSettings(model=str(base))
    assert encoder_version(plain, tmp_path) == encoder_version(
        settings(base).model_copy(update={"dtype": "auto"}), tmp_path
    )
