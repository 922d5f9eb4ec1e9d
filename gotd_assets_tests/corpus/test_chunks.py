import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.shards import scan_documents
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


def test_token_chunks_hold_at_most_the_wanted_tokens_and_every_word(tmp_path: Path) -> None:
    alphabet = {chr(code): code - 97 for code in range(97, 123)} | {"[UNK]": 26}
    tokenizer = Tokenizer(models.WordPiece(alphabet | {f"##{letter}": 30 + i for i, letter in enumerate(alphabet)}))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    cut, length = token_cutter(EncoderSettings(model=str(tmp_path)), tmp_path)
    text = "abc de fghij klm nop qrstuvwxyzabcdefghijkl mn opq"
    pieces = cut(text, 8)
    assert all(length(piece) <= 8 for piece in pieces)
    assert "".join("".join(pieces).split()) == text.replace(" ", "")
    assert pieces[0] == "abc de"
