"""Tiny folders of sentence-transformers, each made in another way; what that library gives for them is the oracle."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import normalizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    MT5Config,
    MT5EncoderModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from gotd_assets_tests.models import tiny

WIDE = {"vocab_size": 95, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
T5 = {"vocab_size": 95, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "pad_token_id": 0}
NAMESPACE = "sentence_transformers.models."


def write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def bert(folder: Path, *, spread: float = 0.4) -> Path:
    """A BERT whose vectors differ more from each other than those of a fresh one."""
    torch.manual_seed(5)
    BertForMaskedLM(BertConfig(**WIDE, max_position_embeddings=64, initializer_range=spread)).bert.save_pretrained(
        folder
    )
    tiny.tokenizer(masked=True).save_pretrained(folder)
    return folder


def modules(folder: Path, *listed: tuple[str, str], namespace: str = NAMESPACE) -> None:
    write(
        folder / "modules.json",
        [
            {"idx": number, "name": str(number), "path": place, "type": namespace + kind}
            for number, (kind, place) in enumerate(listed)
        ],
    )


def dense(folder: Path, inside: int, outside: int, activation: str, *, bias: bool = True) -> None:
    torch.manual_seed(7)
    write(
        folder / "config.json",
        {"in_features": inside, "out_features": outside, "bias": bias, "activation_function": activation},
    )
    tensors = {"linear.weight": torch.randn(outside, inside)} | ({"linear.bias": torch.randn(outside)} if bias else {})
    save_file(tensors, folder / "model.safetensors")


def plain(folder: Path) -> None:
    """No file of sentence-transformers at all."""
    bert(folder)


def elsewhere(folder: Path) -> None:
    """The pooling is not in 1_Pooling."""
    bert(folder)
    modules(folder, ("Transformer", ""), ("Pooling", "pooling"))
    write(folder / "pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_cls_token": True})
    # Not listed, so it is not followed.
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_max_tokens": True})


def several_modes(folder: Path) -> None:
    """As before release 6: a switch for each of several modes, and vectors of length 1."""
    bert(folder)
    modules(folder, ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))
    switches = {f"pooling_mode_{mode}": True for mode in ("cls_token", "max_tokens", "mean_sqrt_len_tokens")}
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, **switches})


def weighted(folder: Path) -> None:
    """As SGPT: tokens count more towards the end."""
    bert(folder)
    modules(folder, ("Transformer", ""), ("Pooling", "1_Pooling"))
    write(
        folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_weightedmean_tokens": True}
    )


def short(folder: Path) -> None:
    """Texts are cut to fewer tokens than the model could read, and the tokenizer says more."""
    bert(folder)
    modules(folder, ("Transformer", ""), ("Pooling", "1_Pooling"))
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 9, "do_lower_case": False})
    write(
        folder / "tokenizer_config.json",
        {**json.loads((folder / "tokenizer_config.json").read_text()), "model_max_length": 40},
    )


def lower_case(folder: Path) -> None:
    """A tokenizer that keeps capitals, in a folder that wants none."""
    bert(folder)
    modules(folder, ("Transformer", ""), ("Pooling", "1_Pooling"))
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode": "mean"})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": True})


def lower_case_with_accents(folder: Path) -> None:
    """The tokenizer changes the text in a way of its own, too."""
    lower_case(folder)
    inner = tiny.tokenizer(masked=True)
    inner.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    inner.save_pretrained(folder)


def older(folder: Path) -> None:
    """As releases before 1.0: the transformer in a folder of its own, its file under RoBERTa's name."""
    torch.manual_seed(9)
    config = XLMRobertaConfig(**WIDE, max_position_embeddings=64, pad_token_id=1, initializer_range=0.4)
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder / "0_Transformer")
    tiny.tokenizer(masked=True).save_pretrained(folder / "0_Transformer")
    write(folder / "config.json", {"__version__": "0.2.5"})
    modules(folder, ("Transformer", "0_Transformer"), ("Pooling", "1_Pooling"))
    write(folder / "0_Transformer" / "sentence_roberta_config.json", {"max_seq_length": 12, "do_lower_case": True})
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})


def two_layers(folder: Path) -> None:
    """As sentence-t5 and LaBSE: layers after the pooling."""
    bert(folder)
    modules(
        folder,
        *(("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"), ("LayerNorm", "3_LayerNorm")),
        *(("Dense", "4_Dense"), ("Normalize", "5_Normalize")),
    )
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_cls_token": True})
    dense(folder / "2_Dense", 16, 12, "torch.nn.modules.activation.Tanh")
    torch.manual_seed(8)
    write(folder / "3_LayerNorm" / "config.json", {"dimension": 12})
    save_file(
        {"norm.weight": torch.randn(12), "norm.bias": torch.randn(12)}, folder / "3_LayerNorm" / "model.safetensors"
    )
    dense(folder / "4_Dense", 12, 8, "torch.nn.modules.linear.Identity", bias=False)


def prompted(folder: Path) -> None:
    """As E5: a prompt before every text, and further ones by name; vectors are cut to fewer numbers."""
    bert(folder)
    modules(folder, ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})
    write(
        folder / "config_sentence_transformers.json",
        {"prompts": {"query": "w1 w2 ", "passage": "w3 "}, "default_prompt_name": "query", "truncate_dim": 10},
    )


def instructed(folder: Path) -> None:
    """As INSTRUCTOR: the prompt's tokens are read, but do not count in the mean."""
    prompted(folder)
    write(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True, "include_prompt": False},
    )


def ended(**names: str) -> PreTrainedTokenizerFast:
    from tokenizers import processors

    inner = tiny.tokenizer(masked=True).backend_tokenizer
    inner.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 3)])
    names |= {"unk_token": "[UNK]", "pad_token": "[PAD]", "eos_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


def t5(folder: Path) -> None:
    """As sentence-t5: the encoder alone, then a layer."""
    torch.manual_seed(10)
    T5EncoderModel(T5Config(**T5)).save_pretrained(folder)
    ended().save_pretrained(folder)
    modules(folder, ("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"), ("Normalize", "3_Normalize"))
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})
    dense(folder / "2_Dense", 16, 6, "torch.nn.modules.linear.Identity", bias=False)


def whole_t5(folder: Path) -> None:
    """Encoder and decoder, as they come from a hub, without a file of sentence-transformers."""
    torch.manual_seed(11)
    T5ForConditionalGeneration(T5Config(**T5, decoder_start_token_id=0)).save_pretrained(folder)
    ended().save_pretrained(folder)


def mt5(folder: Path) -> None:
    torch.manual_seed(12)
    MT5EncoderModel(MT5Config(**T5, tie_word_embeddings=False)).save_pretrained(folder)
    ended().save_pretrained(folder)


def causal(folder: Path) -> None:
    """A language model that continues text: the last token has seen the whole."""
    torch.manual_seed(13)
    GPT2LMHeadModel(GPT2Config(vocab_size=95, n_embd=16, n_layer=2, n_head=2, n_positions=64)).save_pretrained(folder)
    ended(padding_side="left").save_pretrained(folder)


def newest(folder: Path) -> None:
    """As release 6 writes it, with arguments for the tokenizer."""
    bert(folder)
    modules(
        folder,
        ("base.modules.transformer.Transformer", ""),
        ("sentence_transformer.modules.pooling.Pooling", "1_Pooling"),
        namespace="sentence_transformers.",
    )
    write(folder / "1_Pooling" / "config.json", {"embedding_dimension": 16, "pooling_mode": ["lasttoken", "mean"]})
    write(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings",
            "processor_kwargs": {"model_max_length": 11},
        },
    )


def static(folder: Path) -> None:
    """Static embeddings as sentence-transformers writes them."""
    torch.manual_seed(14)
    place = folder / "0_StaticEmbedding"
    place.mkdir(parents=True)
    save_file({"embedding.weight": torch.randn(95, 16)}, place / "model.safetensors")
    tiny.tokenizer().backend_tokenizer.save(str(place / "tokenizer.json"))
    modules(folder, ("StaticEmbedding", "0_StaticEmbedding"), ("Normalize", "1_Normalize"))


FOLDERS: Mapping[str, Callable[[Path], None]] = {
    make.__name__: make
    for make in (
        *(plain, elsewhere, several_modes, weighted, short, lower_case, lower_case_with_accents, older, two_layers),
        *(prompted, instructed, t5, whole_t5, mt5, causal, newest, static),
    )
}
