"""Each check passes on what is whole and names what is not."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gotd_assets.checks.contamination import pool_contamination
from gotd_assets.checks.documents import quarantine_rate, schema_and_counts
from gotd_assets.checks.drift import drift, target_drift
from gotd_assets.checks.selection import members, no_evaluation_text, source_share
from gotd_assets.checks.solve import duality_gap, marginal_error
from gotd_assets.checks.training import loss_did_not_diverge, records_agree
from gotd_assets.checks.vectors import usable_vectors
from gotd_assets.embedding.store import id_bytes
from gotd_assets.fingerprint import document_id
from gotd_assets.settings.texts import DuplicateSettings

TEXTS = ["the film was long and slow", "a match won in the last minute", "rain tomorrow in the north"]


def documents(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "doc_id": [document_id(text) for text in texts],
            "text": texts,
            "source": ["news"] * len(texts),
            "origin": [f"news.jsonl:{row}" for row in range(len(texts))],
            "n_chars": [len(text) for text in texts],
        }
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda frame: frame, None),
        (lambda frame: frame.drop("origin"), "columns are missing: origin"),
        (lambda frame: frame.with_columns(text=pl.lit(" ")), "3 documents have no text"),
        (lambda frame: frame.with_columns(doc_id=pl.lit("ab")), "3 doc_ids are not 32 hex digits"),
        (lambda frame: pl.concat([frame.head(2), frame.head(1)]), "1 doc_ids stand more than once"),
        (lambda frame: frame.head(2), "2 documents stand where 3 were reported"),
        (lambda frame: frame.with_columns(pl.lit(None, pl.String).alias("source")), "3 values of source or origin"),
        (lambda frame: frame.with_columns(n_chars=pl.lit(1)), "3 documents have another length"),
    ],
    ids=["whole", "column", "text", "id", "twice", "count", "source", "length"],
)
def test_documents(tmp_path: Path, damage, said: str | None) -> None:
    damage(documents(TEXTS)).write_parquet(tmp_path / "documents-00000.parquet")
    found = schema_and_counts([tmp_path], 3, 1)
    assert found.passed is (said is None)
    assert (said or "each whole") in found.sentence


def test_too_few_documents(tmp_path: Path) -> None:
    documents(TEXTS).write_parquet(tmp_path / "documents-00000.parquet")
    assert "fewer than checks.min_documents (10)" in schema_and_counts([tmp_path], 3, 10).sentence


def test_quarantine_rate() -> None:
    summary = {"read": 10, "quarantined": 2, "quarantined_by_reason": {"not JSON": 2}}
    assert quarantine_rate(summary, 0.2).passed
    found = quarantine_rate(summary, 0.1)
    assert not found.passed
    assert "20.0% of 10 records" in found.sentence
    assert "2 × not JSON" in found.sentence


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([0.6, 0.8], None),
        ([np.nan, 1], "1 vectors hold NaN"),
        ([0, 0], "1 vectors are zero"),
        ([2, 0], "1 vectors are not of length 1"),
    ],
    ids=["whole", "nan", "zero", "long"],
)
def test_vectors(tmp_path: Path, row: list[float], said: str | None) -> None:
    np.save(tmp_path / "vectors-00000.npy", np.array([[1, 0], [0, 1], row], dtype=np.float16))
    np.save(tmp_path / "ids-00000.npy", id_bytes(documents(TEXTS)["doc_id"]))
    found = usable_vectors(tmp_path, True, 3)
    assert found.passed is (said is None)
    assert (said or "none zero") in found.sentence
    assert not usable_vectors(tmp_path, True, 4).passed


def test_a_solve() -> None:
    certificate = {
        "marginal_error": 0.05,
        "tolerance": 0.01,
        "primal_upper_bound": 1.0,
        "dual_value": 0.9,
        "epsilon": 0.05,
    }
    assert marginal_error(certificate, 0.1).passed
    assert not marginal_error(certificate, 0.04).passed
    assert duality_gap(certificate, 0.11).passed
    found = duality_gap(certificate, 0.09)
    assert not found.passed
    assert found.figures["relative_gap"] == pytest.approx(0.1)


def subset(path: Path, texts: list[str], **columns: object) -> Path:
    n = len(texts)
    frame = documents(texts).with_columns(rank=pl.int_range(1, n + 1), score=pl.lit(-1.0))
    frame.with_columns(**columns).write_parquet(path / "subset.parquet")
    return path / "subset.parquet"


def test_members(tmp_path: Path) -> None:
    assert members(subset(tmp_path, TEXTS), 3).passed
    assert "3 documents were selected, 4 asked for" in members(subset(tmp_path, TEXTS), 4).sentence
    assert "3 documents have no text" in members(subset(tmp_path, TEXTS, text=pl.lit(None, pl.String)), 3).sentence
    assert "ranks" in members(subset(tmp_path, TEXTS, rank=pl.lit(1)), 3).sentence
    assert "more than once" in members(subset(tmp_path, [*TEXTS, TEXTS[0]]), 4).sentence


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        ("something else altogether, about cooking", 0),
        (TEXTS[0], 1),
        (TEXTS[0].upper().replace(" ", "  "), 1),
        ("one two three four five six seven eight nine ten eleven twelve", 1),
    ],
    ids=["other", "same", "case", "near"],
)
@pytest.mark.parametrize("kept_out", [True, False])
def test_evaluation_text(tmp_path: Path, chosen: str, count: int, kept_out: bool) -> None:
    (tmp_path / "heldout").mkdir()
    long = "one two three four five six seven eight nine ten eleven twelve thirteen"
    documents([TEXTS[0], long]).write_parquet(tmp_path / "heldout" / "documents-00000.parquet")
    settings = DuplicateSettings(contamination=kept_out, jaccard=0.7)
    found = no_evaluation_text(subset(tmp_path, [TEXTS[1], chosen]), tmp_path / "heldout", settings, tmp_path)
    assert found.figures["contaminated"] == count
    assert found.passed is (count == 0)
    again = no_evaluation_text(subset(tmp_path, [TEXTS[1], chosen]), tmp_path / "heldout", settings, tmp_path, limit=1)
    assert again.passed


def test_the_share_of_the_pool_that_is_text_of_the_target() -> None:
    summary = {"candidates": 200, "contaminated": 10}
    assert pool_contamination(summary, 0.05, looked_for=True).passed
    found = pool_contamination(summary, 0.04, looked_for=True)
    assert not found.passed
    assert "10 of 200 candidates are text of the target" in found.sentence
    assert not pool_contamination({**summary, "contaminated": 0}, 0.04, looked_for=False).passed


def test_the_share_of_a_source(tmp_path: Path) -> None:
    path = subset(tmp_path, TEXTS, source=pl.Series(["a", "a", "b"]))
    assert source_share(path, 0.7).passed
    found = source_share(path, 0.6)
    assert not found.passed
    assert "66.7% of the selection comes from a" in found.sentence


def test_drift_is_told_from_chance() -> None:
    draw = np.random.default_rng(0)
    old = draw.normal(size=(120, 8))
    _, p_same = drift(old, draw.normal(size=(90, 8)), permutations=99)
    far, p_moved = drift(old, draw.normal(size=(90, 8)) + 0.5, permutations=99)
    assert p_same > 0.05
    assert p_moved == pytest.approx(0.01)
    assert far > 0.1
    assert drift(old, old, permutations=99) == (pytest.approx(0, abs=1e-4), 1.0)


def test_p_values_under_no_drift_are_spread_out() -> None:
    draw = np.random.default_rng(1)
    values = [
        drift(draw.normal(size=(30, 4)), draw.normal(size=(30, 4)), permutations=39, seed=number)[1]
        for number in range(60)
    ]
    # Uniform: 60 draws have mean 0.5 ± 0.037 (one standard error), and 5% lie below 0.05.
    assert 0.35 < np.mean(values) < 0.65
    assert sum(value <= 0.05 for value in values) <= 9


def test_the_divergence_is_that_of_a_second_implementation() -> None:
    import ot

    draw = np.random.default_rng(2)
    old, new = draw.normal(size=(40, 3)), draw.normal(size=(50, 3)) + 1
    seen, _ = drift(old, new, permutations=20)
    together = np.concatenate([old, new])
    distances = ot.dist(together, together, metric="euclidean")[np.triu_indices(90, 1)]
    epsilon = (0.1 * float(np.median(distances))) ** 2

    def value(left: np.ndarray, right: np.ndarray) -> float:
        cost = 0.5 * ot.dist(left, right)
        a, b = ot.unif(len(left)), ot.unif(len(right))
        plan = ot.sinkhorn(a, b, cost, epsilon, method="sinkhorn_log", numItermax=20000, stopThr=1e-6)
        return float((plan * cost).sum() + epsilon * (plan * np.log(np.maximum(plan, 1e-300) / np.outer(a, b))).sum())

    exact = value(old, new) - 0.5 * value(old, old) - 0.5 * value(new, new)
    assert seen == pytest.approx(exact, rel=0.1)


def test_a_target_without_a_past_has_not_drifted() -> None:
    assert target_drift(None, np.ones((3, 2)), p_value=0.01, permutations=20).passed


def test_loss() -> None:
    falling = [(step, 5.0 - step / 10) for step in range(1, 21)]
    assert loss_did_not_diverge(falling, 1.5).passed
    rising = [(step, float(step)) for step in range(1, 21)]
    assert "grew from 2.000 to 19.000" in loss_did_not_diverge(rising, 1.5).sentence
    assert "not finite at step 21" in loss_did_not_diverge([*falling, (21, math.nan)], 1.5).sentence
    assert not loss_did_not_diverge([], 1.5).passed
    # Of four updates the last may be on harder documents.
    assert loss_did_not_diverge([(1, 3.9), (2, 4.4), (3, 4.2), (4, 5.9)], 1.5).passed
    assert not loss_did_not_diverge([(1, 3.9), (2, 8.0), (3, 12.0), (4, 20.0)], 1.5).passed


def test_records_of_a_training() -> None:
    facts = {"mlflow_run_id": "r", "selection_version": "s"}
    assert records_agree(facts, facts, {**facts, "status": "FINISHED"}).passed
    assert (
        "lineage has selection_version t"
        in records_agree(facts, {**facts, "selection_version": "t"}, {**facts, "status": "FINISHED"}).sentence
    )
    assert "lineage has no record" in records_agree(facts, {}, {**facts, "status": "FINISHED"}).sentence
    assert "MLflow has no run r" in records_agree(facts, facts, None).sentence
    assert "KILLED" in records_agree(facts, facts, {**facts, "status": "KILLED"}).sentence
