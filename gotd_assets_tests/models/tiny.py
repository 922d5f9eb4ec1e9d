"""Tiny random models and documents; no weights are downloaded."""

import hashlib
from pathlib import Path

import polars as pl
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    DebertaConfig,
    DebertaModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from gotd_assets.settings.training import TrainingSettings
from gotd_assets.tracking.context import TrackingContext

WORDS = [f"w{number}" for number in range(90)]


def tokenizer(*, masked: bool = False) -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: index for index, word in enumerate([*special, *WORDS])}
    names = {"unk_token": "[UNK]"}
    inner = Tokenizer(models.WordLevel(vocabulary, **names))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if not masked:
        return PreTrainedTokenizerFast(tokenizer_object=inner, **names)
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names |= {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


def model_folder(folder: Path, kind: str) -> Path:
    """Save a random model: 'gpt2' (tied, dropout), 'llama' (untied head), 'bert', or 'bert-headless'."""
    torch.manual_seed(1)
    size = {"vocab_size": 95}
    bert = BertConfig(
        **size,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    build = {
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**size, n_embd=16, n_layer=3, n_head=2, n_positions=64)),
        "llama": lambda: LlamaForCausalLM(
            LlamaConfig(
                **size,
                hidden_size=16,
                num_hidden_layers=3,
                num_attention_heads=2,
                num_key_value_heads=1,
                intermediate_size=32,
                max_position_embeddings=64,
            )
        ),
        "bert": lambda: BertForMaskedLM(bert),
        "bert-headless": lambda: BertModel(bert),
    }
    build[kind]().save_pretrained(folder)
    tokenizer(masked=kind.startswith("bert")).save_pretrained(folder)
    return folder


def other_encoder(folder: Path, kind: str) -> Path:
    """Save a random encoder of another make: 'deberta', 'distilbert', 'roberta' or 'mpnet'."""
    torch.manual_seed(3)
    size = {"vocab_size": 95, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
    wide = {"hidden_size": 16, "intermediate_size": 32}
    build = {
        # It reads the weights of its linear layers itself.
        "deberta": lambda: DebertaModel(
            DebertaConfig(**size, **wide, pad_token_id=0, relative_attention=True, pos_att_type=["c2p", "p2c"])
        ),
        "distilbert": lambda: DistilBertModel(
            DistilBertConfig(vocab_size=95, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=64)
        ),
        # Positions are counted from the padding token's number on.
        "roberta": lambda: RobertaModel(RobertaConfig(**size, **wide, pad_token_id=0)),
        "mpnet": lambda: MPNetModel(MPNetConfig(**size, **wide, pad_token_id=0)),
    }
    build[kind]().save_pretrained(folder)
    tokenizer(masked=True).save_pretrained(folder)
    return folder


def classifier_folder(folder: Path, labels: list[str], *, together: bool = False) -> Path:
    """Save a random sequence classification model; `together` says that several labels may hold at once."""
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=95,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        problem_type="multi_label_classification" if together else None,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer(masked=True).save_pretrained(folder)
    return folder


def texts(count: int, seed: int = 0) -> list[str]:
    """Documents of 3 to 20 words."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 21, (count,), generator=generator).tolist()
    return [" ".join(WORDS[i] for i in torch.randint(0, 90, (n,), generator=generator).tolist()) for n in lengths]


def write_documents(path: Path, content: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in content]
    pl.DataFrame({"doc_id": ids, "text": content}).write_parquet(path)
    return path


def settings(model: Path, **changes: object) -> TrainingSettings:
    fixed = {"max_tokens": 32, "batch_size": 4, "precision": "float32", "learning_rate": 1e-2, "device": "cpu"}
    return TrainingSettings(model=str(model), **(fixed | changes))


def tracking(folder: Path) -> TrackingContext:
    return TrackingContext(
        uri=f"sqlite:///{folder / 'mlflow.db'}",
        experiment="tests",
        run_name="a run",
        selection_version="ab" * 16,
        tags={"dagster.run_id": "run-1"},
        artifact_location=(folder / "artifacts").as_uri(),
    )
