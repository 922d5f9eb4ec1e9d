import json
import random
import resource
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.corpus.texts import tokens
from gotd_assets.corpus.texts.tokens import token_cutter
from gotd_assets.fingerprint import document_id
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.texts import PreparationSettings, SourceSettings


def test_pieces_carry_the_id_of_the_uncut_text_and_short_texts_are_joined(tmp_path: Path) -> None:
    long = " ".join(f"word{i}" for i in range(40))
    texts = [long, "short one", "short two", "same same"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    preparation = PreparationSettings(chunk_by="characters", chunk_size=100, join_short=True)
    (tmp_path / "out").mkdir()
    report = read_documents(SourceSettings(name="s", path=Path("a.jsonl")), preparation, tmp_path, tmp_path / "out")
    documents = scan_documents(tmp_path / "out").collect()
    cut = documents.filter(documents["origin"] == "a.jsonl:1")
    assert cut["original_id"].unique().to_list() == [document_id(long)]
    assert " ".join(cut["text"]) == long
    assert documents["text"][-1] == "short one\n\nshort two\n\nsame same"
    assert report.as_summary()["chunks"] == documents.height


def test_identical_pieces_of_one_text_are_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "abcdefghijklmno " * 10}) + "\n")
    (tmp_path / "out").mkdir()
    preparation = PreparationSettings(chunk_by="characters", chunk_size=16)
    report = read_documents(SourceSettings(name="s", path=Path("a.jsonl")), preparation, tmp_path, tmp_path / "out")
    assert (report.kept, report.duplicates) == (1, 9)


def letters(kind: str, folder: Path) -> Path:
    """A tokenizer of one token a letter, in `folder`; as bytes, the space belongs to the word behind it."""
    alphabet = {chr(code): code - 97 for code in range(97, 123)} | {"[UNK]": 26}
    if kind == "words":
        tokenizer = Tokenizer(models.WordPiece(alphabet | {f"##{letter}": 30 + i for i, letter in enumerate(alphabet)}))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    else:
        as_bytes = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        tokenizer = Tokenizer(models.BPE({**as_bytes, "Ġa": 256, "ab": 257}, [("Ġ", "a"), ("a", "b")]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("kind", ["words", "bytes"])
def test_a_long_text_is_cut_window_by_window_as_if_it_were_tokenised_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    cut, length = token_cutter(EncoderSettings(model=str(letters(kind, tmp_path))), tmp_path)
    draw = random.Random(kind)
    for _ in range(50):
        words = ["".join(draw.choices("abcdef", k=draw.choice([1, 3, 9, 40]))) for _ in range(60)]
        text = "".join(word + draw.choice([" ", " ", "  ", "\n"]) for word in words)
        size = draw.choice([1, 5, 20])
        monkeypatch.setattr(tokens, "_WINDOW", 1 << 16)
        whole = cut(text, size)
        monkeypatch.setattr(tokens, "_WINDOW", 16)
        assert cut(text, size) == whole
        assert all(length(piece) <= size for piece in whole)
        assert "".join("".join(whole).split()) == "".join(words)


def test_a_text_of_megabytes_is_cut_in_little_memory(tmp_path: Path) -> None:
    cut, _ = token_cutter(EncoderSettings(model=str(letters("words", tmp_path))), tmp_path)
    before = memory_peak_mib()
    pieces = cut("abc de fghij " * 200_000, 256)
    assert sum(len("".join(piece.split())) for piece in pieces) == 200_000 * 10
    assert memory_peak_mib() - before < 100


def memory_peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def test_token_chunks_hold_at_most_the_wanted_tokens_and_every_word(tmp_path: Path) -> None:
    cut, length = token_cutter(EncoderSettings(model=str(letters("words", tmp_path))), tmp_path)
    text = "abc de fghij klm nop qrstuvwxyzabcdefghijkl mn opq"
    pieces = cut(text, 8)
    assert all(length(piece) <= 8 for piece in pieces)
    assert "".join("".join(pieces).split()) == text.replace(" ", "")
    assert pieces[0] == "abc de"
