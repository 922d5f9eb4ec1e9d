"""A text of megabytes is cut before it is tokenised, and no token that is used changes."""

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from gotd_assets.models.batches import encode
from gotd_assets.models.long_texts import beginnings
from gotd_assets_tests.models import tiny

DRAW = random.Random(4)
LETTERS = "abcdeéßñ 日本語のテキスト.,!\t\n  —'\"0123"
CORPUS = ["".join(DRAW.choices(LETTERS, k=DRAW.randint(20, 200))) for _ in range(400)]
MOST = 8
UNKNOWN = "[UNK]"


def trained(model: object, trainer: object, before: object, normalizer: object = None) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = before
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_level() -> Tokenizer:
    return trained(
        models.BPE(),
        trainers.BpeTrainer(vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    )


def word_piece() -> Tokenizer:
    return trained(
        models.WordPiece(unk_token=UNKNOWN, max_input_chars_per_word=30),
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=[UNKNOWN], show_progress=False),
        pre_tokenizers.BertPreTokenizer(),
        normalizers.BertNormalizer(),
    )


def unigram() -> Tokenizer:
    made = trained(
        models.Unigram(),
        trainers.UnigramTrainer(vocab_size=200, unk_token=UNKNOWN, special_tokens=[UNKNOWN], show_progress=False),
        pre_tokenizers.Metaspace(),
        normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" ", " ")]),
    )
    made.decoder = decoders.Metaspace()
    return made


def whole_text_as_one_word() -> Tokenizer:
    """As Llama's first: merges are not stopped by spaces."""
    return trained(
        models.BPE(),
        trainers.BpeTrainer(vocab_size=400, show_progress=False),
        pre_tokenizers.Split("\u0000", "isolated"),
        normalizers.Replace(" ", "▁"),
    )


TOKENIZERS: dict[str, Tokenizer] = {
    make.__name__: make() for make in (byte_level, word_piece, unigram, whole_text_as_one_word)
}


def counter(tokenizer: Tokenizer, seen: list[int]) -> Callable[[str, int], int]:
    def count(text: str, most: int) -> int:
        seen.append(len(text))
        return min(most, len(tokenizer.encode(text).ids))

    return count


PIECES = st.one_of(
    st.text(LETTERS, min_size=1, max_size=40),
    st.sampled_from([" ", "a", "  \n", "日", "é", "\t", "ab "]).flatmap(
        lambda piece: st.integers(1, 900).map(lambda times: piece * times)
    ),
)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(PIECES, min_size=1, max_size=12), times=st.integers(1, 30))
def test_the_first_tokens_are_those_of_the_whole(name: str, pieces: list[str], times: int) -> None:
    tokenizer = TOKENIZERS[name]
    text = "".join(pieces) * times
    (start,) = beginnings([text], MOST, counter(tokenizer, []))
    assert text.startswith(start)
    assert tokenizer.encode(start).ids[:MOST] == tokenizer.encode(text).ids[:MOST]


def test_little_of_a_long_text_is_looked_at() -> None:
    seen: list[int] = []
    text = "abc de " * 500_000
    (start,) = beginnings([text], 256, counter(TOKENIZERS["byte_level"], seen))
    assert len(start) < 10_000
    assert sum(seen) < 10_000


def test_short_texts_are_not_looked_at() -> None:
    seen: list[int] = []
    texts = ["", "a b c", "abc " * 100]
    assert beginnings(texts, MOST, counter(TOKENIZERS["byte_level"], seen)) == texts
    assert seen == []


def test_megabytes_take_no_longer_than_a_page() -> None:
    tokenizer = tiny.tokenizer(masked=True)
    text = " ".join(tiny.WORDS * 60_000)
    assert len(text) > 15_000_000
    started = time.perf_counter()
    (found,) = encode(tokenizer, [text], 64)
    assert time.perf_counter() - started < 0.5
    assert found.tolist() == tokenizer(text[:4000], truncation=True, max_length=64)["input_ids"]


def test_a_tokenizer_that_keeps_the_end_is_given_the_whole() -> None:
    tokenizer = tiny.tokenizer(masked=True)
    tokenizer.truncation_side = "left"
    text = " ".join(tiny.WORDS * 30)
    (found,) = encode(tokenizer, [text], 8)
    assert found.tolist() == tokenizer(text, truncation=True, max_length=8)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(int(found[-2])) == tiny.WORDS[-1]
