"""The baselines against an exhaustive search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.grading.threshold_baseline import fit_thresholds, majority_baseline, threshold_baseline

few = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), min_size=1, max_size=25)


@given(few)
def test_thresholds_are_the_best_of_all(pairs: list[tuple[int, int]]) -> None:
    scores, grades = np.array(pairs, dtype=float).T
    grades = grades.astype(int)
    cuts = [-np.inf, *(np.unique(scores) + 0.5), np.inf]
    best = max(
        np.mean((scores >= low).astype(int) + (scores >= high) == grades)
        for low in cuts
        for high in cuts
        if low <= high
    )
    low, high, accuracy = fit_thresholds(scores, grades)
    assert low <= high and accuracy == pytest.approx(best)
    assert np.mean((scores >= low).astype(int) + (scores >= high) == grades) == pytest.approx(best)


def test_a_cut_lies_between_scores_and_generalises() -> None:
    low, high, accuracy = fit_thresholds(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, 2]))
    assert (low, high, accuracy) == (2.5, 3.5, 1.0)


def test_a_blend_beats_its_parts_and_keeps_to_the_training_scale() -> None:
    rng = np.random.default_rng(0)
    quality = rng.normal(size=6_000)
    grades = np.digitize(quality, [-0.6, 0.5])
    # the same signal on scales 200 times apart, each with its own noise
    scores = np.column_stack([20 * (quality + rng.normal(size=6_000)), 0.1 * (quality + rng.normal(size=6_000))])
    train, test = slice(0, 4_000), slice(4_000, None)
    blend = np.mean(threshold_baseline(scores[train], grades[train], scores[test]) == grades[test])
    alone = [
        np.mean(threshold_baseline(scores[train, k], grades[train], scores[test, k]) == grades[test]) for k in (0, 1)
    ]
    assert blend > max(alone) + 0.03
    ideal = threshold_baseline(quality[train], grades[train], quality[test])
    assert np.mean(ideal == grades[test]) > 0.99
    one = threshold_baseline(scores[train], grades[train], scores[4_000:4_001])
    assert one.tolist() == threshold_baseline(scores[train], grades[train], scores[test])[:1].tolist()


def test_majority_and_faults() -> None:
    assert majority_baseline([2, 1, 1, 0], 3).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="finite"):
        threshold_baseline([1.0, np.nan], [0, 1], [1.0])
