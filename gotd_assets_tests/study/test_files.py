"""What of a corpus becomes which file of the project."""

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from benchmarks.study.files import DOMAIN, write_files
from benchmarks.study.plan import Plan, Target
from gotd_assets.errors import InputError
from gotd_assets_tests.selection.pools import write_documents
from gotd_assets_tests.study.worlds import PLAN


def sentence(domain: str, side: str, row: int) -> str:
    return " ".join(f"{domain}{side}{row}word{number}" for number in range(12))


def texts(domain: str, side: str, count: int) -> list[str]:
    return [sentence(domain, side, row) for row in range(count)]


def write_corpus(folder: Path, plan: Plan = PLAN) -> Path:
    """Of the pool's `common` two documents are like text of a target, one repeats another, and one is of two sources."""
    pool = {domain: texts(domain, "pool", 20) for domain in plan.pool}
    repeated = pool["common"][0] + " again"
    shared = pool["common"][1]
    pool["common"] += [repeated, sentence("rare", "target", 3), sentence("common", "heldout", 2) + " more"]
    pool["other"].append(shared)
    for domain, documents in pool.items():
        write_documents(folder / "pool" / domain, domain, documents)
    for domain in plan.target_domains:
        write_documents(folder / "target" / domain, domain, texts(domain, "target", 24))
        heldout = texts(domain, "heldout", 10)
        heldout[0] = sentence("rare", "target", 5) + " too"
        write_documents(folder / "heldout" / domain, domain, heldout)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("files") / "data"
    write_files(PLAN, write_corpus(tmp_path_factory.mktemp("corpus")), out, lambda _: None)
    return out


def read(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path)


def test_the_pool_has_no_duplicates_and_nothing_like_a_target(files: Path) -> None:
    pool = {domain: read(files / "pool" / f"{domain}.parquet")["text"].to_list() for domain in PLAN.pool}
    assert pool == {domain: texts(domain, "pool", 20) for domain in PLAN.pool}


def test_targets_have_equal_parts_and_as_many_documents(files: Path) -> None:
    sizes = {}
    for target in PLAN.targets:
        documents = read(files / "targets" / f"{target.name}.parquet")
        parts = dict(documents.group_by(DOMAIN).len().iter_rows())
        assert parts.keys() == {*target.domains}
        assert len({*parts.values()}) == 1
        assert documents["text"].str.contains("target").all()
        sizes[target.name] = documents.height
    assert sizes == {"rare": 24, "both": 24}


def test_what_is_held_out_is_unlike_every_targets_text(files: Path) -> None:
    for target in PLAN.targets:
        documents = read(files / "heldout" / f"{target.name}.parquet")
        assert documents.height == PLAN.heldout_documents
        assert documents["text"].str.contains("heldout").all()
        assert not documents["text"].str.contains("target").any()
        assert documents[DOMAIN].unique().sort().to_list() == sorted(target.domains)


def test_too_few_documents_for_a_sample_are_told(tmp_path: Path) -> None:
    plan = dataclasses.replace(PLAN, target_documents=30, targets=(Target("rare", ("rare",), "rare"),))
    with pytest.raises(InputError, match="samples of 30 documents are wanted, and targets have 24 only"):
        write_files(plan, write_corpus(tmp_path / "corpus", plan), tmp_path / "data", lambda _: None)
