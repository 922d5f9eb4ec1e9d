"""The example of instructions: records of messages are selected for a task, trained on by turns, and given back as they came."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import SettingsError
from gotd_assets.settings.project import settings_of
from gotd_assets_tests.end_to_end.project import REPOSITORY, gotd, set_up_mlflow
from gotd_assets_tests.end_to_end.run_history import keep_history

EXAMPLE = REPOSITORY / "examples" / "instructions"
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }} [end]\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def written(**changes: object) -> dict[str, object]:
    return {**yaml.safe_load((EXAMPLE / "gotd.yaml").read_text(encoding="utf-8")), **changes}


def words_of(texts: list[str]) -> Tokenizer:
    """A tokenizer that knows every word of `texts`."""
    unknown = "[UNK]"
    split = pre_tokenizers.Whitespace()
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text)})
    numbers = {word: number for number, word in enumerate([unknown, *words])}
    found = Tokenizer(models.WordLevel(numbers, unk_token=unknown))
    found.pre_tokenizer = split
    return found


def a_model_that_chats(folder: Path, texts: list[str]) -> None:
    words = words_of(texts)
    size = GPT2Config(vocab_size=words.get_vocab_size(), n_embd=16, n_layer=2, n_head=2, n_positions=64)
    GPT2LMHeadModel(size).save_pretrained(folder)
    own = PreTrainedTokenizerFast(tokenizer_object=words)
    own.chat_template = TEMPLATE
    own.save_pretrained(folder)


def an_encoder_of_words(folder: Path, texts: list[str]) -> None:
    words = words_of(texts)
    folder.mkdir()
    vectors = np.random.default_rng(0).standard_normal((words.get_vocab_size(), 64)).astype(np.float32)
    save_file({"embeddings": vectors}, folder / "model.safetensors")
    words.save(str(folder / "tokenizer.json"))


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    subprocess.run([sys.executable, "prepare.py"], cwd=tmp_path, check=True)
    lines = (tmp_path / "data" / "pool.jsonl").read_text(encoding="utf-8").splitlines()
    training = {**written()["training"], "model": "model", "max_tokens": 48, "trainable_layers": "all"}  # type: ignore[dict-item]
    settings = written(encoder={"model": "encoder"}, training=training)
    (tmp_path / "gotd.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    said = [turn["content"] for line in lines for turn in json.loads(line)["messages"]]
    a_model_that_chats(tmp_path / "model", [*said, "[user] [assistant] [end]"])
    an_encoder_of_words(tmp_path / "encoder", said)
    keep_history(tmp_path)
    set_up_mlflow(tmp_path / ".gotd")

    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    done = gotd(tmp_path, "export", "cooking", "chosen", "--as", "source")
    assert done.returncode == 0, done.stdout + done.stderr
    (exported,) = (tmp_path / "chosen").rglob("*.jsonl")
    chosen = exported.read_text(encoding="utf-8").splitlines()
    assert len(chosen) == 8
    assert set(chosen) <= set(lines)

    artifact = ArtifactStore(tmp_path / ".gotd" / "artifacts").current(
        ArtifactKey("pre_fine_tuned_model", "cooking/gotd")
    )
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "model")
    answers = [json.loads(line)["messages"][1]["content"] + " [end]" for line in chosen]
    expected = sum(len(tokenizer(answer, add_special_tokens=False)["input_ids"]) for answer in answers)
    assert artifact.json("training.json")["tokens"] == 3 * expected
    heldout = pl.read_parquet(artifact.path / "heldout.parquet")
    assert heldout["tokens"].min() > 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sources": [{"name": "a", "path": "a"}]}, "training.chat reads messages, which no source carries along"),
        ({"preparation": {"chunk_by": "characters"}}, "training.chat takes whole records"),
        ({"training": {"model": "m", "chat": {}}}, "give messages, or prompt and completion"),
        ({"training": {"model": "m", "chat": {"messages": "m", "completion": "c"}}}, "one of both"),
        (
            {"training": {"model": "m", "objective": "masked", "chat": {"messages": "messages"}}},
            "set it to all for masked",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_said_before_anything_runs(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        settings_of(written(**changes))
