"""An encoder keeps its version over releases where its folder was read right, and gets another where it was not."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256, fingerprint
from gotd_assets.models.encoder import encoder_version
from gotd_assets.settings.encoder import EncoderSettings

REVISION = "a" * 40
CONFIG = {"model_type": "bert", "architectures": ["BertModel"], "max_position_embeddings": 512}


def write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def transformer(folder: Path, **config: object) -> Path:
    """Files enough for a version; their content is the same in every release of every library."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"\x14\x00\x00\x00\x00\x00\x00\x00" + b'{"__metadata__":{}} ')
    write(folder / "config.json", CONFIG | config)
    write(folder / "tokenizer_config.json", {"model_max_length": 512})
    write(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
            "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"},
        },
    )
    return folder


def of_sentences(
    folder: Path, *after: str, pooling: str = "1_Pooling", mode: str = "mean_tokens", **said: object
) -> Path:
    transformer(folder)
    kinds = [("Transformer", ""), ("Pooling", pooling), *((kind, f"{n}_{kind}") for n, kind in enumerate(after, 2))]
    write(
        folder / "modules.json",
        [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (kind, path) in enumerate(kinds)
        ],
    )
    write(folder / pooling / "config.json", {"word_embedding_dimension": 8, f"pooling_mode_{mode}": True})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 256, "do_lower_case": False, **said})
    return folder


def static(folder: Path, table: str) -> Path:
    transformer(folder)
    save_file({table: np.zeros((2, 4), dtype=np.float32)}, folder / "model.safetensors")
    write(folder / "config.json", {"model_type": "model2vec"})
    return folder


# As commit 635d4cd gave them.
KEPT = {
    "plain": (transformer, {}),
    "plain, of fewer tokens": (transformer, {"max_tokens": 64}),
    "plain, first token": (transformer, {"pooling": "cls"}),
    "mean, length 1": (lambda at: of_sentences(at, "Normalize"), {}),
    "first token": (lambda at: of_sentences(at, mode="cls_token"), {}),
    "lower case as the tokenizer has it": (lambda at: of_sentences(at, do_lower_case=True), {}),
    "prompts without a default": (lambda at: with_prompts(of_sentences(at)), {}),
    "model2vec": (lambda at: static(at, "embeddings"), {}),
    "model2vec, said so": (lambda at: static(at, "embeddings"), {"kind": "static"}),
    "OpenVINO": (transformer, {"backend": "openvino"}),
    "hub": (lambda at: "org/name", {"revision": REVISION}),
    "hub, first token": (lambda at: "org/name", {"revision": REVISION, "pooling": "cls"}),
}
VERSIONS = {
    "plain": "1b0e83cceac13376d1843e5173944da0",
    "plain, of fewer tokens": "030a109c41f7ebcd59e00814e0b935d7",
    "plain, first token": "7a8d168132a8b8731990c20cfca894b0",
    "mean, length 1": "f4de96ad891e7fde7b4b956b070eb5c0",
    "first token": "dffe411a2362d5b9fdbebc13e3c7ce62",
    "lower case as the tokenizer has it": "f8ba972263a0aa10226c8c4f1f98c04a",
    "prompts without a default": "53a7e12cca22a43408b0549a708826e9",
    "model2vec": "4c9d3c68f857bc414b70eac1d4e8d3fa",
    "model2vec, said so": "887ba7385cf059563aeed6360591d972",
    "OpenVINO": "59ead146ba068efb593bec60521fcfde",
    "hub": "fd663650c57bd25e813ab8535dfbde61",
    "hub, first token": "0b9c65d3acf9482370e7af1216d4bc6f",
}


def with_prompts(folder: Path, default: str | None = None) -> Path:
    write(
        folder / "config_sentence_transformers.json",
        {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": default},
    )
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize("name", KEPT)
def test_what_was_read_right_keeps_its_version(tmp_path: Path, name: str) -> None:
    make, changes = KEPT[name]
    settings = EncoderSettings(model=str(make(tmp_path / "model")), **changes)
    assert encoder_version(settings, tmp_path) == VERSIONS[name]


def as_before(folder: Path, settings: EncoderSettings) -> str:
    """The version by the rule of commit 635d4cd: contents and settings, whatever the contents say."""
    suffixes = (".json", ".safetensors", ".txt", ".model", ".npy", ".parquet")
    files = sorted(file for file in folder.rglob("*") if file.suffix in suffixes)
    shaping = ("revision", "kind", "pooling", "max_tokens", "normalize", "dtype", "storage_dtype")
    return fingerprint(
        {
            "code": "2" if (folder / "model2vec").exists() else "1",
            "files": {str(file.relative_to(folder)): file_sha256(file) for file in files},
            **{name: getattr(settings, name) for name in shaping},
        }
    )


CHANGED = {
    "pooling elsewhere": (lambda at: of_sentences(at, pooling="pooling", mode="cls_token"), {}),
    "pooling of another mode": (lambda at: of_sentences(at, mode="max_tokens"), {}),
    "continues text": (lambda at: transformer(at, architectures=["LlamaForCausalLM"]), {}),
    "fewer tokens": (lambda at: of_sentences(at, max_seq_length=128), {}),
    "more tokens than asked for, fewer than could be": (of_sentences, {"max_tokens": 384}),
    "length 1 that was not kept": (lambda at: of_sentences(at, "Normalize"), {"normalize": False}),
    "default prompt": (lambda at: with_prompts(of_sentences(at), "query"), {}),
    "prompt": (transformer, {"prompt": "query: "}),
    "arguments": (lambda at: of_sentences(at, config_args={"is_causal": False}), {}),
    "lower case": (lambda at: cased(of_sentences(at, do_lower_case=True)), {}),
}


def cased(folder: Path) -> Path:
    said = json.loads((folder / "tokenizer.json").read_text())
    write(folder / "tokenizer.json", said | {"normalizer": {"type": "NFC"}})
    return folder


@pytest.mark.parametrize("name", CHANGED)
def test_what_was_read_wrong_gets_another_version(tmp_path: Path, name: str) -> None:
    make, changes = CHANGED[name]
    folder = make(tmp_path / "model")
    settings = EncoderSettings(model=str(folder), **changes)
    assert encoder_version(settings, tmp_path) != as_before(folder, settings)


def test_the_rule_of_before_is_told_right(tmp_path: Path) -> None:
    folder = of_sentences(tmp_path / "model", "Normalize")
    assert as_before(folder, EncoderSettings(model=str(folder))) == VERSIONS["mean, length 1"]


def test_a_prompt_counts_as_what_is_put_before_texts(tmp_path: Path) -> None:
    folder = with_prompts(of_sentences(tmp_path / "model"))

    def version(**changes: object) -> str:
        return encoder_version(EncoderSettings(model=str(folder), **changes), tmp_path)

    assert version(prompt="query") == version(prompt="query: ") != version()
    assert version(prompt="") == version(prompt="document") == version()
    assert version(target_prompt="query") == version()
    of_targets = EncoderSettings(model=str(folder), target_prompt="query").of_targets()
    assert encoder_version(of_targets, tmp_path) == version(prompt="query")


def test_code_that_comes_with_a_model_is_part_of_its_version(tmp_path: Path) -> None:
    folder = transformer(tmp_path / "model", auto_map={"AutoModel": "own.Own"})
    trusting = EncoderSettings(model=str(folder), trust_remote_code=True)
    versions = []
    for code in ("first = 1", "second = 2"):
        (folder / "own.py").write_text(code)
        versions.append(encoder_version(trusting, tmp_path))
    assert len({*versions, encoder_version(EncoderSettings(model=str(folder)), tmp_path)}) == 3


def test_code_in_a_repository_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = transformer(tmp_path / "model", auto_map={"AutoModel": "org/code--own.Own"})
    trusting = EncoderSettings(model=str(folder), trust_remote_code=True)
    with pytest.raises(InputError, match="takes its code from org/code"):
        encoder_version(trusting, tmp_path)


def test_a_model_on_the_hub_is_read_as_its_folder_says(tmp_path: Path) -> None:
    settings = EncoderSettings(model="org/name", revision=REVISION)
    before = encoder_version(settings, tmp_path)
    snapshot = tmp_path / "hub" / "models--org--name" / "snapshots" / REVISION
    of_sentences(snapshot)
    assert encoder_version(settings, tmp_path) == before
    write(snapshot / "1_Pooling" / "config.json", {"pooling_mode": "cls"})
    # Release 0.1 took the mean, whatever its files said.
    assert encoder_version(settings, tmp_path) != before
