from hypothesis import given
from hypothesis import strategies as st

from benchmarks.study.corpus import MIN_CHARS, documents_of, side_of

TEXTS = [f"text number {number} " + "with some more words to be cut " * (2 + number % 9) for number in range(200)]


def test_no_text_has_documents_on_two_sides():
    sides = documents_of(TEXTS, "domain", split=True, max_chars=100)
    originals = [set(frame["original_id"]) for frame in sides.values()]
    assert all(originals)
    assert not originals[0] & originals[1]
    assert not originals[0] & originals[2]
    assert not originals[1] & originals[2]


def test_heldout_documents_come_from_different_texts():
    heldout = documents_of(TEXTS, "domain", split=True, max_chars=100)["heldout"]
    assert heldout["original_id"].n_unique() == heldout.height


def test_documents_keep_to_the_length():
    for frame in documents_of(TEXTS, "domain", split=True, max_chars=100).values():
        lengths = frame["text"].str.len_chars()
        assert lengths.min() >= MIN_CHARS
        assert lengths.max() <= 100


def test_the_order_of_texts_does_not_matter():
    forward = documents_of(TEXTS, "domain", split=True, max_chars=100)
    backward = documents_of(TEXTS[::-1], "domain", split=True, max_chars=100)
    assert all(forward[side].equals(backward[side]) for side in forward)


def test_domains_without_targets_go_to_the_pool_whole():
    sides = documents_of(TEXTS, "domain", split=False, max_chars=1000)
    assert sides["target"].is_empty()
    assert sides["heldout"].is_empty()
    assert sides["pool"]["original_id"].n_unique() == len(TEXTS)


@given(st.integers(0, 2**64))
def test_a_texts_side_never_changes(number):
    assert side_of(f"{number:032x}") == side_of(f"{number:032x}")


def test_sides_have_their_shares():
    drawn = [side_of(f"{number:032x}") for number in range(5000)]
    assert abs(drawn.count("pool") / 5000 - 0.6) < 0.03
    assert abs(drawn.count("heldout") / 5000 - 0.2) < 0.03
