"""Which pairs are bought first: every order against a slow sort, and the measures against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from motherlode.errors import SettingError
from motherlode.mining.budget import (
    ORDERS,
    Offers,
    disagreement,
    first,
    grades_by_score,
    leg_ranks,
    spread,
    uncertainty,
)

SEEDS = st.integers(0, 2**32 - 1)


def offers(seed: int, n: int) -> Offers:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.5, 0.5, 0.5], n) if n else np.zeros((0, 3))
    return Offers(
        rng.integers(0, 4, n), rng.integers(0, 9, n), rng.integers(1, 12, (n, 3)), probabilities, rng.integers(0, 3, n)
    )


@given(SEEDS, st.integers(0, 40), st.sampled_from(sorted(ORDERS)))
def test_every_order_holds_every_offer_once_and_repeats(seed, n, name):
    offered = offers(seed, n)
    order = first(name, offered, 7)
    assert sorted(order.tolist()) == list(range(n))
    assert order.tolist() == first(name, offered, 7).tolist()


@given(SEEDS, st.integers(1, 40))
def test_the_simple_orders_fall_or_rise(seed, n):
    offered = offers(seed, n)
    assert (np.diff(offered.ranks[first("rank", offered, seed), 0]) >= 0).all()
    assert (np.diff(disagreement(offered.ranks)[first("disagreement", offered, seed)]) <= 0).all()
    assert (np.diff(uncertainty(offered.probabilities)[first("uncertainty", offered, seed)]) <= 1e-12).all()


@given(SEEDS, st.integers(1, 40), st.sampled_from(["spread", "mixed"]))
def test_no_cell_gives_a_second_before_all_have_given_a_first(seed, n, name):
    offered = offers(seed, n)
    seen: dict[tuple[int, int], int] = {}
    rounds = []
    for at in first(name, offered, seed):
        cell = (int(offered.queries[at]), int(offered.clusters[at]))
        seen[cell] = seen.get(cell, 0) + 1
        rounds.append(seen[cell])
    assert rounds == sorted(rounds)


def test_mixed_weighs_both_signals():
    ranks = np.array([[1, 100], [50, 60], [1, 100], [50, 60]])
    sure, torn = [0.98, 0.01, 0.01], [0.4, 0.3, 0.3]
    one = np.zeros(4, dtype=np.int64)
    order = first("mixed", Offers(one, one, ranks, np.array([sure, sure, torn, torn]), one), 0)
    assert order[0] == 2 and order[-1] == 1


def test_random_depends_on_the_seed_and_equals_come_in_random_order():
    offered = Offers(np.arange(30), np.arange(30), np.ones((30, 1), np.int64))
    orders = {tuple(first(name, offered, seed)) for name in ("random", "rank") for seed in range(3)}
    assert len(orders) == 3 and tuple(range(30)) not in orders


@given(SEEDS, st.integers(1, 30))
def test_measures_are_their_definitions(seed, n):
    offered = offers(seed, n)
    for ranks, found in zip(offered.ranks.tolist(), disagreement(offered.ranks), strict=True):
        assert found == pytest.approx(max(abs(math.log(a / b)) for a in ranks for b in ranks))
    for row, found in zip(offered.probabilities.tolist(), uncertainty(offered.probabilities), strict=True):
        assert found == pytest.approx(-sum(p * math.log(p) for p in row if p > 0))
    values = np.random.default_rng(seed).permutation(n).astype(np.float64)
    found = spread(values, offered.queries, offered.clusters)
    for at in range(n):
        cell = (offered.queries == offered.queries[at]) & (offered.clusters == offered.clusters[at])
        assert found[at] == (values[cell] > values[at]).sum()


@given(SEEDS, st.integers(0, 6), st.integers(1, 8), st.integers(0, 20))
def test_ranks_in_a_leg(seed, depth, queries, n):
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(12)[:depth] for _ in range(queries)]).reshape(queries, depth)
    rows[rng.random(rows.shape) < 0.2] = -1
    asked, items = rng.integers(0, queries, n), rng.integers(0, 15, n)
    expected = [
        rows[query].tolist().index(item) + 1 if item in rows[query] else depth + 1
        for query, item in zip(asked, items, strict=True)
    ]
    assert leg_ranks(rows, asked, items).tolist() == expected


def test_probabilities_by_score_are_isotonic_fits():
    rng = np.random.default_rng(3)
    known = rng.random(400)
    grades = (rng.random(400) < known).astype(np.int8) + (rng.random(400) < known**2)
    scores = rng.random(50)
    found = grades_by_score(known, grades.astype(np.int8), scores)
    for least, column in ((1, found[:, 1:].sum(axis=1)), (2, found[:, 2])):
        fit = IsotonicRegression(out_of_bounds="clip").fit(known, grades >= least)
        np.testing.assert_allclose(column, fit.predict(scores), atol=1e-9)
    assert (found > -1e-12).all() and np.allclose(found.sum(axis=1), 1)
    assert np.allclose(grades_by_score(np.zeros(0), np.zeros(0, np.int8), scores), 1 / 3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("best", "no order 'best'"),
        ("disagreement", "second one"),
        ("uncertainty", "probabilities"),
        ("spread", "clusters"),
    ],
)
def test_what_an_order_lacks_is_said(name, said):
    with pytest.raises(SettingError, match=said):
        first(name, Offers(np.arange(2), np.arange(2), np.ones((2, 1), np.int64)), 0)
