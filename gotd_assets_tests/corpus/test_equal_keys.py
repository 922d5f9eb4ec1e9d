"""Equal keys and exact duplicates by ranges of their hash, against a dictionary that has met all of them."""

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.artifacts.atomic import sweep
from gotd_assets.corpus.duplicates import equal_keys
from gotd_assets.corpus.duplicates.equal_keys import EqualKeys, words_of_bytes, words_of_numbers, write_keys
from gotd_assets.corpus.duplicates.search import find_duplicates
from gotd_assets.corpus.shards import ShardWriter, document_schema
from gotd_assets.errors import ArtifactError
from gotd_assets.fingerprint import document_id
from gotd_assets.settings.texts import DuplicateSettings

# Both ends of a range, of the first word and of the others.
NUMBERS = st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 + 1, 2**64 - 2, 2**64 - 1])
SHARDS = st.lists(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8), min_size=1, max_size=5)


def found_by_a_dictionary(keys: list[object]) -> list[tuple[int, int, int]]:
    met: dict[object, tuple[int, int]] = {}
    found = []
    for row, key in enumerate(keys):
        if key in met:
            first, before = met[key]
            found.append((row, first, before))
        met[key] = met.get(key, (row, row))[0], row
    return found


def searched(search: EqualKeys, sets: int) -> list[list[tuple[int, ...]]]:
    found: list[list[tuple[int, ...]]] = [[] for _ in range(sets)]
    for part in search.parts(sets):
        found[part.of_set] += [tuple(row) for row in search(part).T.tolist()]
    return [sorted(rows) for rows in found]


def search_of(
    folder: str, shards: list[list[tuple[int, int]]], ranges: int, words_of: Callable[[list[tuple[int, int]]], Any]
) -> EqualKeys:
    """Of the keys of `shards`, written to files in `folder` as `words_of` makes them."""
    files = [Path(folder) / f"{number}.npy" for number in range(len(shards))]
    for file, shard in zip(files, shards, strict=True):
        write_keys(file, words_of(shard), np.arange(len(shard)))
    return EqualKeys(files, [0, *itertools.accumulate(map(len, shards[:-1]))], ranges)


@given(SHARDS, st.integers(1, 7))
def test_equal_keys_of_every_set_are_those_that_a_dictionary_finds(
    shards: list[list[tuple[int, int]]], ranges: int
) -> None:
    every = [pair for shard in shards for pair in shard]
    expected = [found_by_a_dictionary([pair[of_set] for pair in every]) for of_set in range(2)]
    with tempfile.TemporaryDirectory() as folder:
        search = search_of(
            folder, shards, ranges, lambda shard: words_of_numbers(np.array(shard, np.uint64).reshape(-1, 2))
        )
        assert searched(search, 2) == expected


@given(SHARDS, st.integers(1, 7))
def test_keys_of_sixteen_bytes_are_equal_only_if_all_their_words_are(
    shards: list[list[tuple[int, int]]], ranges: int
) -> None:
    expected = found_by_a_dictionary([pair for shard in shards for pair in shard])
    with tempfile.TemporaryDirectory() as folder:
        search = search_of(
            folder,
            shards,
            ranges,
            lambda shard: words_of_bytes(np.array(shard, ">u8").reshape(-1, 2).view(np.uint8)),
        )
        assert searched(search, 1) == [expected]


def written(folder: Path, name: str, texts: list[str]) -> Path:
    writer = ShardWriter(folder / name, [])
    writer.add(
        pl.DataFrame(
            [(document_id(text), text, name, "", None, len(text)) for text in texts],
            schema=document_schema(),
            orient="row",
        )
    )
    writer.close()
    return folder / name


TEXTS = st.lists(st.integers(0, 30).map(lambda number: f"text number {number}"), max_size=25, unique=True)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 40))
def test_of_equal_documents_the_first_of_the_first_source_stays(
    sources: list[list[str]], shard_rows: int, keys_per_range: int
) -> None:
    """However the documents are cut into shards, and their hashes into ranges."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        patched.setattr("gotd_assets.corpus.shards.SHARD_ROWS", shard_rows)
        patched.setattr(equal_keys, "_KEYS_PER_RANGE", keys_per_range)
        folder = Path(name)
        folders = {
            f"source-{number}": written(folder, f"source-{number}", texts) for number, texts in enumerate(sources)
        }
        report = find_duplicates(folders, DuplicateSettings(near=False), folder / "duplicates.parquet")
        stays: dict[str, str] = {}
        expected = []
        for source, texts in zip(folders, sources, strict=True):
            for text in texts:
                doc_id = document_id(text)
                if doc_id in stays:
                    expected.append((doc_id, source, doc_id, stays[doc_id], "exact", 1.0))
                stays.setdefault(doc_id, source)
        assert pl.read_parquet(folder / "duplicates.parquet").rows() == expected
        assert report.documents == {source: len(texts) for source, texts in zip(folders, sources, strict=True)}
        assert sum(report.exact.values()) == len(expected)
        # Nothing is left of the files of keys.
        assert {path.name for path in folder.iterdir()} == {*folders, "duplicates.parquet"}


def test_ranges_and_shards_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    texts = [" ".join(map(str, generator.integers(0, 400, 12))) for _ in range(300)]
    near = [f"{text} tail" for text in texts[:100]]
    made = {}
    for name, shard_rows, keys_per_range in (("whole", 10_000, 10_000), ("cut", 37, 11)):
        monkeypatch.setattr("gotd_assets.corpus.shards.SHARD_ROWS", shard_rows)
        monkeypatch.setattr(equal_keys, "_KEYS_PER_RANGE", keys_per_range)
        (tmp_path / name).mkdir()
        folders = {
            source: written(tmp_path / name, source, own)
            for source, own in (("b", texts[:200]), ("a", texts[150:] + near[:50]), ("c", near))
        }
        find_duplicates(folders, DuplicateSettings(), tmp_path / name / "duplicates.parquet")
        made[name] = (tmp_path / name / "duplicates.parquet").read_bytes()
    assert made["cut"] == made["whole"]
    assert pl.read_parquet(tmp_path / "cut" / "duplicates.parquet").get_column("kind").value_counts().height == 2


def test_what_a_kill_leaves_is_swept_and_the_next_finds_the_same(tmp_path: Path) -> None:
    texts = [f"text {number} of those that are read" for number in range(20_000)]
    folders = {"a": written(tmp_path, "a", texts[:12_000]), "b": written(tmp_path, "b", texts[8_000:])}
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from gotd_assets.corpus.duplicates import search\n"
        "from gotd_assets.settings.texts import DuplicateSettings\n"
        "root = Path(sys.argv[1])\n"
        "folders = {name: root / name for name in 'ab'}\n"
        "search.find_duplicates(folders, DuplicateSettings(), root / 'out' / 'd.parquet', progress=print)\n"
    )
    (tmp_path / "out").mkdir()
    killed = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    while not list((tmp_path / "out").rglob("keys-*.npy")):
        assert killed.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "out" / "d.parquet").exists()
    assert sweep(tmp_path / "out") == 1
    assert not list((tmp_path / "out").iterdir())
    assert find_duplicates(folders, DuplicateSettings(near=False), tmp_path / "out" / "d.parquet").exact["b"] == 4000


def test_a_range_holds_a_bounded_number_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equal_keys, "_KEYS_PER_RANGE", 1000)
    generator = np.random.default_rng(0)
    files = []
    for number in range(10):
        files.append(tmp_path / f"{number}.npy")
        write_keys(files[-1], words_of_bytes(generator.integers(0, 256, (5000, 16), dtype=np.uint8)), np.arange(5000))
    search = EqualKeys.among(files, range(0, 50_000, 5000), 50_000)
    sizes = [sum(search._read(file, part).shape[1] for file in files) for part in search.parts(1)]
    assert sum(sizes) == 50_000
    assert max(sizes) < 1200


def test_a_file_of_keys_that_a_node_does_not_see_is_named(tmp_path: Path) -> None:
    search = EqualKeys([tmp_path / "keys-7.npy"], [0], 1)
    with pytest.raises(ArtifactError, match=r"keys-7\.npy, keys of documents .* the same path"):
        search(search.parts(1)[0])
