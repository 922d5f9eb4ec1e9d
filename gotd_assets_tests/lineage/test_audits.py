"""Audits give the answers that polars computes from what was recorded."""

import contextlib
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from gotd_assets.errors import LineageError
from gotd_assets.fingerprint import document_id
from gotd_assets.lineage import Materialisation, Training
from gotd_assets.lineage.audits import read_audit
from gotd_assets_tests.lineage.conftest import BUDGET, World, version

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "lineage.md"
PAIRS = [("imdb", 0), ("imdb", 1), ("medicine", 0), ("medicine", 1)]


def left_out(ids: list[str], reason: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"doc_id": ids, "reason": reason, "matched_doc_id": None}, schema_overrides={"matched_doc_id": pl.String}
    )


def every_doc_id(world: World) -> list[str]:
    return pl.concat(world.pools.values())["doc_id"].unique().sort().to_list()


def test_why_document_tells_rank_position_exclusion_or_absence_for_every_document(world: World) -> None:
    for doc_id in every_doc_id(world)[::2]:
        answer = world.store.audit("why_document", document=doc_id[:12])
        assert answer.height == len(PAIRS)
        by_version = {row["selection_version"]: row for row in answer.iter_rows(named=True)}
        for target, revision in PAIRS:
            row = by_version[world.selection_version(target, revision)]
            scored = world.scored[target, revision].sort("score", "doc_id")["doc_id"].to_list()
            chosen = world.selections[target, revision]
            assert row["doc_id"] == doc_id
            assert row["budget"] == BUDGET
            assert row["cut_score"] == chosen["score"][-1]
            assert row["score_position"] == (scored.index(doc_id) + 1 if doc_id in scored else None)
            if doc_id in chosen["doc_id"]:
                member = chosen.row(by_predicate=pl.col("doc_id") == doc_id, named=True)
                assert row["selected"]
                assert (row["selection_rank"], row["score"]) == (member["rank"], member["score"])
                assert (row["source"], row["origin"]) == (member["source"], member["origin"])
                assert row["reason"] == f"selected: number {member['rank']} of {BUDGET}"
            elif doc_id in world.excluded[target, revision]["doc_id"]:
                assert not row["selected"]
                assert row["reason"] == "left out: near-duplicate of target text"
                assert row["matched_doc_id"] == document_id("the target text")
            elif doc_id in scored:
                position = scored.index(doc_id) + 1
                assert (
                    row["reason"] == f"not selected: number {position} of {len(scored)} by score, and 12 were selected"
                )
                assert row["score"] == pytest.approx(
                    world.scored[target, revision].filter(pl.col("doc_id") == doc_id)["score"][0], rel=1e-6
                )
            else:
                assert row["reason"] == "not in the pool of this selection"


def test_why_document_counts_positions_in_the_order_that_the_method_goes_by(world: World) -> None:
    scored = world.scored["imdb", 1].sort("score", "doc_id")
    doc_id = scored["doc_id"][1]
    inputs = {"candidate_scores[imdb]": version("candidate_scores[imdb]", 1)}
    members = scored.tail(3).with_row_index("rank", offset=1)
    reasons = {}
    for method in ("gotd-away", "random"):
        made = Materialisation(
            asset="selected_subset",
            partition=f"imdb/{method}",
            version=f"selected-by-{method}",
            code_version="1",
            parameters={"method": method, "direction": "toward"},
            inputs=inputs,
            members=members,
        )
        world.store.record(made)
        reasons[method] = world.store.audit("why_document", document=doc_id, selection=made.version)["reason"][0]
    last = scored.height - 1
    assert reasons == {
        "gotd-away": f"not selected: number {last} of {scored.height} by score, and 3 were selected",
        "random": f"not selected: random does not go by the score alone; number 2 of {scored.height} by it",
    }


def test_a_selection_that_read_scores_of_two_targets_is_explained_by_its_own(world: World) -> None:
    versions = []
    for revision in (0, 1):
        made = Materialisation(
            asset="selected_subset",
            partition="imdb/gotd-toward-and-away",
            version=version("leaning", revision),
            code_version="1",
            inputs={
                f"candidate_scores[{target}]": version(f"candidate_scores[{target}]", revision)
                for target in ("medicine", "imdb")
            },
            members=world.selections["imdb", revision],
        )
        world.store.record(made)
        versions.append(made.version)
    scored = world.scored["imdb", 0].sort("score", "doc_id").with_row_index("position", offset=1)
    for doc_id, position in scored.tail(5).select("doc_id", "position").iter_rows():
        (answer,) = world.store.audit("why_document", document=doc_id, selection=versions[0]).to_dicts()
        assert answer["score_position"] == position
    changes = world.store.audit("selection_difference", earlier=versions[0], later=versions[1])
    entered = changes.filter((pl.col("change") == "entered") & pl.col("reason").str.contains("beyond the cut"))
    assert entered.height > 0
    expected = dict(scored.select("doc_id", "position").iter_rows())
    for doc_id, reason in entered.select("doc_id", "reason").iter_rows():
        assert reason == f"number {expected[doc_id]} by score before, beyond the cut"


def test_why_document_can_be_narrowed_to_a_target_or_a_selection(world: World) -> None:
    doc_id = every_doc_id(world)[0]
    of_target = world.store.audit("why_document", document=doc_id, target="imdb")
    assert set(of_target["selected_subset"]) == {"selected_subset[imdb/gotd]"}
    one = world.selection_version("medicine", 1)
    assert world.store.audit("why_document", document=doc_id, selection=one[:8])["selection_version"].to_list() == [one]


def test_an_unknown_document_has_no_rows_and_a_short_prefix_is_refused(world: World) -> None:
    assert world.store.audit("why_document", document="0" * 31 + "1").is_empty()
    with pytest.raises(LineageError, match="'3fa94c1' is not first 8 or more hex digits of a doc_id"):
        world.store.audit("why_document", document="3fa94c1")


def test_document_reach_lists_pools_selections_and_models(world: World) -> None:
    for doc_id in every_doc_id(world)[::2]:
        expected = set()
        for revision, pool in world.pools.items():
            for source in pool.filter(pl.col("doc_id") == doc_id)["source"]:
                expected.add(("in the pool", version(f"raw_candidates[{source}]", revision)))
        for (target, revision), chosen in world.selections.items():
            if doc_id in chosen["doc_id"]:
                expected.add(("selected", world.selection_version(target, revision)))
                expected.add(("made from a selection with it", version("model", target, revision)))
        answer = world.store.audit("document_reach", document=doc_id)
        assert set(answer.select("how", "version").iter_rows()) == expected
        assert answer.height == len(expected)


def test_source_reach_counts_members_and_passes_on_to_models(world: World) -> None:
    expected = {}
    for (target, revision), chosen in world.selections.items():
        count = chosen.filter(pl.col("source") == "reviews").height
        if count:
            expected["selected", world.selection_version(target, revision)] = count
            expected["made from a selection with it", version("model", target, revision)] = count
    answer = world.store.audit("source_reach", source="reviews")
    assert {
        (how, made): count for how, made, count in answer.select("how", "version", "document_count").iter_rows()
    } == (expected)
    assert answer["share"].to_list() == pytest.approx((answer["document_count"] / BUDGET).to_list())


@pytest.mark.parametrize("file", ["/data/news/part-0.jsonl", "news/part-0.jsonl"])
def test_file_reach_counts_the_documents_of_the_file_in_each_selection(world: World, file: str) -> None:
    answer = world.store.audit("file_reach", file=file)
    counts = answer.filter(pl.col("document_count").is_not_null()).select("version", "document_count")
    for (target, revision), chosen in world.selections.items():
        expected = chosen.filter(pl.col("origin").str.starts_with("/data/news/part-0.jsonl:")).height
        found = counts.filter(pl.col("version") == world.selection_version(target, revision))
        assert found["document_count"].to_list() == [expected]
    read = answer.filter(pl.col("how") == "read from it")
    assert set(read.select("version", "sha256").iter_rows()) == {
        (version("raw_candidates[news]", revision), version("sha", "news", 0, revision)) for revision in (0, 1)
    }


def test_a_target_file_reaches_what_was_made_for_that_target_only(world: World) -> None:
    answer = world.store.audit("file_reach", file="/targets/imdb.txt")
    names = set(answer["artifact"])
    assert "pre_fine_tuned_model[imdb/gotd]" in names
    assert not [name for name in names if "medicine" in name]


def test_selection_difference_lists_what_entered_left_and_moved(world: World) -> None:
    old, new = world.selections["imdb", 0], world.selections["imdb", 1]
    expected = (
        old.select("doc_id", rank_before="rank", score_before="score")
        .join(new.select("doc_id", rank_after="rank", score_after="score"), on="doc_id", how="full", coalesce=True)
        .filter(pl.col("rank_before").ne_missing(pl.col("rank_after")))
        .with_columns(
            change=pl.when(pl.col("rank_before").is_null())
            .then(pl.lit("entered"))
            .when(pl.col("rank_after").is_null())
            .then(pl.lit("left"))
            .otherwise(pl.lit("moved"))
        )
    )
    answer = world.store.audit(
        "selection_difference",
        earlier=world.selection_version("imdb", 0),
        later=world.selection_version("imdb", 1),
    )
    columns = ["change", "doc_id", "rank_before", "rank_after"]
    assert_frame_equal(answer.select(columns), expected.select(columns), check_row_order=False, check_dtypes=False)
    assert {"entered", "left"} <= set(answer["change"])
    for row in answer.iter_rows(named=True):
        side = {"entered": 0, "left": 1}.get(row["change"])
        if side is None:
            assert row["reason"] == "in both, at another rank"
            continue
        scored = world.scored["imdb", side].sort("score", "doc_id")["doc_id"].to_list()
        word = ("before", "after")[side]
        if row["doc_id"] in world.excluded["imdb", side]["doc_id"]:
            assert row["reason"] == f"left out {word}: near-duplicate of target text"
        elif row["doc_id"] in scored:
            assert row["reason"] == f"number {scored.index(row['doc_id']) + 1} by score {word}, beyond the cut"
        else:
            assert row["reason"] == f"not in the pool {word}"


def test_a_copy_left_out_of_the_pool_does_not_explain_a_document_that_was_scored(world: World) -> None:
    ids = [document_id(f"copied {number}") for number in range(3)]
    places = pl.DataFrame({"doc_id": ids[:2], "source": "web", "origin": ["w:1", "w:2"]})
    inputs = {}
    for asset, more in (
        ("pool", {"documents": places, "exclusions": left_out(ids[1:], "exact duplicate")}),
        ("scores", {"scores": places.select("doc_id", score=pl.Series([1.0, 2.0]))}),
        ("selected_subset", {"members": places.head(1).with_columns(rank=1, score=1.0)}),
    ):
        world.store.record(
            Materialisation(
                asset=asset, partition="web", version=f"{asset}-web", code_version="1", inputs=inputs, **more
            )
        )
        inputs = {f"{asset}[web]": f"{asset}-web"}
    reasons = [world.store.audit("why_document", document=i, target="web")["reason"][0] for i in ids]
    assert reasons == [
        "selected: number 1 of 1",
        "not selected: number 2 of 2 by score, and 1 were selected",
        "left out: exact duplicate",
    ]


def test_a_forgotten_document_left_because_it_was_forgotten(world: World) -> None:
    doc_id = world.selections["imdb", 1]["doc_id"][0]
    world.store.forget([doc_id], "asked by the author")
    later = world.selections["imdb", 1].filter(pl.col("doc_id") != doc_id).with_columns(rank=pl.col("rank") - 1)
    pool = world.pools[1].filter(pl.col("doc_id") != doc_id)
    world.store.record(Materialisation(asset="pool", version="pool-after", code_version="1", documents=pool))
    world.store.record(
        Materialisation(
            asset="selected_subset",
            partition="imdb/gotd",
            version="after-forgetting",
            code_version="1",
            inputs={"pool": "pool-after"},
            members=later,
        )
    )
    answer = world.store.audit(
        "selection_difference", earlier=world.selection_version("imdb", 1), later="after-forgetting"
    )
    assert answer.filter(pl.col("change") == "left").select("doc_id", "reason").rows() == [
        (doc_id, "forgotten: asked by the author")
    ]


def test_difference_causes_names_files_parameters_and_code_but_not_what_follows(world: World) -> None:
    answer = world.store.audit(
        "difference_causes",
        earlier=world.selection_version("imdb", 0),
        later=world.selection_version("imdb", 1),
    )
    found = set(answer.select("area", "artifact", "change", "item").iter_rows())
    expected = {
        ("code", "candidate_scores[imdb]", "code version changed", "candidate_scores"),
        ("parameters", "candidate_scores[imdb]", "parameter changed", "epsilon"),
    }
    for source in ("news", "reviews"):
        name = f"raw_candidates[{source}]"
        expected |= {("pool", name, "file changed", f"/data/{source}/part-{part}.jsonl") for part in (0, 1)}
        expected.add(("pool", name, "file added", f"/data/{source}/part-2.jsonl"))
    assert found == expected
    epsilon = answer.filter(pl.col("item") == "epsilon")
    assert epsilon.select("before", "after").row(0) == ("0.05", "0.025")


def test_model_origin_reaches_checksums_parameters_packages_and_seeds(world: World) -> None:
    by_run = world.store.audit("model_origin", model=world.model_run("imdb", 1)[:10])
    assert_frame_equal(by_run, world.store.audit("model_origin", model=version("model", "imdb", 1)))
    facts = set(by_run.select("artifact", "kind", "item", "detail").iter_rows())
    assert {
        ("pre_fine_tuned_model[imdb/gotd]", "training", "seed", "17"),
        ("pre_fine_tuned_model[imdb/gotd]", "training", "base model", "tiny-gpt@123"),
        ("candidate_scores[imdb]", "parameter", "cost", '{"kind":"sqeuclidean"}'),
        ("candidate_scores[imdb]", "parameter", "seed", "3"),
        ("candidate_scores[imdb]", "code version", "candidate_scores", "2"),
        ("candidate_scores[imdb]", "package", "torch", "2.13.0"),
        ("candidate_scores[imdb]", "condition", "torch_threads", "3"),
        ("candidate_scores[imdb]", "condition", "processor", "a processor"),
        ("candidate_scores[imdb]", "external input", "encoder", "minilm@abc"),
        ("target_documents[imdb]", "source file", "/targets/imdb.txt", f"sha256 {version('target', 'imdb')}, 5 bytes"),
        (
            "raw_candidates[news]",
            "source file",
            "/data/news/part-2.jsonl",
            f"sha256 {version('sha', 'news', 2, 1)}, 102 bytes",
        ),
    } <= facts
    learning_rate = by_run.filter(pl.col("item") == "learning_rate")["detail"].cast(pl.Float64)
    assert learning_rate.to_list() == [2e-5]
    versions = set(by_run.filter(pl.col("artifact").str.starts_with("raw_candidates"))["version"])
    assert versions == {version(f"raw_candidates[{source}]", 1) for source in ("news", "reviews")}
    assert "medicine" not in " ".join(by_run["artifact"])


def test_artifact_reach_is_the_reverse_of_origin(world: World) -> None:
    reached = world.store.audit("artifact_reach", version=version("raw_candidates[news]", 0))
    assert set(reached["artifact"]) == {
        "raw_candidates[news]",
        *(f"candidate_scores[{target}]" for target in ("imdb", "medicine")),
        *(f"selected_subset[{target}/gotd]" for target in ("imdb", "medicine")),
        *(f"pre_fine_tuned_model[{target}/gotd]" for target in ("imdb", "medicine")),
    }
    assert reached["distance"].to_list() == [0, 1, 1, 2, 2, 3, 3]


def test_nothing_is_stale_until_an_input_changes_or_a_document_is_forgotten(world: World) -> None:
    assert world.store.audit("stale").is_empty()
    member = world.selections["imdb", 1]["doc_id"][0]
    world.store.forget([member], "asked by the author")
    stale = set(world.store.audit("stale").select("artifact", "reason").iter_rows())
    assert ("selected_subset[imdb/gotd]", "it holds forgotten documents") in stale
    assert (
        "pre_fine_tuned_model[imdb/gotd]",
        "it was made from artifacts that hold forgotten documents",
    ) in stale


def test_what_was_made_in_the_knowledge_of_a_tombstone_no_longer_holds_the_document(world: World) -> None:
    gone, other = world.selections["imdb", 1]["doc_id"][:2]
    world.store.forget([gone], "asked by the author")
    inputs = {f"raw_candidates[{source}]": version(f"raw_candidates[{source}]", 1) for source in ("news", "reviews")}
    kept = world.scored["imdb", 1].filter(pl.col("doc_id") != gone)
    chosen = world.selections["imdb", 1].filter(pl.col("doc_id") != gone).with_columns(rank=pl.col("rank") - 1)
    for asset, partition, more in (
        ("candidate_pool", None, {"exclusions": left_out([gone], "forgotten")}),
        ("candidate_scores", "imdb", {"scores": kept.select("doc_id", "score")}),
        ("selected_subset", "imdb/gotd", {"members": chosen}),
        ("pre_fine_tuned_model", "imdb/gotd", {}),
    ):
        made = Materialisation(
            asset=asset, partition=partition, version=f"{asset}-after", code_version="9", inputs=inputs, **more
        )
        world.store.record(made)
        inputs = {**inputs, made.name: made.version}

    def held() -> set[str]:
        stale = world.store.audit("stale")
        return set(stale.filter(pl.col("reason").str.contains("forgotten"))["artifact"])

    after = {
        "candidate_pool",
        "candidate_scores[imdb]",
        "selected_subset[imdb/gotd]",
        "pre_fine_tuned_model[imdb/gotd]",
    }
    assert not held() & after
    assert [name for name in held() if name.startswith("raw_candidates")]
    touched = world.store.audit("removal_request", document=gone)["version"].drop_nulls()
    assert not [made for made in touched if made.endswith("-after")]
    why = world.store.audit("why_document", document=gone, selection="selected_subset-after")
    assert why["reason"].to_list() == ["left out: forgotten: asked by the author"]
    # Another document that is forgotten only now is held by all of them.
    world.store.forget([other], "asked by another author")
    assert after <= held()


def test_what_was_made_of_an_older_target_is_stale(world: World) -> None:
    world.store.record(
        Materialisation(asset="target_documents", partition="imdb", version=version("t", 2), code_version="1")
    )
    stale = world.store.audit("stale")
    assert set(stale.select("artifact", "reason", "cause", "newest_version").iter_rows()) == {
        (name, reason, "target_documents[imdb]", version("t", 2))
        for name, reason in (
            ("candidate_scores[imdb]", "an input is out of date"),
            ("selected_subset[imdb/gotd]", "an input of its inputs is out of date"),
            ("pre_fine_tuned_model[imdb/gotd]", "an input of its inputs is out of date"),
        )
    }


def test_removal_request_names_files_pools_scores_selections_and_models(world: World) -> None:
    doc_id = world.selections["medicine", 0]["doc_id"][3]
    answer = world.store.audit("removal_request", document=doc_id)
    standing = pl.concat(world.pools.values()).filter(pl.col("doc_id") == doc_id)
    own = answer.filter(pl.col("action") == "remove from your own data")
    assert set(own["location"]) == set(standing["origin"])
    revisions = [revision for revision, pool in world.pools.items() if doc_id in pool["doc_id"]]
    scores = answer.filter(pl.col("action").str.contains("computed from the pool"))
    assert set(scores["version"]) == {
        version(f"candidate_scores[{target}]", revision) for target in ("imdb", "medicine") for revision in revisions
    }
    holding = [pair for pair, chosen in world.selections.items() if doc_id in chosen["doc_id"]]
    selected = answer.filter(pl.col("action") == "delete, select again: holds the text")
    assert set(selected["version"]) == {world.selection_version(*pair) for pair in holding}
    models = answer.filter(pl.col("action") == "withdraw, train again: learned from it")
    assert set(models["mlflow_run_ids"]) == {world.model_run(*pair) for pair in holding}


@pytest.fixture
def guided(world: World) -> str:
    """doc_id of a text of the target 'chess', for which a selection was made and a model trained; no candidate."""
    doc_id, others = document_id("a text of chess"), world.selections["imdb", 1].head(3)
    chain: list[tuple[str, str, dict[str, object]]] = [
        (
            "target_documents",
            "chess",
            {"examples": pl.DataFrame({"doc_id": [doc_id], "source": "chess", "origin": "/targets/chess.txt:4"})},
        ),
        ("selected_subset", "chess/gotd", {"members": others.with_columns(rank=pl.int_range(1, 4))}),
        ("pre_fine_tuned_model", "chess/gotd", {"training": Training("mlflow-chess", selection_version="s")}),
    ]
    inputs: dict[str, str] = {}
    for asset, partition, more in chain:
        made = Materialisation(
            asset=asset, partition=partition, version=version(asset, "chess"), code_version="1", inputs=inputs, **more
        )
        world.store.record(made)
        inputs = {made.name: made.version}
    return doc_id


def test_a_text_of_a_target_reaches_what_was_made_for_that_target(world: World, guided: str) -> None:
    reached = world.store.audit("document_reach", document=guided)
    assert set(reached.select("how", "artifact", "mlflow_run_ids").iter_rows()) == {
        ("a text of the target", "target_documents[chess]", None),
        ("made for a target with it", "selected_subset[chess/gotd]", None),
        ("made for a target with it", "pre_fine_tuned_model[chess/gotd]", "mlflow-chess"),
    }
    why = {
        row["selected_subset"]: row["reason"] for row in world.store.audit("why_document", document=guided).to_dicts()
    }
    assert why.pop("selected_subset[chess/gotd]") == "not in the pool of this selection: a text of its target"
    assert set(why.values()) == {"not in the pool of this selection"}


def test_removing_a_text_of_a_target_touches_all_that_was_made_for_it(world: World, guided: str) -> None:
    request = world.store.forget([guided], "asked by the author")
    assert request.select("action", "artifact", "location", "mlflow_run_ids").rows() == [
        ("remove from your own data", "chess", "/targets/chess.txt:4", None),
        ("delete or make again: holds the text", "target_documents[chess]", None, None),
        ("train again: made for a target with it", "pre_fine_tuned_model[chess/gotd]", None, "mlflow-chess"),
        ("delete or make again: made for a target with it", "selected_subset[chess/gotd]", None, None),
    ]
    assert set(world.store.audit("stale").select("artifact", "reason").iter_rows()) == {
        ("target_documents[chess]", "it holds forgotten documents"),
        ("selected_subset[chess/gotd]", "it was made from artifacts that hold forgotten documents"),
        ("pre_fine_tuned_model[chess/gotd]", "it was made from artifacts that hold forgotten documents"),
    }


def test_a_pool_without_a_forgotten_text_does_not_clear_a_target_that_holds_it(world: World, guided: str) -> None:
    world.store.forget([guided], "asked by the author")
    pool = Materialisation(
        asset="candidate_pool", version="pool-1", code_version="1", exclusions=left_out([guided], "forgotten")
    )
    target = {"target_documents[chess]": version("target_documents", "chess")}
    scores = Materialisation(
        asset="candidate_scores",
        partition="chess",
        version="scores-1",
        code_version="1",
        inputs={pool.name: pool.version, **target},
    )
    for made in (pool, scores):
        world.store.record(made)
    assert "candidate_scores[chess]" in world.store.audit("stale")["artifact"]


def test_selection_sources_compares_shares_of_pool_and_selection(world: World) -> None:
    answer = world.store.audit("selection_sources", selection=world.selection_version("imdb", 1))
    pool, chosen = world.pools[1], world.selections["imdb", 1]
    for row in answer.iter_rows(named=True):
        in_pool = pool.filter(pl.col("source") == row["source"]).height
        in_selection = chosen.filter(pl.col("source") == row["source"]).height
        assert (row["in_pool"], row["in_selection"]) == (in_pool, in_selection)
        assert row["lift"] == pytest.approx((in_selection / BUDGET) / (in_pool / pool.height))
    assert set(answer["source"]) == {"news", "reviews"}


def test_selection_members_are_those_recorded_in_order(world: World) -> None:
    answer = world.store.audit("selection_members", selection=world.selection_version("imdb", 0))
    expected = world.selections["imdb", 0].select(
        selection_rank="rank", doc_id="doc_id", source="source", origin="origin", score="score"
    )
    assert_frame_equal(answer, expected, check_dtypes=False)


def test_selection_history_and_runs(world: World) -> None:
    history = world.store.audit("selection_history", target="imdb")
    assert history["selection_version"].to_list() == [world.selection_version("imdb", r) for r in (1, 0)]
    assert history["mlflow_run_ids"].to_list() == [world.model_run("imdb", r) for r in (1, 0)]
    run = world.store.audit("run_materialisations", run="run-imdb-1")
    assert run.height == 6
    assert run.filter(pl.col("reused"))["artifact"].to_list() == ["target_documents[imdb]"]


def test_every_audit_works_as_plain_sql_in_a_read_only_shell(world: World) -> None:
    with contextlib.closing(duckdb.connect(world.store.path, read_only=True)) as shell:
        for audit in world.store.audits():
            shell.execute(audit.example).fetchall()
        listed = shell.execute("SELECT audit, title FROM audits ORDER BY audit").fetchall()
        assert listed == [(audit.name, audit.title) for audit in world.store.audits()]
        doc_id = world.selections["imdb", 0]["doc_id"][0]
        expected = world.store.audit("document_reach", document=doc_id)
        shell.execute(f"SET VARIABLE document = '{doc_id}'")
        answer = shell.sql("FROM document_reach(getvariable('document'))").to_arrow_table()
        assert_frame_equal(pl.DataFrame(answer), expected)
        shell.execute("PREPARE reach AS FROM document_reach($document)")
        answer = shell.sql(f"EXECUTE reach(document := '{doc_id}')").to_arrow_table()
        assert_frame_equal(pl.DataFrame(answer), expected)
        with pytest.raises(duckdb.Error, match="not a doc_id: abc"):
            shell.execute("FROM why_document('abc')").fetchall()


def test_every_audit_is_documented_with_its_parameters(world: World) -> None:
    documentation = DOCUMENTATION.read_text(encoding="utf-8")
    for audit in world.store.audits():
        parameters = ", ".join(parameter.name for parameter in audit.parameters)
        assert f"| `{audit.name}({parameters})` |" in documentation


def test_values_are_bound_never_executed(world: World) -> None:
    hostile = "reviews'); DROP TABLE members; --"
    assert world.store.audit("source_reach", source=hostile).is_empty()
    assert world.store.audit("selection_members", selection=world.selection_version("imdb", 0)).height == BUDGET


def test_wrong_questions_are_refused_with_what_would_be_right(world: World) -> None:
    with pytest.raises(LineageError, match=r"there is no audit 'why'; there are: .*why_document"):
        world.store.audit("why")
    with pytest.raises(LineageError, match="why_document needs document: first 8"):
        world.store.audit("why_document")
    with pytest.raises(LineageError, match="has no parameter 'doc'; it has: document, target, selection"):
        world.store.audit("why_document", doc="3fa94c1e")
    with pytest.raises(LineageError, match="selection_difference, parameter later: '00000000' is not on record"):
        world.store.audit("selection_difference", earlier=world.selection_version("imdb", 0), later="00000000")


def test_an_ambiguous_version_is_refused_with_the_candidates(world: World) -> None:
    for end in "12":
        world.store.record(Materialisation(asset="a", version="same-beginning-" + end, code_version="1"))
    with pytest.raises(
        LineageError, match="several versions begin with 'same-beg': same-beginning-1, same-beginning-2"
    ):
        world.store.audit("artifact_reach", version="same-beg")
    assert world.store.audit("artifact_reach", version="same-beginning-1")["artifact"].to_list() == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- title: A\n-- example: FROM a()\n", "lacks description"),
        ("-- parameter x (colour): y\n", "unknown kind 'colour'"),
        ("-- what is this\n", "expected title, description"),
    ],
)
def test_a_malformed_head_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.sql"
    path.write_text(text)
    with pytest.raises(LineageError, match=message):
        read_audit(path)
