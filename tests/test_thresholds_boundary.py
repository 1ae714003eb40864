"""Thresholds, the adapter and refusing, against loops and other libraries."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from motherlode.errors import InputError, SettingError
from motherlode.thresholds.adapter import Adapter
from motherlode.thresholds.boundary import Boundary, measured, middles, tuned, wilson
from motherlode.thresholds.rejection import refuse_below, rejection


def test_middles_lie_between_the_bands():
    assert middles() == pytest.approx({1: (0.25 + 0.40) / 2, 2: (0.60 + 0.75) / 2})


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0, 1, 2])), min_size=1, max_size=30),
    st.sampled_from([1, 2]),
    st.sampled_from([0.5, 0.8, 0.95]),
)
def test_the_lowest_threshold_that_reaches_the_target(pairs, grade, target):
    scores, grades = (np.array(column) for column in zip(*pairs, strict=True))
    reaching = [level for level in np.unique(scores) if (grades[scores >= level] >= grade).mean() >= target - 1e-12]
    if not reaching:
        with pytest.raises(InputError, match="No threshold"):
            tuned(grade, target, scores, grades)
        return
    found = tuned(grade, target, scores, grades)
    assert found.threshold == min(reaching)
    shown = scores >= found.threshold
    assert found.precision == (grades[shown] >= grade).mean() and found.shown == shown.sum()
    assert found.recall == (shown & (grades >= grade)).sum() / (grades >= grade).sum()
    assert Boundary.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_nothing_shown_has_no_precision():
    found = measured(2, 5.0, "by hand", [0.1, 0.2], [2, 0])
    assert (found.precision, found.low, found.high, found.shown, found.recall) == (None, None, None, 0, 0.0)
    with pytest.raises(SettingError, match="no boundary"):
        measured(3, 0.5, "by hand", [0.1], [2])
    with pytest.raises(InputError, match="one finite score"):
        measured(1, 0.5, "by hand", [np.nan], [2])
    with pytest.raises(SettingError, match="precision"):
        tuned(1, 1.5, [0.1], [2])


@pytest.mark.parametrize(("share", "count"), [(0.9, 60), (0.5, 20), (0.97, 200)])
def test_wilson_holds_the_truth_as_often_as_it_says(share, count):
    hits = np.random.default_rng(0).binomial(count, share, size=4000)
    held = [low <= share <= high for low, high in (wilson(int(one), count) for one in hits)]
    assert 0.92 < np.mean(held) < 0.985
    # both ends solve |p - share| = z sqrt(p (1 - p) / n)
    low, high = wilson(37, 50)
    for end in (low, high):
        assert abs(end - 37 / 50) == pytest.approx(1.959964 * (end * (1 - end) / 50) ** 0.5, rel=1e-5)


def offset_pairs(n, seed):
    """A cosine whose meaning moves by +-0.2 with a feature of the query."""
    rng = np.random.default_rng(seed)
    broad = rng.integers(0, 2, n)
    scores = rng.uniform(0, 1, n)
    chance = 1 / (1 + np.exp(-20 * (scores - 0.5 - 0.2 * (2 * broad - 1))))
    grades = np.where(rng.random(n) < chance, 2, 0)
    return scores, grades, np.stack([broad, rng.normal(size=n)], axis=1).astype(float), chance


def test_the_adapter_finds_the_offset_and_beats_one_cosine_threshold():
    scores, grades, features, _ = offset_pairs(4000, 0)
    adapter = Adapter.fit(scores, grades, features, grade=2)
    # 0.4 of cosine between the two kinds of query, nothing for the feature that says nothing
    assert adapter.offsets[0] / adapter.scale[0] == pytest.approx(-0.4, abs=0.04)
    assert abs(adapter.offsets[1]) < 0.02
    scores, grades, features, chance = offset_pairs(4000, 1)
    np.testing.assert_allclose(np.abs(adapter(scores, features) - chance).mean(), 0, atol=0.03)
    plain, moved = tuned(2, 0.9, scores, grades), tuned(2, 0.9, adapter(scores, features), grades)
    assert moved.recall > plain.recall + 0.1
    again = Adapter.from_json(json.loads(json.dumps(adapter.to_json())))
    np.testing.assert_array_equal(again(scores, features), adapter(scores, features))


def test_the_adapter_never_turns_an_order_round_and_its_cosine_is_its_inverse():
    scores, grades, features, _ = offset_pairs(1000, 2)
    adapter = Adapter.fit(scores, grades, features, grade=2)
    grid = np.linspace(-1, 1, 400)
    for query in features[:5]:
        values = adapter(grid, query)
        assert (np.diff(values) >= 0).all()
        for probability in (0.2, 0.5, 0.9):
            cut = float(adapter.cosine(probability, query))
            assert adapter(cut + 1e-6, query) >= probability - 1e-6
            assert adapter(cut - 1e-3, query) < probability
        assert np.isinf(adapter.cosine(1.1, query))


def test_an_adapter_needs_both_kinds_and_a_rising_score():
    with pytest.raises(InputError, match="needs pairs"):
        Adapter.fit([0.1, 0.2], [2, 2], np.zeros((2, 1)), grade=1)
    scores, grades, features, _ = offset_pairs(500, 3)
    with pytest.raises(InputError, match="does not rise"):
        Adapter.fit(-scores, grades, features, grade=1)


def test_rejection_counts_what_a_loop_counts():
    rng = np.random.default_rng(0)
    has = rng.random(200) < 0.7
    best = np.where(has, 0.6, 0.4) + rng.normal(0, 0.15, 200)
    best[:3], has[:3] = -np.inf, False  # empty lists are refused
    found = rejection(best, has, 0.45)
    refused = [not score >= 0.45 for score in best]
    right = sum(r and not h for r, h in zip(refused, has, strict=True))
    assert found.precision == right / sum(refused)
    assert found.recall == right / sum(~has)
    assert found.lost == sum(r and h for r, h in zip(refused, has, strict=True)) / sum(has)
    assert found.auc == pytest.approx(roc_auc_score(has, np.maximum(best, -9)))
    assert (found.queries, found.empty) == (200, int((~has).sum()))
    assert rejection([0.5], [True], 0.1).precision is None


def test_refusing_costs_no_more_than_allowed_and_as_much_as_it_may():
    best = np.arange(50) / 50
    has = np.ones(50, dtype=bool)
    for lost in (0.0, 0.1, 0.33):
        cut = refuse_below(best, has, lost)
        assert (best < cut).mean() <= lost < (best <= cut).mean()
    with pytest.raises(InputError, match="No query"):
        refuse_below(best, ~has, 0.1)
