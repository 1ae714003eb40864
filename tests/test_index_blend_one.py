"""The quick blend of one query is the general one, bit by bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from motherlode.index.blend import weighted
from motherlode.index.blend_one import weighted_one
from motherlode.index.candidates import best

legs = st.tuples(st.integers(0, 12), st.integers(0, 2**32 - 1), st.sampled_from([3, 1000]))
weights = st.sampled_from([0.0, 0.3, 0.5, 1.0])


def leg(count, seed, levels):
    """Up to 12 of 20 rows, pads behind; few levels make ties."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(20)[:count]
    return best(rng.integers(levels, size=(1, count)) / 7, rows[None, :].astype(np.int64), 12)


@given(st.lists(st.tuples(legs, weights), min_size=1, max_size=4), st.sampled_from([1, 5, 30]))
def test_one_query_is_blended_as_many_are(lists, k):
    found = [leg(*one) for one, _ in lists]
    expected, quick = (blend(found, [weight for _, weight in lists], k) for blend in (weighted, weighted_one))
    np.testing.assert_array_equal(quick.rows, expected.rows)
    np.testing.assert_array_equal(quick.scores, expected.scores)
    assert quick.rows.dtype == np.int64 and quick.scores.dtype == np.float32
