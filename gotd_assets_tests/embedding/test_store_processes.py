"""The vector store under real processes: killed at random, and two at once."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl

from gotd_assets.embedding.store import VectorStore
from gotd_assets.fingerprint import document_id

ROWS, SEGMENTS = 50, 40
# Adds what is missing, a segment at a time; the vector of a document is its number.
WRITER = f"""
import sys, time
from pathlib import Path
import numpy as np, polars as pl
from gotd_assets.embedding.store import VectorStore
from gotd_assets.fingerprint import document_id
store = VectorStore(Path(sys.argv[1]))
with store.writing():
    for segment in range({SEGMENTS}):
        numbers = np.arange(segment * {ROWS}, (segment + 1) * {ROWS}, dtype=np.float32)
        ids = pl.Series("doc_id", [document_id(str(int(n))) for n in numbers])
        missing = store.missing(ids)
        if missing.any():
            store.add(ids.filter(missing), np.repeat(numbers[missing.to_numpy()], 8).reshape(-1, 8))
            print(segment, flush=True)
            time.sleep(0.01)
"""


def start(folder):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)


def assert_whole(folder):
    store = VectorStore(folder)
    store.refresh()
    ids = pl.Series("doc_id", [document_id(str(n)) for n in range(ROWS * SEGMENTS)])
    assert not store.missing(ids).any()
    np.testing.assert_array_equal(store.get(ids)[:, 0], np.arange(ROWS * SEGMENTS))
    rows = sum(len(np.load(path)) for path in folder.glob("ids-*.npy"))
    assert rows == ROWS * SEGMENTS, "a document was stored twice"


def test_killed_writers_lose_at_most_the_segment_in_hand(tmp_path):
    folder, announced, generator = tmp_path / "store", [], random.Random(0)
    for _ in range(4):
        process = start(folder)
        announced.append(process.stdout.readline())
        time.sleep(generator.uniform(0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        announced.extend(process.communicate()[0].splitlines())
    done = [int(line) for line in announced if line.strip()]
    assert done == sorted(set(done)), "a segment that was announced was made again"
    process = start(folder)
    process.communicate()
    assert process.returncode == 0
    assert not list(folder.glob(".*.partial"))
    assert_whole(folder)


def test_two_writers_at_once_make_every_vector_once(tmp_path):
    folder = tmp_path / "store"
    writers = [start(folder), start(folder)]
    made = [int(line) for writer in writers for line in writer.communicate()[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(made) == list(range(SEGMENTS))
    assert_whole(folder)
