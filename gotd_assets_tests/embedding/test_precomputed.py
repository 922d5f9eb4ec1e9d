import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from gotd_assets.embedding.embed import embed_documents
from gotd_assets.embedding.vectors import open_vectors
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.settings.encoder import EncoderSettings

TEXTS = [f"text {i}" for i in range(7)]
IDS = [document_id(text) for text in TEXTS]
VECTORS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def embed(tmp_path, model, run="out"):
    documents, out = tmp_path / "documents", tmp_path / run
    documents.mkdir(exist_ok=True)
    out.mkdir()
    pl.DataFrame({"doc_id": IDS, "text": TEXTS}).write_parquet(documents / "documents-00000.parquet")
    settings = EncoderSettings(model=model, kind="precomputed", normalize=False, storage_dtype="float32")
    return embed_documents(documents, settings, tmp_path, tmp_path / "store", out), out


def raw_ids(ids):
    return np.array([list(bytes.fromhex(i)) for i in ids], dtype=np.uint8)


def write(tmp_path, form, ids, vectors):
    if form == "parquet":
        pl.DataFrame({"doc_id": ids, "vector": vectors.tolist()}).write_parquet(tmp_path / "given.parquet")
        return "given.parquet"
    if form == "safetensors":
        save_file({"ids": raw_ids(ids), "vectors": vectors}, tmp_path / "given.safetensors")
        return "given.safetensors"
    folder = tmp_path / "given"
    folder.mkdir()
    np.save(folder / "vectors.npy", vectors)
    if form == "text ids":
        (folder / "ids.txt").write_text("\n".join(ids))
    else:
        np.save(folder / "ids.npy", raw_ids(ids) if form == "bytes" else np.array(ids))
    return "given"


@pytest.mark.parametrize("form", ["parquet", "safetensors", "bytes", "strings", "text ids"])
def test_vectors_are_joined_by_id_whatever_their_order(tmp_path, form):
    order = [4, 2, 6, 0, 1, 5, 3]
    model = write(tmp_path, form, [IDS[i] for i in order], VECTORS[order])
    report, out = embed(tmp_path, model)
    shards = open_vectors(out)
    assert report.documents == 7
    assert shards.all_doc_ids().to_list() == IDS
    np.testing.assert_array_equal(shards[0].vectors, VECTORS)


def test_missing_nan_and_zero_vectors_are_quarantined_by_id(tmp_path):
    vectors = VECTORS[:6].copy()
    vectors[1, 2], vectors[3] = np.nan, 0
    report, out = embed(tmp_path, write(tmp_path, "parquet", IDS[:6], vectors))
    quarantined = [json.loads(line)["doc_id"] for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert quarantined == [IDS[1], IDS[3], IDS[6]]
    assert (report.documents, report.quarantined) == (4, 3)
    np.testing.assert_array_equal(open_vectors(out)[0].vectors, VECTORS[[0, 2, 4, 5]])


@pytest.mark.parametrize("dtype", [pl.List(pl.Float32), pl.List(pl.Float64), pl.Array(pl.Float32, 5)], ids=str)
def test_a_parquet_column_may_hold_lists_or_arrays_and_miss_some(tmp_path, dtype):
    column = pl.Series("vector", [*VECTORS[:5].tolist(), None, VECTORS[6].tolist()], dtype=dtype)
    pl.DataFrame({"doc_id": IDS, "vector": column}).write_parquet(tmp_path / "given.parquet")
    report, out = embed(tmp_path, "given.parquet")
    assert report.quarantined == 1
    np.testing.assert_array_equal(open_vectors(out)[0].vectors, np.delete(VECTORS, 5, axis=0))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([*VECTORS[:3].tolist(), [1.0], *VECTORS[4:].tolist()], "row 3 has 1 numbers, most have 5"),
        (["text"] * 7, "column vector holds String, not lists of numbers"),
        ([["a", "b"]] * 7, "cannot be read as vectors"),
    ],
)
def test_a_parquet_column_of_anything_else_is_refused(tmp_path, column, message):
    pl.DataFrame({"doc_id": IDS, "vector": column}).write_parquet(tmp_path / "given.parquet")
    with pytest.raises(InputError, match=message):
        embed(tmp_path, "given.parquet")


def test_a_file_whose_ids_match_no_document_is_refused(tmp_path):
    with pytest.raises(InputError, match="none of 7 documents has a usable vector"):
        embed(tmp_path, write(tmp_path, "parquet", [document_id(f"other {i}") for i in range(7)], VECTORS))


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        (IDS[:5], VECTORS, "5 ids for 7 vectors"),
        ([*IDS[:6], IDS[0]], VECTORS, "more than once"),
        ([*IDS[:6], "row-6"], VECTORS, "'row-6' of row 6 is no doc_id"),
        (IDS, VECTORS[:, 0], "not floats of shape"),
    ],
)
def test_malformed_files_are_refused_with_the_place(tmp_path, ids, vectors, message):
    with pytest.raises(InputError, match=message):
        embed(tmp_path, write(tmp_path, "text ids", ids, vectors))


def test_a_truncated_file_is_refused(tmp_path):
    model = write(tmp_path, "safetensors", IDS, VECTORS)
    content = (tmp_path / model).read_bytes()
    (tmp_path / model).write_bytes(content[:-20])
    with pytest.raises(InputError, match="cannot be read as vectors"):
        embed(tmp_path, model)


def test_a_second_run_reuses_the_store(tmp_path):
    model = write(tmp_path, "parquet", IDS, VECTORS)
    embed(tmp_path, model)
    report, _ = embed(tmp_path, model, run="again")
    assert (report.embedded, report.reused) == (0, 7)
