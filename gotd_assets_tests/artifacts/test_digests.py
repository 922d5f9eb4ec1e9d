"""Digests met before, against a dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.artifacts.digests import SeenDigests, digests_of

# Both ends of what a table holds, and bytes of nought, which NumPy takes for the end of a string.
DIGESTS = st.builds(
    lambda first, middle, last: bytes([first]) + 14 * bytes([middle]) + bytes([last]),
    st.sampled_from([0, 1, 3, 4, 127, 128, 252, 255]),
    st.sampled_from([0, 200]),
    st.sampled_from([0, 1]),
)


@given(st.lists(st.lists(DIGESTS, max_size=12), max_size=12))
def test_digests_met_before_are_told_as_a_dictionary_would(batches: list[list[bytes]]) -> None:
    seen, first, position = SeenDigests(), {}, 0
    for batch in batches:
        digests = digests_of([digest.hex() for digest in batch])
        expected = [first.get(digest, -1) for digest in batch]
        assert seen.find(digests).tolist() == expected
        found, is_new = seen.meet(digests, np.arange(position, position + len(batch)))
        for digest, place, met, new in zip(
            batch, range(position, 10**6), found.tolist(), is_new.tolist(), strict=False
        ):
            assert new == (digest not in first)
            assert met == first.setdefault(digest, place)
        position += len(batch)
    assert len(seen) == len(first)
