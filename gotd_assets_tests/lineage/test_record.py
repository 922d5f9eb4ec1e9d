"""Recording keeps every event, all of it or nothing, and refuses rows that cannot be right."""

import dataclasses
import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from gotd_assets.artifacts.artifact import ArtifactFile, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import LineageError
from gotd_assets.fingerprint import document_id
from gotd_assets.lineage import LineageStore, Materialisation

IDS = [document_id(str(number)) for number in range(6)]
MEMBERS = pl.DataFrame(
    {
        "doc_id": IDS[:3],
        "source": ["a", "a", "b"],
        "origin": ["f:1", "f:2", "g:1"],
        "rank": [2, 1, 3],
        "score": [-0.5, -0.75, None],
    }
)


def selection(**changes: object) -> Materialisation:
    made = Materialisation(
        asset="selected_subset",
        partition="imdb/gotd",
        version="v" * 32,
        code_version="1",
        members=MEMBERS,
        run_id="run-1",
        created_at=dt.datetime(2026, 5, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> LineageStore:
    return LineageStore(tmp_path / "home" / "lineage.duckdb")


def members(store: LineageStore) -> list[tuple[object, ...]]:
    return store.audit("selection_members", selection="v" * 8).rows()


def test_recording_an_event_twice_is_recording_it_once(store: LineageStore) -> None:
    assert store.record(selection())
    assert not store.record(selection())
    assert store.audit("run_materialisations", run="run-1").height == 1
    assert members(store) == [
        (1, IDS[1], "a", "f:2", -0.75),
        (2, IDS[0], "a", "f:1", -0.5),
        (3, IDS[2], "b", "g:1", None),
    ]


def test_times_are_kept_in_utc(store: LineageStore) -> None:
    store.record(selection())
    assert store.audit("run_materialisations", run="run-1")["made_at"][0] == dt.datetime(2026, 5, 1, 10)  # noqa: DTZ001


def test_a_run_that_used_the_artifact_again_is_an_event_of_its_own(store: LineageStore) -> None:
    store.record(selection())
    assert store.record(selection(run_id="run-2", reused=True))
    assert store.audit("run_materialisations", run="run-2")["reused"].to_list() == [True]
    assert len(members(store)) == 3
    history = store.audit("selection_history")
    assert history["run_ids"].to_list() == ["run-1, run-2"]


def test_rows_may_stand_in_parquet_files(store: LineageStore, tmp_path: Path) -> None:
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    with_text = MEMBERS.with_columns(text=pl.lit("hello"))
    with_text.head(1).write_parquet(paths[0])
    with_text.tail(2).write_parquet(paths[1])
    store.record(selection(members=paths, scores=paths[0]))
    assert [row[1] for row in members(store)] == [IDS[1], IDS[0], IDS[2]]
    assert store.audit("why_document", document=IDS[0])["score_position"].to_list() == [1]
    with pytest.raises(LineageError, match=r"gone\.parquet cannot be read as Parquet"):
        store.record(selection(members=tmp_path / "gone.parquet", run_id="run-2"))


def test_a_text_in_two_sources_is_one_document_in_two_places(store: LineageStore) -> None:
    for source in ("a", "b"):
        store.record(
            Materialisation(
                asset="raw_candidates",
                partition=source,
                version=source * 32,
                code_version="1",
                documents=pl.DataFrame({"doc_id": IDS[:1], "source": [source], "origin": ["f:1"]}),
            )
        )
    answer = store.audit("removal_request", document=IDS[0])
    assert answer.filter(pl.col("version").is_null()).select("artifact", "location").rows() == [
        ("a", "f:1"),
        ("b", "f:1"),
    ]


def test_highest_scores_can_be_the_best(store: LineageStore) -> None:
    scores = pl.DataFrame({"doc_id": IDS[:3], "score": [1.0, 3.0, 2.0]})
    store.record(selection(scores=scores, best_scores="highest", members=MEMBERS.filter(pl.col("doc_id") == IDS[1])))
    positions = {doc_id: store.audit("why_document", document=doc_id)["score_position"][0] for doc_id in IDS[:3]}
    assert positions == {IDS[1]: 1, IDS[2]: 2, IDS[0]: 3}


def test_equal_scores_are_placed_by_doc_id(store: LineageStore) -> None:
    scores = pl.DataFrame({"doc_id": IDS, "score": [0.0] * len(IDS)})
    store.record(selection(scores=scores))
    placed = [store.audit("why_document", document=doc_id)["score_position"][0] for doc_id in sorted(IDS)]
    assert placed == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (MEMBERS.drop("origin"), "members: no column origin; there are doc_id, source, rank, score"),
        (MEMBERS.with_columns(doc_id=pl.lit("xyz")), "row 1: doc_id 'xyz' is not 32 lower-case hex digits"),
        (
            MEMBERS.with_columns(doc_id=pl.Series([IDS[0], None, IDS[2]])),
            "row 2: doc_id 'null' is not 32 lower-case hex digits",
        ),
        (MEMBERS.with_columns(doc_id=pl.lit(IDS[0])), r"2 row\(s\) repeat a doc_id"),
        (MEMBERS.with_columns(rank=pl.lit(1)), r"2 rank\(s\) are missing, below 1 or repeated"),
        (MEMBERS.with_columns(rank=pl.Series([0, 1, 2])), r"1 rank\(s\)"),
        (MEMBERS.with_columns(score=pl.lit(float("nan"))), r"3 score\(s\) are missing or not a number"),
    ],
)
def test_malformed_rows_are_refused_and_nothing_of_them_is_kept(
    store: LineageStore, rows: pl.DataFrame, message: str
) -> None:
    with pytest.raises(LineageError, match=message):
        store.record(selection(members=rows))
    assert store.audit("selection_history").is_empty()


def test_a_failure_in_the_middle_of_the_transaction_leaves_nothing(store: LineageStore) -> None:
    # Passes the checks, but the store keeps ranks as 32-bit integers: the insertion itself fails.
    with pytest.raises(LineageError, match=r"could not record this, and is as it was before: .*out of range"):
        store.record(selection(members=MEMBERS.with_columns(rank=pl.Series([1, 2, 2**40]))))
    assert store.audit("run_materialisations", run="run-1").is_empty()
    assert store.audit("document_reach", document=IDS[0]).is_empty()
    assert store.record(selection())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": ""}, "needs its version"),
        ({"inputs": {"a": ""}}, "input 'a' has version ''"),
        ({"parameters": {"epsilon": float("nan")}}, "parameters cannot be written as JSON"),
    ],
)
def test_an_incomplete_materialisation_cannot_be_made(changes: dict[str, object], message: str) -> None:
    with pytest.raises(LineageError, match=message):
        selection(**changes)


def test_a_version_made_again_with_other_bytes_is_noticed_and_both_are_kept(store: LineageStore) -> None:
    first, second = (ArtifactFile("model.safetensors", 4, digit * 64) for digit in "12")
    store.record(selection(files=[first]))
    store.record(selection(files=[first], run_id="run-2", reused=True))
    assert store.audit("rebuilt_differently").is_empty()
    store.record(selection(files=[second], run_id="run-3"))
    assert set(store.audit("rebuilt_differently").select("run_id", "sha256").iter_rows()) == {
        ("run-1", "1" * 64),
        ("run-3", "2" * 64),
    }


def test_a_materialisation_is_made_from_an_artifact(store: LineageStore, tmp_path: Path) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    with artifacts.write(
        ArtifactKey("selected_subset", "imdb/gotd"), "w" * 32, code_version="3", inputs={"x": "1"}, parameters={"k": 2}
    ) as writer:
        (writer.path / "subset.txt").write_text("hello")
    assert writer.artifact is not None
    store.record(dataclasses.replace(Materialisation.of(writer.artifact), members=MEMBERS, run_id="r"))
    (record,) = store.reproduction_record("w" * 8)
    assert record["name"] == "selected_subset[imdb/gotd]"
    assert (record["code_version"], record["inputs"], record["parameters"]) == ("3", {"x": "1"}, {"k": 2})
    assert [(file["name"], file["size"]) for file in record["files"]] == [("subset.txt", 5)]
    assert set(store.verify()["state"]) == {"intact"}


def test_verify_tells_what_happened_to_each_file(store: LineageStore, tmp_path: Path) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    names = ("altered", "gone", "kept", "longer")
    made = [("imdb", "w" * 32), ("law", "v" * 32), ("law", "w" * 32), ("tax", "w" * 32)]
    for partition, version in made:
        with artifacts.write(
            ArtifactKey("scores", partition), version, code_version="1", inputs={}, parameters={}
        ) as writer:
            for name in names:
                (writer.path / name).write_text("hello")
        assert writer.artifact is not None
        store.record(Materialisation.of(writer.artifact))
    folder = tmp_path / "artifacts" / "scores" / "imdb" / ("w" * 32)
    (folder / "altered").write_text("HELLO")
    (folder / "gone").unlink()
    (folder / "longer").write_text("hello!")
    (tmp_path / "artifacts" / "scores" / "law" / ("v" * 32)).rename(tmp_path / "superseded")
    (tmp_path / "artifacts" / "scores" / "tax").rename(tmp_path / "current")
    found = store.verify()
    states = found.filter(pl.col("artifact") == "scores[imdb]").sort("path")["state"].to_list()
    assert states == ["other content", "missing", "intact", "other size"]
    law = found.filter(pl.col("artifact") == "scores[law]")
    assert set(law.select("version", "state").iter_rows()) == {("v" * 32, "artifact removed"), ("w" * 32, "intact")}
    assert set(found.filter(pl.col("artifact") == "scores[tax]")["state"]) == {"missing"}
    assert store.verify(damaged_only=True).height == 11


def test_verify_finds_artifacts_whose_home_has_moved(store: LineageStore, tmp_path: Path) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    with artifacts.write(ArtifactKey("scores", "imdb"), "w" * 32, code_version="1", inputs={}, parameters={}) as writer:
        (writer.path / "data").write_text("hello")
    assert writer.artifact is not None
    store.record(Materialisation.of(writer.artifact))
    moved = (tmp_path / "artifacts").rename(tmp_path / "moved")
    assert store.verify()["state"].to_list() == ["missing"]
    assert store.verify(moved)["state"].to_list() == ["intact"]


def test_forgetting_resolves_prefixes_keeps_the_first_reason_and_lists_what_is_affected(store: LineageStore) -> None:
    store.record(selection())
    affected = store.forget([IDS[0][:8]], "the author asked")
    assert affected["action"].to_list() == ["remove from your own data", "delete, select again: holds the text"]
    store.forget([IDS[0], "0" * 32], "again")
    forgotten = store.forgotten_documents()
    assert dict(forgotten.select("doc_id", "reason").iter_rows()) == {IDS[0]: "the author asked", "0" * 32: "again"}


def test_forgetting_an_unknown_prefix_forgets_nothing(store: LineageStore) -> None:
    store.record(selection())
    with pytest.raises(LineageError, match="'00000000' is the beginning of no document on record"):
        store.forget([IDS[0], "00000000"], "the author asked")
    with pytest.raises(LineageError, match="needs a reason"):
        store.forget([IDS[0]], " ")
    assert store.forgotten_documents().is_empty()


def test_the_reproduction_record_lists_inputs_before_outputs(store: LineageStore) -> None:
    for name, inputs in (("a", {}), ("b", {"a": "1" * 8}), ("c", {"a": "1" * 8, "b": "1" * 8})):
        store.record(Materialisation(asset=name, version="1" * 8, code_version="1", inputs=inputs))
    store.record(selection(inputs={"c": "1" * 8, "a": "1" * 8}, packages={"polars": "2.1"}))
    record = store.reproduction_record("v" * 32)
    assert [step["name"] for step in record] == ["a", "b", "c", "selected_subset[imdb/gotd]"]
    assert record[-1]["packages"] == {"polars": "2.1"}
    with pytest.raises(LineageError, match="selected_subset version 'zzzzzzzz': none is recorded"):
        store.reproduction_record("z" * 8)
    with pytest.raises(LineageError, match="more than one"):
        store.reproduction_record("1" * 8, asset=None)
