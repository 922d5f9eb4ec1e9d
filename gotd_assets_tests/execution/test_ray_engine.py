"""Heavy work on a Ray cluster: the same bytes as on this machine, whatever dies meanwhile."""

import dataclasses
import errno
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.duplicates.contamination import find_contamination
from gotd_assets.corpus.duplicates.search import find_duplicates
from gotd_assets.embedding.embed import embed_documents
from gotd_assets.embedding.vectors import open_vectors, unit_rows
from gotd_assets.errors import ArtifactError, ClusterError, InputError
from gotd_assets.execution.engine import Engine, mapped
from gotd_assets.execution.holders import held_parts
from gotd_assets.execution.processes import LocalEngine
from gotd_assets.execution.ray_engine import RayEngine, ray_engine
from gotd_assets.selection.methods import SelectionProblem, select
from gotd_assets.selection.pool.pool import Pool
from gotd_assets.selection.relevance import source_distances
from gotd_assets.selection.scoring import write_scores
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.texts import DuplicateSettings, PreparationSettings, SourceSettings
from gotd_assets.transport import Problem, make_sketch, solve
from gotd_assets.transport.held import held_source
from gotd_assets_tests.models import tiny

ray = pytest.importorskip("ray")


class Nodes:
    """A head without processors and two raylets with one each, on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        memory = 80 * 2**20
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": memory},
        )
        self._new = {"num_cpus": 1, "object_store_memory": memory}
        self.raylets = [self.cluster.add_node(**self._new) for _ in range(2)]

    def kill_one_and_add_another(self) -> None:
        """One goes, another comes."""
        self.kill_one()
        self.add()

    def add(self) -> None:
        self.raylets.append(self.cluster.add_node(**self._new))

    def kill_one(self) -> None:
        """SIGKILL for a raylet; its workers end with it."""
        raylet = self.raylets.pop(0)
        (process,) = raylet.all_processes["raylet"]
        os.kill(process.process.pid, signal.SIGKILL)
        self.cluster.remove_node(raylet, allow_graceful=False)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    started = Nodes()
    yield started
    started.cluster.shutdown()


@pytest.fixture
def engine(nodes: Nodes) -> Iterator[RayEngine]:
    with ray_engine(address=nodes.cluster.address) as connected:
        yield connected


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def prepared(root: Path) -> Path:
    """Files that are several portions and shards, with repeated and malformed lines, and an encoder."""
    tiny.model_folder(root / "encoder", "bert-headless")
    texts = tiny.texts(30_000)
    lines = [f'{{"text": "{text} {number % 20_000}"}}' for number, text in enumerate(texts)]
    lines[17] = "{"
    for part in range(3):
        (root / f"part-{part}.jsonl").write_text("\n".join(lines[part::3]))
    return root


def read(root: Path, out: Path, engine: Engine) -> Path:
    source = SourceSettings(name="news", path=Path("part-*.jsonl"))
    read_documents(source, PreparationSettings(), root, out, engine=engine)
    return out


def embedded(root: Path, documents: Path, out: Path, engine: Engine) -> Path:
    out.mkdir()
    settings = EncoderSettings(model="encoder", dtype="float32")
    embed_documents(documents, settings, root, out.with_name(f"{out.name}-store"), out, engine=engine)
    return out


def double(number: int) -> int:
    time.sleep(0.05)
    return 2 * number


def refuse(number: int) -> int:
    raise InputError(f"line {number} is wrong")


class Part:
    def __init__(self, seed: int) -> None:
        self._rows = np.random.default_rng(seed).standard_normal((1000, 4))

    def columns(self, factor: float) -> Any:
        return (factor * self._rows).sum(axis=0)


@pytest.mark.slow
def test_results_come_in_order_from_both_nodes(engine: RayEngine) -> None:
    assert engine.workers == 2
    assert list(mapped(engine, double, range(30), name="doubling")) == [(n, 2 * n) for n in range(30)]


@pytest.mark.slow
def test_an_error_names_the_node_it_was_raised_on(engine: RayEngine) -> None:
    with pytest.raises(InputError, match=rf"line 3 is wrong \(on node {socket.gethostname()}\)"):
        list(mapped(engine, refuse, [3, 4], name="refusing"))


@pytest.mark.slow
def test_a_sum_over_holders_has_the_bytes_of_the_local_one(engine: RayEngine) -> None:
    sums = []
    for where in (LocalEngine(2), engine):
        with held_parts(where, Part, range(2), name="part") as holders:
            sums.append([holders.sum("columns", factor) for factor in (1.0, 0.3, 1.0)])
    assert np.array(sums[0]).tobytes() == np.array(sums[1]).tobytes()
    assert np.allclose(sums[0][0], sum(Part(seed).columns(1.0) for seed in range(2)))


@pytest.mark.slow
def test_documents_duplicates_and_vectors_have_the_bytes_of_the_local_ones(tmp_path: Path, engine: RayEngine) -> None:
    root = prepared(tmp_path)
    for name, where in (("local", LocalEngine()), ("ray", engine)):
        documents = read(root, tmp_path / name / "documents", where)
        rules = DuplicateSettings()
        find_duplicates({"news": documents}, rules, tmp_path / name / "duplicates.parquet", engine=where)
        find_contamination({"news": documents}, [documents], rules, tmp_path / name / "c.parquet", engine=where)
        embedded(root, documents, tmp_path / name / "vectors", where)
    assert hashes(tmp_path / "ray" / "vectors") == hashes(tmp_path / "local" / "vectors")
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "local")


def two_sources(root: Path) -> dict[str, Path]:
    """Documents of which some are in both, and some nearly."""
    words = [f"word{number}" for number in range(500)]
    chance = random.Random(0)
    texts = [" ".join(chance.choices(words, k=20)) for _ in range(6000)]
    folders = {}
    for name, own in (("one", texts[:4000]), ("two", [*texts[3000:], *(f"{text} more" for text in texts[:1000])])):
        (root / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in own))
        folders[name] = root / name
        read_documents(SourceSettings(name=name, path=Path(f"{name}.jsonl")), PreparationSettings(), root, root / name)
    return folders


@pytest.mark.slow
def test_duplicates_by_ranges_of_keys_have_the_bytes_of_the_local_ones(
    tmp_path: Path, nodes: Nodes, engine: RayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By actors, one of which is lost, in many ranges; and here, in one."""
    folders = two_sources(tmp_path)
    expected = find_duplicates(folders, DuplicateSettings(), tmp_path / "local.parquet", engine=LocalEngine(1))
    monkeypatch.setattr("gotd_assets.corpus.duplicates.search._KEYS_PER_PROCESS", 1000)
    monkeypatch.setattr("gotd_assets.corpus.duplicates.equal_keys._KEYS_PER_RANGE", 70)
    with ThreadPoolExecutor(1) as thread:
        step = thread.submit(find_duplicates, folders, DuplicateSettings(), tmp_path / "ray.parquet", engine=engine)
        time.sleep(random.Random(5).uniform(1, 4))
        nodes.kill_one_and_add_another()
        assert step.result(timeout=300) == expected
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()
    assert expected.exact["two"] == 1000
    assert expected.near["two"] > 900
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_a_raylet_that_is_killed_costs_only_what_was_under_way(tmp_path: Path, nodes: Nodes, engine: RayEngine) -> None:
    root = prepared(tmp_path)
    documents = read(root, tmp_path / "documents", LocalEngine())
    expected = hashes(embedded(root, documents, tmp_path / "local", LocalEngine()))
    chance = random.Random(7)
    for attempt in range(int(os.environ.get("KILLS", "3"))):
        out = tmp_path / f"ray-{attempt}"
        with ThreadPoolExecutor(1) as thread:
            step = thread.submit(embedded, root, documents, out, engine)
            time.sleep(chance.uniform(0.5, 6))
            nodes.kill_one_and_add_another()
            assert hashes(step.result(timeout=180)) == expected
            again = thread.submit(read, root, tmp_path / f"documents-{attempt}", engine)
            time.sleep(chance.uniform(0.2, 3))
            nodes.kill_one_and_add_another()
            assert hashes(again.result(timeout=180)) == hashes(documents)


def pool_of(root: Path) -> Pool:
    """150,000 vectors of 32 numbers in shards of 40,000, of which some are left out."""
    root.mkdir()
    for number, size in enumerate((40_000, 40_000, 30_000, 40_000)):
        generator = np.random.default_rng(number)
        np.save(root / f"vectors-{number:05}.npy", unit_rows(generator.standard_normal((size, 32))).astype(np.float16))
        np.save(root / f"ids-{number:05}.npy", generator.integers(0, 256, (size, 16), dtype=np.uint8))
    gone = open_vectors(root)[1].doc_ids()[::7]
    left_out = root.with_name(f"{root.name}-left-out.parquet")
    pl.DataFrame({"doc_id": gone, "source": "web"}).write_parquet(left_out)
    return Pool.open({"web": root}, left_out)


def solved(pool: Pool, out: Path, engine: Engine | None, solved_first: Callable[[], None] | None = None) -> bytes:
    """Bytes of the potentials and of the scores; `solved_first` is called between the two."""
    out.mkdir()
    # What a holder is made of is then too large to travel with its constructor.
    target = np.random.default_rng(9).standard_normal((1000, 32)).astype(np.float32)
    sketch, problem = make_sketch(unit_rows(target), method="all"), Problem(epsilon=0.02)
    if engine is None:
        potentials = solve(pool.vectors, sketch, problem)
        potentials.save(out / "potentials.safetensors")
    else:
        with held_source(engine, pool.vectors, sketch, problem) as source:
            potentials = solve(source, sketch, problem)
            potentials.save(out / "potentials.safetensors")
    if solved_first is not None:
        solved_first()
    write_scores(pool, potentials, out / "scores.parquet", engine=engine)
    files = [*sorted(out.glob("potentials*.safetensors")), out / "scores.parquet"]
    assert len(files) > 2
    return b"".join(file.read_bytes() for file in files)


@pytest.mark.slow
def test_potentials_and_scores_have_the_bytes_of_the_local_ones(
    tmp_path: Path, nodes: Nodes, engine: RayEngine
) -> None:
    pool = pool_of(tmp_path / "vectors")
    expected = solved(pool, tmp_path / "local", None)
    assert solved(pool, tmp_path / "ray", engine) == expected
    chance = random.Random(3)
    for attempt in range(int(os.environ.get("KILLS", "3"))):
        with ThreadPoolExecutor(1) as thread:
            scoring = threading.Event()
            step = thread.submit(solved, pool, tmp_path / f"ray-{attempt}", engine, scoring.set)
            time.sleep(chance.uniform(0.5, 8))
            nodes.kill_one_and_add_another()
            while not scoring.wait(1):
                assert not step.done(), step.result()
            time.sleep(chance.uniform(0, 2))
            nodes.kill_one_and_add_another()
            assert step.result(timeout=300) == expected


@pytest.mark.slow
def test_a_node_that_is_lost_for_good_leaves_the_others_its_work(
    tmp_path: Path, nodes: Nodes, engine: RayEngine
) -> None:
    pool = pool_of(tmp_path / "vectors")
    expected = solved(pool, tmp_path / "local", None)
    with ThreadPoolExecutor(1) as thread:
        step = thread.submit(solved, pool, tmp_path / "ray", engine)
        time.sleep(3)
        nodes.kill_one()
        try:
            assert step.result(timeout=300) == expected
            assert list(mapped(engine, double, range(5), name="doubling")) == [(n, 2 * n) for n in range(5)]
        finally:
            nodes.add()


@pytest.mark.slow
def test_methods_choose_the_same(tmp_path: Path, engine: RayEngine) -> None:
    root = prepared(tmp_path)
    documents = read(root, tmp_path / "documents", LocalEngine())
    vectors = embedded(root, documents, tmp_path / "vectors", LocalEngine())
    left_out = tmp_path / "left-out.parquet"
    pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String}).write_parquet(left_out)
    pool = Pool.open({"news": vectors}, left_out)
    target = np.concatenate([pool.take(np.arange(0, pool.n_rows, 500))])
    sketch, transport = make_sketch(unit_rows(target), method="all"), Problem(epsilon=0.05)
    potentials = solve(pool.vectors, sketch, transport)
    write_scores(pool, potentials, tmp_path / "scores.parquet")
    problem = SelectionProblem(
        scores=pl.read_parquet(tmp_path / "scores.parquet"),
        pool=pool,
        target=target,
        budget=200,
        seed=1,
        documents={"news": documents},
        target_texts=pl.Series([f"text {number} of the target" for number in range(len(target))]),
        potentials=potentials,
    )
    for name in ("tapt-c", "dsir", "gotd-debiased"):
        local = select(name, problem)
        assert select(name, dataclasses.replace(problem, engine=engine)).equals(local), name
    distances = [
        source_distances(pool, sketch, transport, sample=2000, engine=where) for where in (LocalEngine(1), engine)
    ]
    assert distances[0] == distances[1]


@pytest.mark.slow
def test_a_shard_that_vanished_is_named_with_its_node(tmp_path: Path, engine: RayEngine) -> None:
    pool = pool_of(tmp_path / "vectors")
    (tmp_path / "vectors" / "vectors-00002.npy").unlink()
    sketch = make_sketch(unit_rows(np.random.default_rng(9).standard_normal((50, 32))), method="all")
    expected = rf"vectors-00002\.npy cannot be read on {socket.gethostname()}: .*\(on node {socket.gethostname()}\)"
    with pytest.raises(ArtifactError, match=expected), held_source(engine, pool.vectors, sketch):
        pass


def fill(number: int) -> int:
    raise OSError(errno.ENOSPC, "No space left on device", f"/data/vectors-{number}.npy")


@pytest.mark.slow
def test_a_full_disk_is_told_with_its_node(engine: RayEngine) -> None:
    with pytest.raises(ClusterError, match=rf"node {socket.gethostname()} for /data/vectors-4\.npy: free some"):
        list(mapped(engine, fill, [4], name="embed"))


@pytest.mark.slow
def test_a_module_that_a_node_lacks_is_told(engine: RayEngine) -> None:
    with pytest.raises(ClusterError, match=r"cannot load .*another_version.* the same versions .*on node"):
        list(mapped(engine, Foreign(), [1], name="foreign"))


class Foreign:
    """Unpickles only in this process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _only_here, (os.getpid(),)

    def __call__(self, number: int) -> int:
        return number


def _only_here(process: int) -> Foreign:
    if os.getpid() != process:
        raise ModuleNotFoundError("No module named 'gotd_assets_of_another_version'")
    return Foreign()


@pytest.mark.slow
def test_another_step_waits_for_its_turn(nodes: Nodes) -> None:
    program = (
        "from gotd_assets.execution.engine import mapped\n"
        "from gotd_assets.execution.ray_engine import ray_engine\n"
        "print('asking', flush=True)\n"
        "def tell(line): print(line, flush=True)\n"
        f"with ray_engine(address={nodes.cluster.address!r}, tell=tell) as engine:\n"
        "    print(list(mapped(engine, abs, [-1, -2, -3], name='other')), flush=True)\n"
    )
    taken = ray_engine(address=nodes.cluster.address, purpose="ot_potentials[film] of /data/project")
    with taken as engine, engine.worker(double, "first") as worker:
        other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "asking\n"
        told = other.stdout.readline()
        assert f"ot_potentials[film] of /data/project, process {os.getpid()} on {socket.gethostname()}, since" in told
        assert "terminate its run in Dagster, or its process" in told
        time.sleep(5)
        assert other.poll() is None
        assert worker.compute(4) == 8
    assert other.communicate(timeout=120)[0] == "[(-1, 1), (-2, 2), (-3, 3)]\n"


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_no_actor(nodes: Nodes) -> None:
    program = (
        "import sys, time\n"
        "from gotd_assets.execution.engine import mapped\n"
        "from gotd_assets.execution.ray_engine import ray_engine\n"
        f"with ray_engine(address={nodes.cluster.address!r}) as engine:\n"
        "    for _ in mapped(engine, time.sleep, [0.01] * 100_000, name='sleep'): print('x', flush=True)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert driver.stdout is not None
    driver.stdout.readline()
    driver.kill()
    driver.communicate()
    deadline = time.monotonic() + 60
    while any("_Actor" in name for name in _worker_names()):
        assert time.monotonic() < deadline, "an actor outlived its driver"
        time.sleep(0.5)


class Lacking:
    """An actor of a module that only the driver has."""

    def __init__(self, *_: object) -> None:
        pass

    def is_there(self) -> None:
        pass

    def session(self) -> None:
        pass

    def compute(self, packed: object, item: object) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("where", ["ray_engine._Actor", "turn._Turn"])
def test_a_node_without_the_package_is_told(nodes: Nodes, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    only_here = types.ModuleType("gotd_assets_of_this_machine")
    kept = {name: value for name, value in vars(Lacking).items() if name not in ("__dict__", "__weakref__")}
    only_here.Lacking = type("Lacking", (), {**kept, "__module__": only_here.__name__})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, only_here.__name__, only_here)
    monkeypatch.setattr(f"gotd_assets.execution.{where}", only_here.Lacking)
    with (
        pytest.raises(
            ClusterError, match=r"node [\d.]+ cannot import gotd_assets \(.*No module named.*every node needs"
        ),
        ray_engine(address=nodes.cluster.address) as engine,
    ):
        list(mapped(engine, double, range(3), name="doubling"))


@pytest.mark.slow
def test_versions_that_differ_are_told(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    there = ray.__version__
    monkeypatch.setattr(ray, "__version__", "2.1.0")
    with (
        pytest.raises(ClusterError, match=rf"started with: Ray: {there} Python: .* Ray: 2\.1\.0 .* the same versions"),
        ray_engine(address=nodes.cluster.address),
    ):
        pass


def _worker_names() -> list[str]:
    return [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nothing answers there"),
        ("ray://127.0.0.1:10001", "Ray Client"),
        ("head", "no 'host:port'"),
    ],
)
def test_an_address_that_is_none_is_told_at_once(address: str, said: str) -> None:
    started = time.monotonic()
    with pytest.raises(ClusterError, match=said), ray_engine(address=address):
        pass
    assert time.monotonic() - started < 15


@pytest.mark.slow
def test_an_actor_that_fits_on_no_node_is_refused(nodes: Nodes) -> None:
    with (
        pytest.raises(ClusterError, match=r"lower compute\.cpus_per_actor"),
        ray_engine(address=nodes.cluster.address, cpus_per_actor=3),
    ):
        pass
