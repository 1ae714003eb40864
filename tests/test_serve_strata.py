"""Strata of scores: against slow loops over the pairs, and what a damaged file comes to."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError
from motherlode.serve.strata import FILE, Strata, fit_strata


def pairs(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, count])
    grades = rng.integers(0, 3, count)
    return np.round(np.clip(0.2 + 0.25 * grades + 0.15 * rng.standard_normal(count), -1, 1), 3), grades


def test_boundaries_are_the_lowest_scores_that_reach_the_precision() -> None:
    scores, grades = pairs()
    found = fit_strata(scores, grades, precision=0.75, weights="w")
    for grade in (1, 2):
        reached = [t for t in set(scores.tolist()) if (grades[scores >= t] >= grade).mean() >= 0.75]
        assert found.threshold(grade) == min(reached)
        assert found.boundaries[grade].how == "precision 0.75"
    assert found.threshold(0) == -np.inf and found.weights == "w" and found.pairs == len(scores)


def test_the_curve_says_what_is_at_or_above_each_threshold() -> None:
    scores, grades = pairs()
    found = fit_strata(scores, grades)
    assert len(found.curve) > 50 and found.curve[0][3] == 1.0
    assert [row[0] for row in found.curve] == sorted({row[0] for row in found.curve})
    for threshold, relevant, best, share in found.curve:
        shown = scores >= threshold
        assert share == pytest.approx(shown.mean())
        assert relevant == pytest.approx((grades[shown] >= 1).mean())
        assert best == pytest.approx((grades[shown] == 2).mean())


def test_expected_precision_is_the_isotonic_fit() -> None:
    from sklearn.isotonic import IsotonicRegression

    scores, grades = pairs()
    found = fit_strata(scores, grades)
    wanted = IsotonicRegression(out_of_bounds="clip").fit(scores, grades >= 1)
    asked = np.linspace(-0.5, 1.5, 301)
    np.testing.assert_allclose([found.expected_precision(x) for x in asked], wanted.predict(asked), atol=1e-9)


def test_with_queries_a_promise_where_there_is_one() -> None:
    scores, grades = pairs(6_000)
    queries = np.repeat(np.arange(600), 10)
    found = fit_strata(scores, grades, queries, precision=0.8)
    assert found.boundaries[1].how == "learn then test 0.8"
    assert found.threshold(1) >= fit_strata(scores, grades, precision=0.8).threshold(1)  # a promise costs
    few = fit_strata(scores[:20], grades[:20], queries[:20], precision=0.8)
    assert few.boundaries[1].how == "precision 0.8"  # so few queries prove nothing


def test_where_no_score_reaches_the_precision_the_middles_of_the_bands_stand() -> None:
    found = fit_strata([0.9, 0.8, 0.1], [0, 0, 1])
    assert (found.threshold(1), found.threshold(2)) == (0.325, 0.675)
    assert found.boundaries[1].how == "band middle"
    with pytest.raises(InputError):
        fit_strata([], [])
    with pytest.raises(InputError):
        fit_strata([0.5, np.nan], [0, 1])


def test_grade_2_is_never_below_grade_1() -> None:
    # all that is of grade 1 or more is of grade 2
    found = fit_strata([0.1, 0.2, 0.3, 0.4], [0, 2, 2, 2], precision=0.9)
    assert found.threshold(1) == found.threshold(2) == 0.2
    assert [found.grade(score) for score in (0.19, 0.2, 0.9)] == [0, 2, 2]


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 2)), min_size=1, max_size=60))
def test_more_score_is_never_less(rows: list[tuple[float, int]]) -> None:
    scores, grades = zip(*rows, strict=True)
    found = fit_strata(scores, grades)
    asked = np.sort([*scores, -2.0, 2.0, 0.0])
    strata = [found.grade(score) for score in asked]
    expected = [found.expected_precision(score) for score in asked]
    assert strata == sorted(strata) and all(b >= a - 1e-12 for a, b in pairwise(expected))
    assert all(0 <= share <= 1 for share in expected)
    assert Strata.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_kept_beside_the_index(tmp_path) -> None:
    assert Strata.load(tmp_path) is None
    found = fit_strata(*pairs())
    assert found.save(tmp_path) == tmp_path / FILE and Strata.load(tmp_path) == found
    good = found.to_json()
    second, first = good["boundaries"][::-1]
    for damaged in (
        good | {"format": 2},
        good | {"boundaries": good["boundaries"][:1]},
        good | {"boundaries": [first | {"threshold": 2.0}, second]},
        good | {"knots": []},
        good | {"knots": [[0.5, 0.1], [0.4, 0.2]]},
        good | {"knots": [[0.4, 0.2], [0.5, 0.1]]},
        good | {"curve": [[0.1, 0.2]]},
        good | {"weights": 3},
        [],
        {},
    ):
        (tmp_path / FILE).write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=r"thresholds\.json"):
            Strata.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(InputError):
        Strata.load(tmp_path)
