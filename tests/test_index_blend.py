"""Both blends equal a loop over dictionaries, whatever the lists hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.index.blend import convex, convex_pairs, shared, simplex, tune_alpha, weighted
from motherlode.index.candidates import Candidates, best


@st.composite
def legs(draw, count=2):
    """Some legs of lists over a dozen items: empty, constant, tied and negative ones among them."""
    queries = draw(st.integers(1, 3))

    def leg():
        width = draw(st.integers(1, 6))
        lists = [draw(st.dictionaries(st.integers(0, 11), st.integers(-4, 4), max_size=width)) for _ in range(queries)]
        rows = np.full((queries, width), -1)
        scores = np.zeros((queries, width))
        for number, found in enumerate(lists):
            rows[number, : len(found)] = list(found)
            scores[number, : len(found)] = np.array(list(found.values())) / 4
        return best(scores, rows, width)

    return tuple(leg() for _ in range(count))


def lists(leg):
    for scores, rows in zip(*leg, strict=True):
        yield [(int(row), float(score)) for row, score in zip(rows, scores, strict=True) if row >= 0]


def scaled(found):
    low, high = min((s for _, s in found), default=0), max((s for _, s in found), default=0)
    return {row: (score - low) / (high - low) if high > low else 1.0 for row, score in found}


def check(blended, expected, k):
    for got, want in zip(lists(blended), expected, strict=True):
        order = sorted(want.items(), key=lambda pair: (-np.float32(pair[1]), pair[0]))[:k]
        assert [row for row, _ in got] == [row for row, _ in order]
        np.testing.assert_allclose([s for _, s in got], [s for _, s in order], rtol=1e-6)


@given(legs(), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(1, 15))
def test_convex_is_the_slow_loop(pair, alpha, k):
    expected = []
    for dense, lexical in zip(*map(lists, pair), strict=True):
        a, b = scaled(dense), scaled(lexical)
        expected.append({row: alpha * a.get(row, 0) + (1 - alpha) * b.get(row, 0) for row in a | b})
    blended = convex(*pair, alpha, k)
    assert blended.rows.shape == (len(expected), k)
    assert blended.scores.dtype == np.float32 and blended.rows.dtype == np.int64
    check(blended, expected, k)


@given(st.integers(1, 4).flatmap(lambda count: legs(count)), st.integers(0, 9), st.integers(1, 15))
def test_any_number_of_legs_is_the_slow_loop(several, seed, k):
    weights = np.random.default_rng(seed).integers(0, 5, len(several)) / 4
    expected = []
    for found in zip(*map(lists, several), strict=True):
        own = [scaled(one) for one in found]
        rows = set().union(*own)
        expected.append({row: sum(w * one.get(row, 0) for w, one in zip(weights, own, strict=True)) for row in rows})
    check(weighted(several, weights.tolist(), k), expected, k)


def test_weights_are_whole_steps_that_sum_to_one():
    assert simplex(2)[:2] == [(0.0, 1.0), (0.05, 0.95)] and len(simplex(2)) == 21
    assert len(simplex(3)) == len(set(simplex(3))) == 66 and {round(sum(one), 9) for one in simplex(3)} == {1.0}
    assert shared(0.4, 2) == (0.4, 0.6) and shared(0.4, 3) == (0.4, 0.3, 0.3)


@given(legs(), st.sampled_from([0.0, 0.3, 1.0]))
def test_pairs_score_as_in_the_list(pair, alpha):
    dense, lexical = pair
    blended = convex(dense, lexical, alpha, 12)
    rows, own, indptr = [], ([], []), [0]
    for number, found in enumerate(lists(blended)):
        for row, _ in found:
            rows.append((number, row))
            for leg, scores in zip(pair, own, strict=True):
                held = dict(list(lists(leg))[number])
                scores.append(held.get(row, -9.0 if held else 0.0))  # below the list; 0 where nothing matches
        indptr.append(len(rows))
    got = convex_pairs(dense, lexical, np.array(own[0], "f"), np.array(own[1], "f"), np.array(indptr), alpha)
    expected = [dict(found) for found in lists(blended)]
    held = [scores_of(pair, number, row) for number, row in rows]
    for value, (number, row), (in_dense, in_lexical) in zip(got, rows, held, strict=True):
        if (in_dense or not list(lists(dense))[number]) and (in_lexical or not list(lists(lexical))[number]):
            assert value == pytest.approx(expected[number][row], rel=1e-6)
        assert value <= expected[number][row] + 1e-6


def scores_of(pair, number, row):
    return [row in dict(list(lists(leg))[number]) for leg in pair]


def test_alpha_follows_the_better_leg():
    right = Candidates(np.array([[3, 2, 1]], "f"), np.array([[0, 1, 2]]))
    wrong = Candidates(np.array([[3, 2, 1]], "f"), np.array([[2, 1, 0]]))

    def first(found):
        return float(found.rows[0, 0] == 0)

    alpha, tried = tune_alpha(right, wrong, first, 3)
    assert alpha == 0.5 and len(tried) == 21  # at 0.5 all three tie, and row 0 comes first
    assert tune_alpha(wrong, right, first, 3)[0] == 0.0
    assert {value for weight, value in tried.items() if weight < 0.5} == {0.0}
