"""The set of met keys against a dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from motherlode.tables.seen import Seen

BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=20), max_size=12)


@given(BATCHES)
def test_same_as_a_dictionary(batches):
    seen, known = Seen(), {}
    for batch in batches:
        keys = np.array([key for key, _ in batch], dtype=np.uint64)
        expected = []
        for key, number in batch:
            expected.append(known.get(key, -1))
            known.setdefault(key, number)
        assert seen.add(keys, np.array([number for _, number in batch])).tolist() == expected
        assert len(seen) == len(known)
    everything = np.arange(31, dtype=np.uint64)
    assert seen.find(everything).tolist() == [known.get(key, -1) for key in range(31)]


def test_many_keys_cost_nine_bytes_each():
    seen = Seen()
    keys = np.random.default_rng(0).permutation(300_000).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for start in range(0, len(keys), 10_000):
        assert (seen.add(keys[start : start + 10_000]) == -1).all()
    assert (seen.find(keys) == 0).all()
    assert sum(k.nbytes + n.nbytes for k, n in seen._runs) == 9 * 300_000
    assert len(seen._runs) < 12
