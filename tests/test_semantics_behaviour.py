"""The behaviour view sees training alone, and is the decomposition it says it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import InputError
from motherlode.semantics import behaviour_view, co_interaction_pairs


def events(seed=0, count=600, users=40, items=60):
    rng = np.random.default_rng(seed)
    users_, items_ = rng.integers(users, size=count), rng.integers(items, size=count)
    return users_, items_, rng.random(count) < 0.8


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_no_bit_hangs_on_test_events(seed):
    users, items, train = events(seed)
    rng = np.random.default_rng([seed, 1])
    others, goods = users.copy(), items.copy()
    others[~train], goods[~train] = rng.integers(500, size=(~train).sum()), rng.integers(60, size=(~train).sum())
    seen = behaviour_view(users, items, train, 60, 8)
    changed = behaviour_view(others, goods, train, 60, 8)
    dropped = behaviour_view(users[train], items[train], np.ones(train.sum(), bool), 60, 8)
    for one in (changed, dropped):
        assert seen[0].tobytes() == one[0].tobytes() and seen[1].tobytes() == one[1].tobytes()


def test_training_events_do_matter():
    users, items, train = events()
    moved = items.copy()
    moved[np.flatnonzero(train)[:50]] = 3
    assert (behaviour_view(users, items, train, 60, 8)[0] != behaviour_view(users, moved, train, 60, 8)[0]).any()


def test_vectors_are_the_truncated_decomposition():
    users, items, train = events(items=61)
    train &= items != 7
    vectors, present = behaviour_view(users, items, train, 61, 10)
    matrix = np.zeros((40, 61))
    matrix[users[train], items[train]] = 1
    held = matrix.sum(0) > 0
    np.testing.assert_array_equal(present, held)
    assert not held[7] and (vectors[~held] == 0).all()
    matrix = matrix[:, held]
    matrix = matrix / np.sqrt(matrix.sum(1, keepdims=True)) / np.sqrt(matrix.sum(0))
    _, values, right = np.linalg.svd(matrix)
    rows = (right[:10] * values[:10, None]).T
    cosines = rows @ rows.T / np.linalg.norm(rows, axis=1) / np.linalg.norm(rows, axis=1)[:, None]
    np.testing.assert_allclose(vectors[held] @ vectors[held].T, cosines, atol=1e-5)


def test_two_crowds_come_apart():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(100), 8)
    items = rng.integers(20, size=800) + 20 * (users % 2)
    vectors, _ = behaviour_view(users, items, np.ones(800, bool), 40, 4)
    cosines = vectors @ vectors.T
    side = np.arange(40) // 20
    same = side[:, None] == side
    assert cosines[same].mean() > 0.3 > 0.05 > cosines[~same].mean()


def test_tiny_catalogues_are_padded():
    vectors, present = behaviour_view(np.array([0, 1]), np.array([0, 0]), np.ones(2, bool), 2, 4)
    assert present.tolist() == [True, False] and vectors[0].tolist() == [1, 0, 0, 0]
    vectors, _ = behaviour_view(np.array([0, 1, 1]), np.array([0, 0, 1]), np.ones(3, bool), 2, 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_faults_are_named():
    one = np.array([0])
    with pytest.raises(InputError, match="No event is of training"):
        behaviour_view(one, one, np.array([False]), 3)
    with pytest.raises(InputError, match="item row 5"):
        behaviour_view(one, one + 5, np.array([True]), 3)
    with pytest.raises(InputError, match="pair up"):
        behaviour_view(one, one, np.array([True, True]), 3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_pairs_are_those_of_a_loop(seed, window):
    users, items, _ = events(seed, count=40, users=5, items=6)
    expected = []
    for user in range(5):
        row = items[users == user]
        for at in range(len(row)):
            expected += [(row[at], row[k]) for k in range(at + 1, min(at + 1 + window, len(row))) if row[k] != row[at]]
    found = co_interaction_pairs(users, items, window)
    assert sorted(map(tuple, found.tolist())) == sorted((int(a), int(b)) for a, b in expected)
    few = co_interaction_pairs(users, items, window, most=3)
    assert len(few) == min(3, len(expected)) and {tuple(p) for p in few.tolist()} <= {tuple(p) for p in found.tolist()}
