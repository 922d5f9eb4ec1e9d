import re

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.corpus.text import clean_texts
from gotd_assets.settings import PreparationSettings

SPACES = " \t\n\r\u00a0\u2003\x0b\x1f\ufeffaé"


def plainly(text: str) -> str:
    text = re.sub("\r\n?", "\n", text)
    text = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]", "", text)
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


@given(st.lists(st.text(alphabet=SPACES, max_size=12), min_size=1, max_size=8))
def test_whitespace_is_as_the_plain_rules_say(texts: list[str]) -> None:
    cleaned = clean_texts(pl.Series("text", texts), PreparationSettings()).to_list()
    assert cleaned == [plainly(text) for text in texts]
    assert clean_texts(pl.Series("text", cleaned), PreparationSettings()).to_list() == cleaned
