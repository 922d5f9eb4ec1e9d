"""Whole embedding runs as processes: killed at a random moment, and two at once."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gotd_assets.embedding.embed import embed_documents
from gotd_assets.embedding.vectors import open_vectors
from gotd_assets.fingerprint import document_id
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets_tests.models import tiny

pytestmark = pytest.mark.slow

SHARD = 4096
# Texts whose vectors are kept together on a processor.
BLOCK = 512
RUN = """
import sys
from pathlib import Path
from gotd_assets.embedding.embed import embed_documents
from gotd_assets.settings.encoder import EncoderSettings
root, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir()
settings = EncoderSettings(model="encoder", dtype="float32")
print("ready", flush=True)
report = embed_documents(
    root / "documents", settings, root, root / "store", out, progress=lambda state: print(state.done, flush=True)
)
print(report.embedded, flush=True)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tiny.model_folder(tmp_path / "encoder", "bert-headless")
    (tmp_path / "documents").mkdir()
    texts = list(dict.fromkeys(tiny.texts(3 * SHARD)))
    frame = pl.DataFrame({"doc_id": [document_id(text) for text in texts], "text": texts})
    for number, part in enumerate(frame.iter_slices(5000)):
        part.write_parquet(tmp_path / "documents" / f"documents-{number:05}.parquet")
    return tmp_path


def start(root: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", RUN, root, root / name], stdout=subprocess.PIPE, text=True)


def stored(root: Path) -> int:
    return sum(len(np.load(path)) for path in root.glob("store/*/ids-*.npy"))


def documents(root: Path) -> int:
    return pl.scan_parquet(root / "documents" / "*.parquet").select(pl.len()).collect().item()


def test_a_killed_run_loses_at_most_one_shard_and_the_next_goes_on(root: Path) -> None:
    generator = random.Random(0)
    for number in range(3):
        process = start(root, f"killed-{number}")
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(generator.uniform(1, 6))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    kept = stored(root)
    (root / "out").mkdir()
    (root / "fresh").mkdir()
    settings = EncoderSettings(model="encoder", dtype="float32")
    report = embed_documents(root / "documents", settings, root, root / "store", root / "out")
    assert (report.embedded, report.reused) == (documents(root) - kept, kept)
    assert stored(root) == documents(root), "a document was stored twice"
    embed_documents(root / "documents", settings, root, root / "another store", root / "fresh")
    resumed, fresh = open_vectors(root / "out"), open_vectors(root / "fresh")
    assert resumed.all_doc_ids().to_list() == fresh.all_doc_ids().to_list()
    np.testing.assert_allclose(np.concatenate(resumed.vectors), np.concatenate(fresh.vectors), atol=1e-3)


def test_a_killed_run_loses_a_few_hundred_documents(root: Path) -> None:
    process = start(root, "killed")
    assert process.stdout is not None
    process.stdout.readline()
    # What it says last before it is killed is done; what it keeps is a little less.
    done = next(done for line in process.stdout if (done := int(line)) >= 2 * BLOCK + BLOCK // 2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert done - BLOCK <= stored(root) < documents(root)


def test_two_runs_at_once_embed_every_document_once(root: Path) -> None:
    runs = [start(root, "one"), start(root, "two")]
    embedded = [int(run.communicate()[0].split()[-1]) for run in runs]
    assert sum(embedded) == stored(root) == documents(root)
    one, two = open_vectors(root / "one"), open_vectors(root / "two")
    np.testing.assert_array_equal(np.concatenate(one.vectors), np.concatenate(two.vectors))
