"""A study of a few hundred documents of made-up words, with a static encoder that knows them and a tiny random language model."""

import shutil
from pathlib import Path

import numpy as np

from benchmarks.study.plan import Plan, Target
from benchmarks.study.project import Study, write_project
from gotd_assets_tests.end_to_end.project import topic_encoder
from gotd_assets_tests.models import tiny
from gotd_assets_tests.once import mlflow_database
from gotd_assets_tests.selection.pools import write_documents

SIZES = {"common": 120, "other": 60, "rare": 20}

PLAN = Plan(
    name="test",
    pool=SIZES,
    targets=(Target("rare", ("rare",), "rare"), Target("both", ("common", "rare"), "rare")),
    methods=("gotd", "random", "dsir", "tapt-c"),
    first=("gotd", "random", "dsir"),
    budgets=(5, 10),
    training_budget=10,
    seeds=2,
    target_documents=12,
    heldout_documents=8,
    pretraining_documents=16,
    max_tokens=16,
    trainable_layers=1,
)


def make_study(folder: Path, plan: Plan = PLAN) -> Study:
    """Words of a domain lie in a direction of their own."""
    random = np.random.default_rng(0)
    for number, (domain, size) in enumerate(plan.pool.items()):
        words = tiny.WORDS[number * 30 : number * 30 + 30]
        for side, count in (("pool", size), ("target", 20), ("heldout", 10)):
            texts = [f"{' '.join(random.choice(words, 12))} {side} {row}" for row in range(count)]
            write_documents(folder / "corpus" / side / domain, domain, texts)
    topic_encoder(folder / "encoder")
    tiny.model_folder(folder / "model", "llama")
    home = folder / ".gotd" / "mlflow"
    home.mkdir(parents=True)
    shutil.copyfile(mlflow_database(), home / "mlflow.db")
    return write_project(Study(plan, folder), {"minilm": folder / "encoder"}, folder / "model", lambda _: None)
