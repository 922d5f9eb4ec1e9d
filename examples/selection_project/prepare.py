"""Writes the example's data and its tiny random models: `python prepare.py`."""

import itertools
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

HERE = Path(__file__).parent
# Every text is one choice from each column, in the order of the columns.
TOPICS = {
    "support": (
        ["my printer", "the new scanner", "our router", "this laptop"],
        ["shows an error", "lost its connection", "asks for a password", "will not start"],
        ["after the update", "since yesterday", "when two people log in", "although the cable is new"],
    ),
    "cooking": (
        ["roast the carrots", "simmer the lentils", "knead the dough", "slice the onions"],
        ["with butter and thyme", "in a deep pan", "until soft and golden", "while the oven heats"],
        ["then season with salt", "and serve with bread", "before adding cream", "for about an hour"],
    ),
    "garden": (
        ["prune the roses", "water the seedlings", "dig the flower bed", "mow the lawn"],
        ["in early spring", "before the first frost", "when the soil is dry", "after heavy rain"],
        ["and spread some compost", "to keep slugs away", "so that roots grow deep", "beside the old fence"],
    ),
}


def texts(topic: str) -> list[str]:
    """All 64 texts of a topic."""
    return [" ".join(parts) for parts in itertools.product(*TOPICS[topic])]


def write(name: str, content: list[str]) -> None:
    """A JSONL file in `data`."""
    path = HERE / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in content), encoding="utf-8")


def write_models() -> None:
    """Static embeddings in which words of a topic lie together, and a language model that knows nothing yet."""
    words = {topic: sorted({word for text in texts(topic) for word in text.split()}) for topic in TOPICS}
    vocabulary = ["[PAD]", "[UNK]", *sorted(set().union(*words.values()))]
    unknown = {"unk_token": "[UNK]"}
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(vocabulary)}, **unknown))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = 0.3 * np.random.default_rng(0).standard_normal((len(vocabulary), 16)).astype(np.float32)
    for axis, topic in enumerate(TOPICS):
        vectors[[vocabulary.index(word) for word in words[topic]], axis] += 1
    encoder = HERE / "models" / "encoder"
    encoder.mkdir(parents=True, exist_ok=True)
    save_file({"embeddings": vectors}, encoder / "model.safetensors")
    inner.save(str(encoder / "tokenizer.json"))
    size = {"vocab_size": len(vocabulary), "bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(**size, n_embd=16, n_layer=2, n_head=2, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(HERE / "models" / "language-model")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **unknown)
    tokenizer.save_pretrained(HERE / "models" / "language-model")


if __name__ == "__main__":
    support, cooking, garden = texts("support"), texts("cooking"), texts("garden")
    write("notes.jsonl", garden[:40] + cooking[:20])
    write("chat.jsonl", garden[40:] + support[:20])
    write("tickets.jsonl", support[20:])
    write("dishes/dinner.jsonl", cooking[20:])
    write_models()
