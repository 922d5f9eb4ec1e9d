"""Which files are read: one rule for folders, patterns and the targets folder; what is left out is named; names are names."""

import json
import os
from pathlib import Path

import pytest

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.files.content import content_fingerprint
from gotd_assets.corpus.files.names import path_of
from gotd_assets.corpus.files.walk import LEADS_OUT
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.errors import InputError
from gotd_assets.settings.targets_folder import look_into
from gotd_assets.settings.texts import PreparationSettings, SourceSettings


def put(path: Path, text: str = "a text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"text": text}) + "\n")
    return path


def read(folder: Path, **entry: object) -> tuple[set[str], dict[str, str]]:
    """Texts read, and the reason for every place left out."""
    source = SourceSettings.model_validate({"name": "s", **entry})
    report = read_documents(source, PreparationSettings(), folder, folder.parent / f"{folder.name}-out")
    texts = set(scan_documents(folder.parent / f"{folder.name}-out").collect()["text"])
    return texts, {place.path: place.reason for place in report.left_out}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    put(root / "pool" / "a.jsonl", "plain")
    put(tmp_path / "elsewhere" / "b.jsonl", "elsewhere")
    (root / "pool" / "shard").symlink_to(tmp_path / "elsewhere")
    return root


@pytest.mark.parametrize("path", ["pool", "pool/**/*.jsonl", "pool/**", "pool/*/*.jsonl"])
def test_links_that_lead_out_are_followed_only_if_asked(data: Path, path: str) -> None:
    put(data / "pool" / "in" / "c.jsonl", "inside")
    without = {"inside"} if path == "pool/*/*.jsonl" else {"plain", "inside"}
    texts, left_out = read(data, path=path)
    assert texts == without
    assert left_out["pool/shard"] == LEADS_OUT
    texts, left_out = read(data, path=path, follow_links=True)
    assert texts == without | {"elsewhere"}
    assert "pool/shard" not in left_out


@pytest.mark.parametrize("path", ["pool", "pool/*"])
def test_a_link_to_a_file_outside_is_no_text(data: Path, path: str) -> None:
    (data / "pool" / "passwd.txt").symlink_to("/etc/passwd")
    texts, left_out = read(data, path=path)
    assert texts == {"plain"}
    assert left_out["pool/passwd.txt"] == LEADS_OUT


def test_links_inside_the_folder_that_go_round_end(data: Path) -> None:
    (data / "pool" / "again").symlink_to(data / "pool")
    (data / "pool" / "gone.jsonl").symlink_to(data / "nowhere")
    for path in ("pool", "pool/**/*.jsonl"):
        texts, left_out = read(data, path=path)
        assert texts == {"plain"}
    assert left_out["pool/gone.jsonl"] == "a link that leads nowhere"


ENDINGS = ("PART.JSONL.GZ", "b.jsonlines", "c.ndjson.zstd", "d.Jsonl", "e.jl")


@pytest.mark.parametrize("path", ["pool", "pool/*"])
def test_endings_in_any_case_and_by_other_names(tmp_path: Path, path: str) -> None:
    import gzip

    import zstandard

    root = tmp_path / "root"
    for name in ENDINGS:
        file = put(root / "pool" / name, name)
        content = file.read_bytes()
        packed = {".gz": gzip.compress, ".zstd": zstandard.compress}.get(file.suffix.lower())
        file.write_bytes(packed(content) if packed else content)
    for name in ("README", "Thumbs.db", ".hidden.jsonl", "half.jsonl.part", "picture.png"):
        put(root / "pool" / name)
    texts, left_out = read(root, path=path)
    assert texts == set(ENDINGS)
    assert {name for name in left_out if not name.startswith("pool/.")} == {
        f"pool/{name}" for name in ("README", "Thumbs.db", "half.jsonl.part", "picture.png")
    }
    assert read(root, path="pool/PART.JSONL.GZ")[0] == {"PART.JSONL.GZ"}


def test_what_is_left_out_is_counted_in_the_summary(data: Path) -> None:
    put(data / "pool" / "README")
    report = read_documents(SourceSettings(name="s", path=Path("pool")), PreparationSettings(), data, data / "out")
    found = report.as_summary()["left_out"]
    assert found["places"] == 2
    assert found["by_reason"] == {LEADS_OUT: 1, "its ending is that of no format": 1}


def test_a_pattern_of_which_all_is_left_out_says_why(data: Path) -> None:
    put(data / "pool" / "a.dat")
    with pytest.raises(InputError, match=r"pool/a\.dat: its ending is that of no format.*set .*format"):
        read(data, path="pool/*.dat")
    with pytest.raises(InputError, match=r"pool/shard: a link that leads out.*follow_links"):
        read(data, path="pool/shard*/*.jsonl")


def test_only_text_is_a_target(tmp_path: Path) -> None:
    for name in ("film.jsonl", "README", "Thumbs.db", "pictures/a.png", "sport/a.csv"):
        put(tmp_path / "t" / name)
    (tmp_path / "t" / "out.jsonl").symlink_to(put(tmp_path / "elsewhere.jsonl"))
    found, problems = look_into(tmp_path / "t", ())
    assert set(found) == {"film", "sport"}
    assert len(problems) == 3
    assert set(look_into(tmp_path / "t", (), follow_links=True)[0]) == {"film", "sport", "out"}
    assert set(look_into(tmp_path / "t", (), "jsonl")[0]) == {"film", "pictures", "readme", "sport"}


NAMES = ("[raw] 2024", "a*b", "what?", "100%25", "no #1", 'it\'s "so"', "müller", "a=b", "$HOME")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_a_pattern(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    put(root / name / f"{name}.jsonl", "meant")
    put(root / "r" / "other.jsonl", "other")
    for path in (name, f"{name}/*.jsonl", f"{name}/{name}.jsonl", f"./**/{name}.jsonl"):
        assert read(root, path=path)[0] == {"meant"}


def test_brackets_are_a_class_where_no_name_is_so(tmp_path: Path) -> None:
    for name in "abc":
        put(tmp_path / "root" / f"{name}.jsonl", name)
    assert read(tmp_path / "root", path="[ab].jsonl")[0] == {"a", "b"}
    put(tmp_path / "root" / "[ab]1.jsonl", "brackets")
    assert read(tmp_path / "root", path="[ab]1*.jsonl")[0] == {"brackets"}


def test_a_name_that_is_no_utf_8_is_read_and_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root / "pool" / "plain.jsonl", "plain")
    put(root / "pool" / "x.jsonl", "latin").rename(os.fsdecode(os.fsencode(root) + b"/pool/caf\xe9.jsonl"))
    source = SourceSettings(name="s", path=Path("pool"))
    read_documents(source, PreparationSettings(), root, tmp_path / "out")
    documents = scan_documents(tmp_path / "out").collect()
    assert dict(documents.select("text", "origin").iter_rows())["latin"] == "pool/caf\\xe9.jsonl:1"
    names = list(content_fingerprint(source, root, cache=tmp_path / "cache.json"))
    assert names == ["pool/caf\\xe9.jsonl", "pool/plain.jsonl"] or names == ["pool/plain.jsonl", "pool/caf\\xe9.jsonl"]
    assert path_of("pool/caf\\xe9.jsonl", root).is_file()
    assert read(root, path="pool/caf\\xe9.jsonl")[0] == {"latin"}


def test_a_saved_dataset_reads_nothing_outside_itself(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(tmp_path / "secret.arrow")
    for name in ("../../secret.arrow", str(tmp_path / "secret.arrow"), "link.arrow"):
        folder = root / "saved"
        folder.mkdir(parents=True, exist_ok=True)
        if name == "link.arrow":
            (folder / name).symlink_to(tmp_path / "secret.arrow")
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        with pytest.raises(InputError, match="which is outside the dataset"):
            read(root, path="saved")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "gone.arrow"}]}))
    with pytest.raises(InputError, match="does not exist: save the dataset again"):
        read(root, path="saved")
    for malformed in ("[" * 100_000, "[]", '{"_data_files": [3]}', '{"_data_files": 3}', "\udcff"):
        (folder / "state.json").write_text(malformed, errors="surrogateescape")
        with pytest.raises(InputError, match="malformed"):
            read(root, path="saved")
