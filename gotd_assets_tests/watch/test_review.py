"""One look at a project: which runs it asks for, which targets come and go, and what new candidates mean."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.corpus.files.content import content_fingerprint
from gotd_assets.corpus.targets import read_target
from gotd_assets.embedding.store import id_bytes
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.warm_start import earlier_potentials
from gotd_assets.settings.file import load_project
from gotd_assets.settings.project import Project
from gotd_assets.settings.transport import TransportSettings
from gotd_assets.transport import Potentials, Problem, Sketch, solve
from gotd_assets.watch.memory import Memory
from gotd_assets.watch.new_candidates import judge
from gotd_assets.watch.retraining import worth_training
from gotd_assets.watch.review import review_sources, review_targets
from gotd_assets_tests.end_to_end.project import write_jsonl
from gotd_assets_tests.watch.artifacts import publish

BUDGET = 4


class World:
    """A project whose artifacts are two-dimensional: candidates on the unit circle, the target at angle 0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_jsonl(folder / "news.jsonl", ["some news"])
        write_jsonl(folder / "targets" / "film.jsonl", ["a film"])
        settings = {
            "sources": [{"name": "news", "path": "news.jsonl"}],
            "targets_folder": "targets",
            "encoder": {"model": "e"},
            "training": {"model": "m"},
            "selection": {"methods": ["gotd", "random"]},
            "watch": {"debounce_seconds": 10},
        }
        (folder / "gotd.yaml").write_text(yaml.safe_dump(settings))
        self.store = ArtifactStore(self.project.home.artifacts)
        self.memory = Memory()
        self.now = 1000.0
        self.registered = ["film"]
        self.versions = 0

    @property
    def project(self) -> Project:
        return load_project(self.folder / "gotd.yaml")

    def version(self) -> str:
        self.versions += 1
        return f"v{self.versions}"

    def ingest(self, angles: list[float]) -> None:
        """Read, embed and compare candidates at `angles` (degrees); each angle is a document."""
        entry = self.project.settings.sources[0]
        files = content_fingerprint(entry, self.folder, cache=self.folder / "c.json")
        raw = publish(
            self.store, "raw_candidates", "news", self.version(), inputs={f"file:{k}": v for k, v in files.items()}
        )
        key = ArtifactKey("candidate_embeddings", "news")
        with self.store.write(
            key, self.version(), code_version="1", inputs={str(raw.key): raw.version}, parameters={}
        ) as writer:
            np.save(writer.path / "vectors-00000.npy", points(angles))
            np.save(writer.path / "ids-00000.npy", id_bytes(pl.Series([document_id(str(a)) for a in angles])))
        self.store.publish(writer.artifact)
        with self.store.write(
            ArtifactKey("candidate_pool"),
            self.version(),
            code_version="1",
            inputs={str(raw.key): raw.version},
            parameters={},
        ) as writer:
            pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String}).write_parquet(
                writer.path / "left_out.parquet"
            )
        self.store.publish(writer.artifact)

    def select(self, target: str, angles: list[float]) -> None:
        """Do what the run for `target` does."""
        entry = self.project.settings.target(target)
        files = content_fingerprint(entry, self.folder, cache=self.folder / "c.json")
        with self.store.write(
            ArtifactKey("target_documents", target),
            self.version(),
            code_version="1",
            inputs={f"content:{n}": sha for n, sha in enumerate(sorted(files.values()))},
            parameters={},
        ) as writer:
            read_target(entry, self.project.settings.preparation, self.folder, writer.path)
        self.store.publish(writer.artifact)
        solved = solve(points(angles), Sketch(torch.tensor([[1.0, 0.0]]), torch.ones(1).double(), "all", None))
        frame = pl.DataFrame(
            {"doc_id": [document_id(str(a)) for a in angles], "score": solved.scores(points(angles)).numpy()}
        )
        inputs = {
            str(artifact.key): artifact.version
            for artifact in (
                self.store.current(ArtifactKey("candidate_pool")),
                self.store.current(ArtifactKey("candidate_embeddings", "news")),
            )
        }
        for asset, name in (("ot_potentials", "potentials.safetensors"), ("candidate_scores", "scores.parquet")):
            with self.store.write(
                ArtifactKey(asset, target), self.version(), code_version="1", inputs=inputs, parameters={}
            ) as writer:
                if asset == "ot_potentials":
                    solved.save(writer.path / name)
                else:
                    frame.write_parquet(writer.path / name)
            self.store.publish(writer.artifact)
        best = frame.sort("score").head(BUDGET)["doc_id"].to_list()
        publish(self.store, "selected_subset", f"{target}/gotd", self.version(), documents=best)
        publish(self.store, "selected_subset", f"{target}/random", self.version(), documents=best)

    def look(self, seconds: float = 0.0, busy: tuple[str, ...] = ()) -> list[tuple[str, str]]:
        self.now += seconds
        self.memory = Memory.of(self.memory.as_cursor())
        review = review_targets(self.project, self.memory, busy, self.now, self.registered)
        self.registered = [name for name in [*self.registered, *review.added] if name not in review.removed]
        self.notes = review.notes
        return [(request.name, request.reason) for request in review.requests]


def points(angles: list[float]) -> np.ndarray:
    radians = np.deg2rad(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


FAR = [100.0, 110, 120, 130, 140, 150]
NEAR = [10.0, 20, 30, 40]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.ingest(FAR + NEAR)
    world.select("film", FAR + NEAR)
    return world


def test_nothing_changed_asks_for_nothing(world: World) -> None:
    assert world.look() == []
    assert world.look(100) == []


def test_files_that_changed_ask_once_and_a_renamed_one_never(world: World) -> None:
    (world.folder / "targets" / "film.jsonl").rename(world.folder / "targets" / "film.ndjson")
    assert world.look() == []
    assert world.look(100) == []
    write_jsonl(world.folder / "targets" / "film.ndjson", ["a film", "another"])
    assert world.look() == []
    assert world.look(11) == [("film", "its files changed")]
    assert world.look(100) == []


def test_rows_that_change_places_or_files_ask_for_nothing_until_one_is_new(world: World) -> None:
    film = world.folder / "targets" / "film"
    film.with_suffix(".jsonl").unlink()
    write_jsonl(film / "one.jsonl", ["a film", "another", "a third"])
    world.look()
    assert world.look(11) == [("film", "its files changed")]
    world.select("film", FAR + NEAR)
    assert world.look(1) == []
    write_jsonl(film / "one.jsonl", ["a third", "a film"])
    write_jsonl(film / "two.jsonl", ["another"])
    assert world.look(1) == []
    assert world.look(11) == []
    assert any("same texts as before" in note for note in world.notes)
    assert world.look(11) == []
    world.ingest([*FAR, *NEAR, 5.0])
    assert [name for name, _ in world.look(1)] == ["film"]
    world.select("film", [*FAR, *NEAR, 5.0])
    write_jsonl(film / "two.jsonl", ["another", "a fourth"])
    world.look(1)
    assert world.look(11) == [("film", "its files changed")]


def test_a_row_that_is_gone_is_a_change(world: World) -> None:
    write_jsonl(world.folder / "targets" / "film.jsonl", ["a film", "another"])
    world.look()
    world.look(11)
    world.select("film", FAR + NEAR)
    write_jsonl(world.folder / "targets" / "film.jsonl", ["another"])
    world.look(1)
    assert world.look(11) == [("film", "its files changed")]


def test_a_new_entry_is_registered_and_one_that_is_gone_retired_until_it_comes_back(world: World) -> None:
    write_jsonl(world.folder / "targets" / "sport" / "a.jsonl", ["a match"])
    world.look()
    assert world.registered == ["film", "sport"]
    assert world.look(11) == [("sport", "it is new")]
    world.select("sport", FAR + NEAR)
    text = (world.folder / "targets" / "film.jsonl").read_text()
    (world.folder / "targets" / "film.jsonl").unlink()
    assert world.look(1) == []
    assert world.registered == ["sport"]
    assert set(world.memory.retired) == {"film"}
    assert world.store.current(ArtifactKey("selected_subset", "film/gotd"))
    (world.folder / "targets" / "film.jsonl").write_text(text)
    world.look(1)
    assert world.look(100) == []
    assert world.registered == ["sport", "film"]
    assert world.memory.retired == {}


def test_a_folder_that_is_not_there_retires_nobody(world: World) -> None:
    (world.folder / "targets").rename(world.folder / "elsewhere")
    world.look()
    assert world.registered == ["film"]
    assert "is not a folder" in world.notes[0]


def test_an_unreadable_target_is_a_note_and_the_others_go_on(world: World) -> None:
    (world.folder / "targets" / "a.jsonl").write_text("")
    write_jsonl(world.folder / "targets" / "film.jsonl", ["another film"])
    world.look()
    assert world.look(11) == [("film", "its files changed")]
    assert any("is empty" in note for note in world.notes)


def test_nothing_starts_while_candidates_are_being_read(world: World) -> None:
    write_jsonl(world.folder / "targets" / "film.jsonl", ["another film"])
    publish(world.store, "raw_candidates", "news", "newer")
    world.look()
    assert world.look(60) == []
    assert any("not embedded yet" in note for note in world.notes)
    world.ingest(FAR + NEAR)
    assert world.look(1) == [("film", "its files changed")]


@pytest.mark.parametrize(
    ("angles", "asks"),
    [
        ([*FAR, *NEAR, 170.0, 95.0], False),
        ([*FAR, *NEAR, 35.0], True),
        ([*FAR, *NEAR[1:]], True),
        ([*FAR[1:], *NEAR], False),
    ],
    ids=["far ones came", "a near one came", "a selected one went", "a far one went"],
)
def test_candidates_ask_only_if_they_can_change_the_selection(world: World, angles: list[float], asks: bool) -> None:
    world.ingest(angles)
    assert bool(world.look()) is asks
    assert world.look(100) == []


def test_the_verdict_counts(world: World) -> None:
    world.ingest([*FAR, *NEAR, 5.0, 35.0, 160.0])
    verdict = judge(world.store, "film", ["news"], ["gotd"], transport=TransportSettings())
    assert verdict.changes
    assert "2 of 3 new candidates score better than the last one selected by gotd" in verdict.reason
    away = judge(world.store, "film", ["news"], ["random"], transport=TransportSettings())
    assert "no method ranks by gradient" in away.reason


def test_new_candidates_are_judged_on_the_device_of_the_settings(world: World) -> None:
    path = world.folder / "gotd.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "transport": {"device": "cuda:97"}}))
    world.ingest([*FAR, *NEAR, 5.0])
    assert world.look() == []
    (note,) = [note for note in world.notes if "could not be judged" in note]
    assert "transport.device 'cuda:97' cannot be used on this machine" in note


def test_a_busy_target_waits(world: World) -> None:
    world.ingest([*FAR, *NEAR, 5.0])
    assert world.look(busy=("film",)) == []
    assert [name for name, _ in world.look(1)] == ["film"]


def test_changed_files_and_new_candidates_are_one_run(world: World) -> None:
    write_jsonl(world.folder / "targets" / "film.jsonl", ["another film"])
    world.look()
    world.ingest([*FAR, *NEAR, 5.0])
    assert world.look(11) == [("film", "its files changed")]
    world.select("film", [*FAR, *NEAR, 5.0])
    assert world.look(11) == []


def test_sources(world: World) -> None:
    memory = Memory()
    assert review_sources(world.project, memory, (), 0).requests == []
    write_jsonl(world.folder / "news.jsonl", ["other news"])
    assert review_sources(world.project, memory, (), 1).requests == []
    assert review_sources(world.project, memory, ("news",), 20).requests == []
    (request,) = review_sources(world.project, memory, (), 21).requests
    assert request.name == "news"
    assert review_sources(world.project, memory, (), 99).requests == []


def test_a_source_never_read_is_left_to_a_person(tmp_path: Path) -> None:
    world = World(tmp_path)
    review = review_sources(world.project, Memory(), (), 0)
    assert review.requests == []
    assert "never read" in review.notes[0]


def test_worth_training(world: World) -> None:
    store = world.store
    assert worth_training(store, "film/gotd", 1.0).train
    selection = store.current(ArtifactKey("selected_subset", "film/gotd"))
    publish(store, "pre_fine_tuned_model", "film/gotd", "m1", inputs={str(selection.key): selection.version})
    same = worth_training(store, "film/gotd", 1.0)
    assert (same.train, same.overlap) == (False, 1.0)
    publish(store, "selected_subset", "film/gotd", "s2", documents=["x", "y"])
    assert worth_training(store, "film/gotd", 0.1).train
    assert not worth_training(store, "film/gotd", 0.0).train
    assert not worth_training(store, "none/gotd", 1.0).train


def test_a_warm_start_needs_the_same_cost_and_dimension_and_much_the_same_target(world: World) -> None:
    artifact = world.store.current(ArtifactKey("ot_potentials", "film"))
    sketch = Sketch(torch.tensor([[1.0, 0.0]]), torch.ones(1).double(), "all", None)
    another = Sketch(torch.tensor([[0.0, 1.0]]), torch.ones(1).double(), "all", None)
    assert earlier_potentials(artifact, another, Problem()) is None
    assert isinstance(earlier_potentials(artifact, sketch, Problem()), Potentials)
    assert earlier_potentials(artifact, sketch, Problem(cost="euclidean")) is None
    assert (
        earlier_potentials(artifact, Sketch(torch.ones(1, 3), torch.ones(1).double(), "all", None), Problem()) is None
    )
    assert earlier_potentials(None, sketch, Problem()) is None
    artifact.file("potentials.safetensors").write_bytes(b"damaged")
    assert earlier_potentials(artifact, sketch, Problem()) is None
