"""iALS and RG2 against slow sums written from their equations, and on rings that a factorisation must find."""

import itertools

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from motherlode.errors import SettingError
from motherlode.recommend.evaluate import evaluate
from motherlode.recommend.holdout import leave_last
from motherlode.recommend.least_squares import LeastSquares, ials, rg2
from recommend_case import world

RNG = np.random.default_rng(3)
TAKEN = RNG.random((9, 7)) < 0.4
TAKEN[0], TAKEN[:, 0] = False, False  # a user and an item without an event
SEEN = csr_matrix(TAKEN.astype(np.float32))


def slow_ials(users, items, weight, ridge):
    """Σ_taken (1 - s)² + weight Σ_all s² + ridges, cell by cell."""
    total = 0.0
    for u, user in enumerate(users):
        for i, item in enumerate(items):
            score = float(user @ item)
            total += weight * score**2 + (1 - score) ** 2 * TAKEN[u, i]
    for u, user in enumerate(users):
        total += ridge * (TAKEN[u].sum() + weight * len(items)) * float(user @ user)
    for i, item in enumerate(items):
        total += ridge * (TAKEN[:, i].sum() + weight * len(users)) * float(item @ item)
    return total / 2


def slow_rg2(users, items, pull, ridge, cut=0.0):
    """Half the sum over what was taken of -s + mean s + half the mean s², the pull and the ridges."""
    total, n = 0.0, len(items)
    for u, user in enumerate(users):
        scores = [float(user @ item) for item in items]
        for i in range(n):
            if TAKEN[u, i]:
                total += -scores[i] + sum(scores) / n + (1 - cut) * sum(s**2 for s in scores) / (2 * n)
                total += pull * (1 - scores[i]) ** 2
        total += ridge * (TAKEN[u].sum() / 2 + pull * n + 1e-6) * float(user @ user)
    for i, item in enumerate(items):
        total += ridge * (TAKEN[:, i].sum() / 2 + pull * len(users) + 1e-6) * float(item @ item)
    return total / 2


CASES = {
    "ials": (lambda rounds: ials(0.2, 0.05, factors=3, iterations=rounds), lambda u, i: slow_ials(u, i, 0.2, 0.05)),
    "rg2": (lambda rounds: rg2(7, 0.3, 0.05, factors=3, iterations=rounds), lambda u, i: slow_rg2(u, i, 0.3, 0.05)),
    "rgx": (
        lambda rounds: rg2(7, 0.3, 0.05, 0.4, factors=3, iterations=rounds),
        lambda u, i: slow_rg2(u, i, 0.3, 0.05, 0.4),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_objective_is_the_slow_sum_and_never_rises(name):
    make, slow = CASES[name]
    values = []
    for rounds in (1, 2, 3, 5, 9, 20):
        users, items = make(rounds).fit(SEEN)
        values.append(slow(users, items))
        assert make(1).objective(SEEN, users, items) == pytest.approx(values[-1], rel=1e-9)
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(values))


@pytest.mark.parametrize("name", CASES)
def test_after_many_rounds_no_step_of_either_side_lowers_the_slow_sum(name):
    make, slow = CASES[name]
    users, items = make(2_000).fit(SEEN)
    step = 1e-5
    for side in (users, items):
        for place in np.ndindex(side.shape):
            kept = side[place]
            side[place] = kept + step
            above = slow(users, items)
            side[place] = kept - step
            below = slow(users, items)
            side[place] = kept
            assert abs(above - below) / (2 * step) < 1e-5


def test_the_rg2_sum_is_the_softmax_loss_to_second_order_but_for_the_square_of_the_mean():
    # -log softmax at small scores: -s_i + log N + mean s + half the variance of s; RG2 keeps half the mean square of it
    scores = 1e-3 * RNG.normal(size=7)
    exact = -scores[2] + np.log(np.exp(scores).sum())
    second = -scores[2] + np.log(7) + scores.mean() + (scores**2).mean() / 2 - scores.mean() ** 2 / 2
    assert exact == pytest.approx(second, abs=1e-9)


@pytest.mark.parametrize("model", [ials(0.1, 0.01, factors=16), rg2(63, 0.5, 0.001, factors=16)])
def test_the_rings_are_found(model):
    split = leave_last(world())
    found = evaluate(split.test, model.scorer(split.train, split.test), cutoffs=(10,)).means["recall@10"]
    assert found > 0.9


def test_users_are_told_by_their_history_alone():
    split = leave_last(world())
    model = ials(factors=8)
    first = model.scorer(split.train, split.test)(0, 5)
    assert np.array_equal(first, model.scorer(split.train, split.test)(0, 5))
    assert not np.allclose(first, model.scorer(split.train, split.validation)(0, 5))


@pytest.mark.parametrize(
    "make", [lambda: ials(0), lambda: ials(ridge=0), lambda: rg2(5, -1), lambda: rg2(5, cut=1), lambda: ials(factors=0)]
)
def test_settings_that_cannot_be_are_refused(make):
    with pytest.raises(SettingError):
        make()


def test_the_class_takes_any_law():
    model = LeastSquares(lambda n: n * 0 + 1, 0.0, 0.0, 1.0, lambda n, _: n * 0 + 0.1, factors=2, iterations=1)
    users, items = model.fit(SEEN)
    assert users.shape == (9, 2) and items.shape == (7, 2)
