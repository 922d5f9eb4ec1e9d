"""`select`: the same rows as the pipeline, from whatever people have, with what they ask next."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gotd_assets import Selector, select
from gotd_assets.api.inputs import given
from gotd_assets.api.progress import SelectionWarning
from gotd_assets.api.selection import Selection
from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import InputError, SettingsError
from gotd_assets_tests.end_to_end.project import TOPICS, sentences, topic_encoder

NEWS, FILM = sentences("news", 60, 0), sentences("film", 12, 0)
POOL = [*NEWS, *FILM, NEWS[0], "…", "  "]
TARGET = sentences("film", 24, 1)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "encoder"
    topic_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def chosen(encoder: Path, home: Path) -> Selection:
    with warnings.catch_warnings():
        # That all of it is from the only source is nothing to warn of.
        warnings.simplefilter("error", SelectionWarning)
        return select(POOL, TARGET, 8, encoder=encoder, home=home)


def test_the_rows_of_the_task_come_first_and_lead_back_to_the_list(chosen: Selection) -> None:
    assert len(chosen) == 8
    assert chosen.frame["rank"].to_list() == list(range(1, 9))
    assert chosen.frame["score"].is_sorted()
    assert chosen.records() == chosen.frame["text"].to_list() == [POOL[row] for row in chosen.frame["row"]]
    assert set(chosen.records()) <= set(FILM)
    for row, text in chosen.frame.select("nearest_row", "nearest_target_text").iter_rows():
        assert TARGET[row] == text


@pytest.mark.parametrize(
    "pool",
    [
        pl.DataFrame({"body": POOL, "n": range(len(POOL))}),
        pl.DataFrame({"body": POOL, "n": range(len(POOL))}).lazy(),
        pd.DataFrame({"body": POOL, "n": range(len(POOL))}, index=range(100, 100 + len(POOL))),
        pa.table({"body": POOL, "n": range(len(POOL))}),
        datasets.Dataset.from_dict({"body": ["out", *POOL], "n": range(-1, len(POOL))}).select(range(1, len(POOL) + 1)),
        pl.Series(POOL),
        pd.Series(POOL, index=range(100, 100 + len(POOL))),
        tuple(POOL),
        np.array(POOL),
        iter(POOL),
    ],
    ids=lambda pool: f"{type(pool).__module__.partition('.')[0]}-{type(pool).__name__}",
)
def test_every_kind_of_pool_is_written_row_by_row_and_gives_its_own_rows_back(pool: object, tmp_path: Path) -> None:
    found = given(pool, "pool", tmp_path, "body")
    assert pl.read_parquet(found.path)[found.field].to_list() == POOL
    rows = found.rows([70, 0, 3])
    if isinstance(pool, pl.LazyFrame):
        assert rows["n"].to_list() == [70, 0, 3]
    elif hasattr(pool, "columns") or hasattr(pool, "column_names"):
        assert type(rows) is type(pool)
        assert list(map(int, rows["n"])) == [70, 0, 3]
    else:
        assert list(rows) == [POOL[70], POOL[0], POOL[3]]


def test_a_frame_with_nulls_and_the_wrong_split_are_told(tmp_path: Path) -> None:
    found = given(pd.Series(["a", None, float("nan"), "b"]), "pool", tmp_path, "text")
    assert pl.read_parquet(found.path)["text"].to_list() == ["a", None, None, "b"]
    splits = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": POOL})})
    with pytest.raises(InputError, match="several splits; give one of them: 'train'"):
        given(splits, "pool", tmp_path, "text")


TURNS = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]


@pytest.mark.parametrize(
    "make",
    [pl.DataFrame, pd.DataFrame, pa.Table.from_pylist, datasets.Dataset.from_list, list],
    ids=str,
)
def test_texts_are_put_together_of_columns_and_turns(make, tmp_path: Path) -> None:
    frame = make([{"title": "One", "chat": TURNS, "n": 1}, {"title": None, "chat": TURNS[:1], "n": 2}])
    found = given(frame, "pool", tmp_path, "{title}\n{chat}")
    assert pl.read_parquet(found.path)["text"].to_list() == ["One\nuser: Why?\n\nassistant: Because.", "\nuser: Why?"]
    assert pl.read_parquet(given(frame, "pool", tmp_path, "chat").path)["text"][1] == "user: Why?"


def test_rows_of_a_frame_come_back_with_all_their_columns(chosen: Selection, encoder: Path, home: Path) -> None:
    frame = pd.DataFrame({"body": POOL, "n": range(len(POOL))}, index=range(100, 100 + len(POOL)))
    found = select(frame, pl.Series(TARGET), 8, encoder=encoder, text="body", home=home)
    assert found.records()["n"].to_list() == chosen.frame["row"].to_list() == found.frame["row"].to_list()


def test_a_function_encodes_as_a_model_of_the_same_vectors_does(chosen: Selection) -> None:
    draw = np.random.default_rng(3)
    words = [word for topic in TOPICS.values() for word in topic]
    topics = np.array([[word in topic for topic in TOPICS.values()] for word in words])
    place = {word: row for row, word in enumerate(words)}
    noise = 0.1 * draw.standard_normal((len(place), 3))
    calls = []

    def encode(texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        return np.stack([(topics + noise)[[place[word] for word in text.split()]].mean(axis=0) for text in texts])

    found = select(POOL, TARGET, 8, encoder=encode)
    assert set(found.records()) <= set(FILM)
    # Every text once: duplicates and what cannot be read are not encoded.
    assert sum(calls) == len(NEWS) + len(FILM) + len(TARGET)
    with pytest.raises(InputError, match=r"an array of shape \(5,\) for \d+ texts"):
        select(POOL, TARGET, 8, encoder=lambda texts: np.zeros(5))


def test_vectors_alone_will_do() -> None:
    draw = np.random.default_rng(0)
    pool = draw.standard_normal((300, 8)).astype(np.float32)
    pool[:30, 0] += 8
    pool[40] = pool[3]
    target = draw.standard_normal((40, 8)) + np.array([8] + [0] * 7)
    found = select(pool, target, 20, settings={"transport": {"epsilon": 0.02}})
    assert set(found.frame["row"]) <= set(range(30))
    assert "text" not in found.frame.columns
    np.testing.assert_array_equal(found.records(), pool[found.frame["row"].to_list()])
    unit = pool / np.linalg.norm(pool, axis=1, keepdims=True)
    unit_target = target / np.linalg.norm(target, axis=1, keepdims=True)
    nearest = (unit @ unit_target.T).argmax(axis=1)
    assert found.frame["nearest_row"].to_list() == nearest[found.frame["row"].to_list()].tolist()
    with pytest.raises(InputError, match="vectors and texts cannot be compared"):
        select(pool, TARGET, 20)
    with pytest.raises(InputError, match="vectors were given; leave it out"):
        select(pool, target, 20, encoder="somewhere")


def test_duplicates_and_texts_of_the_target_are_left_out_and_told(encoder: Path) -> None:
    pool = [*NEWS, TARGET[0], FILM[0], FILM[0], FILM[1]]
    found = select(pool, TARGET, 3, encoder=encoder)
    assert TARGET[0] not in found.records()
    told = {row["row"]: (row["reason"], row["matched"]) for row in found.left_out.to_dicts()}
    assert told == {60: ("text of the target", TARGET[0]), 62: ("same text", FILM[0])}


def test_the_certificate_bounds_the_cost_and_explains_follow_rows_and_ids(chosen: Selection) -> None:
    certificate = chosen.certificate
    assert certificate.converged
    assert certificate.dual_value <= certificate.primal_upper_bound
    assert certificate.n_source == len(NEWS) + len(FILM)
    best = chosen.frame.row(0, named=True)
    explained = chosen.explain(best["row"])
    assert (explained.rank, explained.document.text) == (1, best["text"])
    assert explained == chosen.explain(best["doc_id"][:12])
    assert chosen.explain(0).rank is None
    assert chosen.explain(len(NEWS) + len(FILM)).document.text == NEWS[0]
    with pytest.raises(InputError, match="row 999 is not among the candidates"):
        chosen.explain(999)


def test_what_is_saved_is_what_the_pipeline_exports(chosen: Selection, tmp_path: Path) -> None:
    names = {path.name for path in chosen.save(tmp_path / "mine")}
    assert names == {"subset.parquet", "subset.jsonl", "manifest.json"}
    assert pl.read_parquet(tmp_path / "mine" / "subset.parquet")["text"].to_list() == chosen.records()
    assert json.loads((tmp_path / "mine" / "manifest.json").read_text())["parameters"]["budget"] == 8


def test_a_home_is_kept_and_embeds_nothing_twice(chosen: Selection, encoder: Path, home: Path) -> None:
    select([*POOL, sentences("sport", 1, 5)[0]], TARGET, 8, encoder=encoder, home=home)
    made = ArtifactStore(home / ".gotd" / "artifacts").current(ArtifactKey("candidate_embeddings", "pool"))
    assert made.manifest.summary["embedded"] == 1
    # What was selected before goes on speaking of its own pool.
    assert chosen.certificate.n_source == len(NEWS) + len(FILM)
    best = chosen.frame.row(0, named=True)
    assert chosen.explain(best["row"]).selectable == len(NEWS) + len(FILM)


def test_a_stream_is_scored_as_its_pool_is(chosen: Selection, encoder: Path) -> None:
    selector = Selector(encoder).fit(TARGET, POOL)
    wanted = [*NEWS[:3], *FILM[:3], "…"]
    scores = selector.score(wanted)
    by_text = dict(zip(chosen.frame["text"], chosen.frame["score"], strict=True))
    for text, score in zip(wanted[3:6], scores[3:6], strict=True):
        if text in by_text:
            assert score == pytest.approx(by_text[text], abs=1e-9)
    assert np.isnan(scores[6])
    assert scores[:3].min() > scores[3:6].max()
    # Without a pool the first texts are it.
    first = Selector(encoder).fit(TARGET)
    with pytest.raises(InputError, match="nothing is solved"):
        _ = first.certificate
    np.testing.assert_allclose(first.score(POOL)[60:63], scores[3:6], atol=1e-9)
    with pytest.raises(InputError, match="call fit"):
        Selector(encoder).score(POOL)


def test_a_sentence_says_what_is_wrong(encoder: Path, tmp_path: Path) -> None:
    for arguments, options, message in [
        ((POOL, TARGET, 8), {}, "encoder: texts need one"),
        ((POOL, TARGET, 0), {"encoder": encoder}, "selection.budget"),
        (([], TARGET, 8), {"encoder": encoder}, "pool: there is not one row in it"),
        ((["a", 3], TARGET, 8), {"encoder": encoder}, "pool: row 1 is no text but int: '3'"),
        ((pl.DataFrame({"a": ["x"]}), TARGET, 8), {"encoder": encoder}, "no column 'text'; it has: a"),
        ((np.zeros((3, 2, 1)), TARGET, 8), {}, r"shape \(3, 2, 1\)"),
        ((5, TARGET, 8), {"encoder": encoder}, "pool: int holds no texts"),
        ((tmp_path / "none.jsonl", TARGET, 8), {"encoder": encoder}, "matches no file"),
        ((POOL, TARGET, 8), {"encoder": encoder, "settings": {"sources": []}}, "follow from the other arguments"),
        ((POOL, TARGET, 8), {"encoder": encoder, "settings": {"transport": {"epsilom": 1}}}, "transport.epsilom"),
        ((POOL, TARGET, 8), {"encoder": encoder, "method": "best"}, "there is no method 'best'"),
    ]:
        with pytest.raises((InputError, SettingsError), match=message), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            select(*arguments, **options)


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, gotd_assets; from gotd_assets import select, Selector; "
        "print(sorted({'torch', 'dagster', 'polars', 'mlflow', 'pandas', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
