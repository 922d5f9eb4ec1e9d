"""Tokens by a table of words are those of the tokenizer, on any text; where they might not be, no table is used."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from gotd_assets.embedding.encoders.token_ids import TokenIds

DRAW = random.Random(8)
LETTERS = "abcdeAÉßñçıİ中文カ한.,!-'\"01²"
UNKNOWN = "[UNK]"
SPECIAL = [UNKNOWN, "[CLS]", "[MASK]"]
CORPUS = [" ".join("".join(DRAW.choices(LETTERS, k=DRAW.randint(1, 6))) for _ in range(20)) for _ in range(60)]
# White space that BERT deletes or keeps, marks that join what is before, letters that nothing shows.
ODD = (
    *("\x00", "\x01", "\x0b", "\x0c", "\x1c", "\x1f", "\x7f", "\x85", "\xa0", "\xad", "\u1680", "\u180e", "\u2000"),
    *("\u200b", "\u200d", "\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\ufeff", "\ufffd", "\U000e0001"),
    *(
        "\u0301",
        "\u0345",
        "\u0327\u0301",
        "\u0f71",
        "\u1161",
        "e\u0301",
        "\u1e9b\u0323",
        "\u212b",
        "\ufb01",
        "\u00a8",
        "\u3300",
    ),
    *("ς", "Σ", "İ", "ǅ", "ﷺ", "𝒳", "👩\u200d👩", "\ue000", "\ud7ff", "##a", "[", "]", "[CLS", "[ MASK ]", "[cls]"),
)
SPACES = (" ", "  ", "\t", "\n", "\r\n", " \n \t")
TEXTS = st.lists(
    st.one_of(
        st.sampled_from([*SPACES, *ODD, *SPECIAL, "Abc", "abc", "new york", "a-b", "ab" * 20]),
        st.text(LETTERS, min_size=1, max_size=4),
        st.text(max_size=6),
    ),
    max_size=30,
).map("".join)


def trained(model: object, trainer: object, before: object, normalizer: object = None) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = before
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def word_piece(
    normalizer: object = None, before: object = None, added: tuple[AddedToken, ...] = (), longest: int = 30
) -> Tokenizer:
    made = trained(
        models.WordPiece(unk_token=UNKNOWN, max_input_chars_per_word=longest),
        trainers.WordPieceTrainer(vocab_size=250, special_tokens=SPECIAL, show_progress=False),
        before or pre_tokenizers.BertPreTokenizer(),
        normalizer or normalizers.BertNormalizer(),
    )
    made.add_tokens([*added])
    return made


def with_added() -> Tokenizer:
    made = word_piece(
        added=(
            AddedToken("abc", single_word=True, normalized=True),
            AddedToken("É", normalized=True),
            AddedToken("a-b", normalized=False),
            AddedToken("\ufeff", normalized=False),
        )
    )
    made.add_special_tokens([AddedToken("[MASK]", lstrip=True, rstrip=True)])
    return made


def byte_pairs(before: object, **said: object) -> Tokenizer:
    return trained(models.BPE(**said), trainers.BpeTrainer(vocab_size=300, show_progress=False), before)


def unigram(before: object, normalizer: object = None) -> Tokenizer:
    pieces = ["\u2581", *LETTERS, "ab", "\u2581a", "bc", "\u2581new", "de."]
    tokenizer = Tokenizer(models.Unigram([(UNKNOWN, 0.0), *((piece, -1.0 - len(piece) / 9) for piece in pieces)], 0))
    tokenizer.pre_tokenizer = before
    tokenizer.add_special_tokens([*SPECIAL])
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return tokenizer


def word_level(normalizer: object = None) -> Tokenizer:
    trainer = trainers.WordLevelTrainer(special_tokens=SPECIAL, show_progress=False)
    return trained(models.WordLevel(unk_token=UNKNOWN), trainer, pre_tokenizers.Whitespace(), normalizer)


WORD_BY_WORD: dict[str, Callable[[], Tokenizer]] = {
    "BERT": word_piece,
    "BERT, cased": lambda: word_piece(normalizers.BertNormalizer(lowercase=False, strip_accents=False)),
    "BERT, nothing cleaned": lambda: word_piece(
        normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False), longest=5
    ),
    "BERT, tokens added": with_added,
    "composed, replaced": lambda: word_piece(
        normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Replace("a", " e "), normalizers.StripAccents(), normalizers.Lowercase()]
        ),
        pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(), pre_tokenizers.Punctuation()]
        ),
    ),
    "whole words": lambda: word_level(normalizers.Sequence([normalizers.NFD()])),
    "byte pairs": lambda: byte_pairs(pre_tokenizers.WhitespaceSplit()),
    "unigram": lambda: unigram(pre_tokenizers.Whitespace()),
}
ACROSS_WORDS: dict[str, Callable[[], Tokenizer]] = {
    "spaces as letters": lambda: unigram(pre_tokenizers.Metaspace()),
    "spaces as letters, later": lambda: unigram(
        pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace(prepend_scheme="first")])
    ),
    "bytes as letters": lambda: byte_pairs(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "no words": lambda: byte_pairs(None),
    "punctuation alone": lambda: byte_pairs(pre_tokenizers.Punctuation()),
    "a text's ends are cut off": lambda: word_piece(
        normalizers.Sequence([normalizers.Strip(), normalizers.BertNormalizer()])
    ),
    "something stands before a text": lambda: word_piece(normalizers.Prepend("x")),
    "a pattern is replaced": lambda: word_piece(normalizers.Replace(Regex(r"a\s+b"), "c")),
    "spaces are replaced": lambda: word_piece(normalizers.Replace("a b", "c")),
    "by chance": lambda: byte_pairs(pre_tokenizers.WhitespaceSplit(), dropout=0.1),
    "a token of two words": lambda: word_piece(added=(AddedToken("new york"),)),
    "a token that becomes two words": lambda: word_piece(added=(AddedToken("a中b", normalized=True),)),
    "a token that becomes nothing": lambda: word_piece(added=(AddedToken("\u200b", normalized=True),)),
}


def by_tokenizer(tokenizer: Tokenizer, text: str, most: int) -> list[int]:
    tokenizer.no_truncation()
    return tokenizer.encode(text, add_special_tokens=False).ids[:most]


def by_text(tokens: TokenIds, texts: list[str]) -> list[list[int]]:
    ids, lengths = tokens(texts)
    assert len(lengths) == len(texts)
    assert len(ids) == lengths.sum()
    ends = lengths.cumsum()
    return [ids[end - length : end].tolist() for length, end in zip(lengths, ends, strict=True)]


@pytest.fixture(scope="module", params=WORD_BY_WORD)
def pair(request: pytest.FixtureRequest) -> tuple[Tokenizer, Tokenizer]:
    made = WORD_BY_WORD[request.param]()
    return made, Tokenizer.from_str(made.to_str())


@given(st.lists(st.lists(TEXTS, max_size=6), min_size=1, max_size=3), st.sampled_from([1, 3, 20, 512]))
def test_tokens_are_those_of_the_tokenizer(
    pair: tuple[Tokenizer, Tokenizer], batches: list[list[str]], most: int
) -> None:
    tokenizer, other = pair
    tokens = TokenIds(other, most)
    assert tokens.by_words
    for texts in batches:
        assert by_text(tokens, texts) == [by_tokenizer(tokenizer, text, most) for text in texts]


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_a_table_that_is_begun_anew_changes_no_token(pair: tuple[Tokenizer, Tokenizer], texts: list[str]) -> None:
    tokenizer, other = pair
    tokens = TokenIds(other, 30, most_words=3)
    for _ in range(2):
        for text in texts:
            assert by_text(tokens, [text]) == [by_tokenizer(tokenizer, text, 30)]


@pytest.mark.parametrize("form", ACROSS_WORDS)
def test_where_words_are_not_independent_the_tokenizer_sees_whole_texts(form: str) -> None:
    tokenizer = ACROSS_WORDS[form]()
    assert not TokenIds(Tokenizer.from_str(tokenizer.to_str()), 5).by_words


# One draws, and the tokenizers library panics where a token becomes nothing.
@pytest.mark.parametrize("form", sorted(set(ACROSS_WORDS) - {"by chance", "a token that becomes nothing"}))
@given(texts=st.lists(TEXTS, max_size=4))
def test_and_gives_its_tokens(form: str, texts: list[str]) -> None:
    tokenizer = ACROSS.setdefault(form, ACROSS_WORDS[form]())
    tokens = TokenIds(Tokenizer.from_str(tokenizer.to_str()), 7)
    assert by_text(tokens, texts) == [by_tokenizer(tokenizer, text, 7) for text in texts]


ACROSS: dict[str, Tokenizer] = {}


def test_an_interrupted_call_leaves_no_word_without_tokens() -> None:
    tokenizer = word_piece()
    tokens = TokenIds(Tokenizer.from_str(tokenizer.to_str()), 20)
    joined = tokens._joined

    def interrupted(words: list[str]) -> None:
        raise KeyboardInterrupt

    tokens._joined = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        tokens(["abc de abc"])
    tokens._joined = joined  # type: ignore[method-assign]
    assert by_text(tokens, ["abc de abc"]) == [by_tokenizer(tokenizer, "abc de abc", 20)]
