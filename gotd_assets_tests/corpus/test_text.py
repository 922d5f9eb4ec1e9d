import itertools
import re
import time
import unicodedata
from typing import Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.corpus.texts.clean import clean_texts, strip_markup
from gotd_assets.settings.texts import PreparationSettings

Form = Literal["NFC", "NFKC", "none"]
SPACES = " \t\n\r\u00a0\u2003\x0b\x1f\ufeffaé"
# Letters with combining characters, Hangul in parts, vowels in parts, signs that have another form.
COMBINING = (
    "aeE\u0301\u0327\u0345",
    "\u1100\u1161\u11a8\uac00",
    "\u0b47\u0b57k",
    "\u212b\ufb01\u00b2\u2026a\u030a",
    "e\x07\u0301",
)


def plainly(text: str, form: Form = "NFC") -> str:
    text = re.sub("\r\n?", "\n", text)
    text = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]", "", text)
    if form != "none":
        text = unicodedata.normalize(form, text)
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def cleaned(texts: list[str], form: Form = "NFC") -> list[str]:
    return clean_texts(pl.Series("text", texts), PreparationSettings(unicode=form)).to_list()


@given(st.lists(st.text(alphabet=SPACES, max_size=12), min_size=1, max_size=8))
def test_whitespace_is_as_the_plain_rules_say(texts: list[str]) -> None:
    found = cleaned(texts)
    assert found == [plainly(text) for text in texts]
    assert cleaned(found) == found


TEXTS = st.one_of(*(st.text(alphabet=some, max_size=8) for some in (*COMBINING, SPACES + "".join(COMBINING))))


@given(st.lists(TEXTS, min_size=1, max_size=8), st.sampled_from(["NFC", "NFKC", "none"]))
def test_texts_get_the_normal_form_that_was_asked_for(texts: list[str], form: Form) -> None:
    assert cleaned(texts, form) == [plainly(text, form) for text in texts]


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_every_character_and_every_composition_gets_its_normal_form(form: Form) -> None:
    characters = [chr(code) for code in (*range(0x20, 0x3100), *range(0xAC00, 0xAD00), *range(0xFB00, 0xFB50))]
    texts = [f"x{text}y" for text in (*characters, *(unicodedata.normalize("NFD", each) for each in characters))]
    assert cleaned(texts, form) == [plainly(text, form) for text in texts]


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_neighbours_in_texts_of_the_west_get_their_normal_form(form: Form) -> None:
    ranges = (0x20, 0x300), (0x2010, 0x2028), (0x2030, 0x205F), (0x20A0, 0x20C0), (0x2122, 0x2123)
    characters = [chr(code) for code in itertools.chain.from_iterable(itertools.starmap(range, ranges))]
    texts = ["".join(first + second for second in characters) for first in characters]
    assert cleaned(texts, form) == [plainly(text, form) for text in texts]


_MARKUP = (
    "<!--",
    "-->",
    "<script",
    "</script>",
    "<SCRIPT>",
    "</script >",
    "<style>",
    "</style\n>",
    "<p>",
    "x",
    "<scripty>",
    "&amp;",
    "<",
    "é",
)
_INVISIBLE = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)


@given(st.lists(st.sampled_from(_MARKUP), max_size=14).map("".join))
def test_invisible_elements_go_as_the_plain_rule_says(text: str) -> None:
    assert strip_markup(text) == strip_markup(_INVISIBLE.sub(" ", text))


@pytest.mark.parametrize(
    "unit", ["<!--", "<script", "<style>", "</script   ", "<p <", "&#", "&", "<!-- -", "<script></styl"]
)
def test_markup_that_is_never_closed_takes_time_by_its_length(unit: str) -> None:
    started = time.process_time()
    strip_markup(unit * (800_000 // len(unit)))
    assert time.process_time() - started < 10


def test_references_to_characters_that_are_none() -> None:
    assert (
        strip_markup(f"a &#{'9' * 5000}; b &#x{'f' * 5000}; &#{'0' * 5000}65; &#66; &#x43;")
        == "a \ufffd b \ufffd A B C"
    )
