"""The quick blend of one query is the general one, bit by bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from motherlode.index.blend import convex
from motherlode.index.blend_one import convex_one
from motherlode.index.candidates import best

legs = st.tuples(st.integers(0, 12), st.integers(0, 2**32 - 1), st.sampled_from([3, 1000]))


def leg(count, seed, levels):
    """Up to 12 of 20 rows, pads behind; few levels make ties."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(20)[:count]
    return best(rng.integers(levels, size=(1, count)) / 7, rows[None, :].astype(np.int64), 12)


@given(legs, legs, st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([1, 5, 30]))
def test_one_query_is_blended_as_many_are(first, second, alpha, k):
    expected, found = (blend(leg(*first), leg(*second), alpha, k) for blend in (convex, convex_one))
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert found.rows.dtype == np.int64 and found.scores.dtype == np.float32
