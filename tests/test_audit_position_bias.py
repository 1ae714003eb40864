"""Examination by place: order restrictions against scikit-learn, the fit against a Poisson regression and the truth."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import PoissonRegressor

from motherlode.audit.monotone import falling, rising
from motherlode.audit.position_bias import examination
from motherlode.tables.rules import by_row
from motherlode.tables.schema import SCHEMAS

ATTRACTION = np.array([0.04, 0.2, 0.4])


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 9)), min_size=1, max_size=30))
def test_order_restricted_fits_equal_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    values, weights = np.array(pairs).T
    theirs = IsotonicRegression(increasing=False).fit_transform(np.arange(len(values)), values, sample_weight=weights)
    np.testing.assert_allclose(falling(values, weights), theirs, atol=1e-9)
    np.testing.assert_allclose(rising(values, weights), falling(values[::-1], weights[::-1])[::-1], atol=1e-9)


def simulated(seed: int, n: int, shown: int) -> tuple[np.ndarray, ...]:
    """Good items stand higher; what is clicked depends on place and grade."""
    rng = np.random.default_rng(seed)
    position = rng.integers(1, 21, n).astype(float)
    grade = rng.binomial(2, 0.8 - 0.03 * position)
    impressions = rng.integers(1, shown, n).astype(float)
    clicks = rng.poisson(impressions * position**-0.8 * ATTRACTION[grade]).astype(float)
    return clicks, impressions, position, grade


def test_examination_is_found_although_good_items_stand_higher() -> None:
    clicks, impressions, position, grade = simulated(0, 20_000, 400)
    truth = np.arange(1, 21) ** -0.8
    found = examination(clicks, impressions, position, grade)
    np.testing.assert_allclose(found(np.arange(1.0, 21.0)), truth, rtol=0.06)
    assert (np.diff(found.values) <= 0).all() and found.values[0] == 1
    # without strata the good items' own clicks pass for the place's
    blind = examination(clicks, impressions, position, np.zeros(len(grade), dtype=np.int64))
    assert blind(np.array([20.0]))[0] < 0.8 * truth[-1]


def test_the_fit_is_the_poisson_maximum() -> None:
    clicks, impressions, position, grade = simulated(1, 6_000, 3_000)
    found = examination(clicks, impressions, position, grade)
    assert (np.diff(found.values) < 0).all()  # no place was pooled with another, so the maximum is the free one
    columns = np.concatenate([np.eye(21)[position.astype(int)][:, 2:], np.eye(3)[grade]], axis=1)
    model = PoissonRegressor(alpha=0, fit_intercept=False, tol=1e-8, max_iter=2_000, solver="newton-cholesky")
    model.fit(columns, clicks / impressions, sample_weight=impressions)
    np.testing.assert_allclose(found.values[1:], np.exp(model.coef_[:19]), rtol=1e-4)


def test_unknown_positions_have_the_average_and_none_known_corrects_nothing() -> None:
    clicks, impressions, position, grade = simulated(2, 5_000, 100)
    position[:1_000] = np.nan
    found = examination(clicks, impressions, position, grade)
    seen = found(position[1_000:])
    assert found(np.array([np.nan]))[0] == pytest.approx((impressions[1_000:] * seen).sum() / impressions[1_000:].sum())
    nothing = examination(clicks, impressions, np.full(5_000, np.nan), grade)
    assert (nothing(position) == 1).all()


def test_deep_pages_share_groups_of_places_and_empty_places_their_upper_neighbour() -> None:
    rng = np.random.default_rng(3)
    position = rng.choice([1.0, 2.0, 4.0, 7.4, 60.0, 75.0, 300.0], 3_000)
    impressions = np.full(3_000, 500.0)
    clicks = rng.poisson(impressions * 0.3 / position).astype(float)
    clicks[position == 300] = 0
    found = examination(clicks, impressions, position, np.zeros(3_000, dtype=np.int64))
    at = found(np.array([1.0, 2.0, 3.0, 4.0, 7.0, 60.0, 300.0, 5_000.0]))
    assert at[1] == at[2] == pytest.approx(1 / 2, rel=0.05)
    assert at[4] == pytest.approx(1 / 7.4, rel=0.1)
    assert 0 < at[6] == at[7] < at[5]
    assert len(found.firsts) <= 30


def test_a_position_above_the_page_is_a_fault() -> None:
    columns = {"query_id": ["a"] * 3, "item_id": ["b"] * 3, "position": [1.0, 0.5, None]}
    frame = pl.DataFrame(columns | {name: [5] * 3 for name in ("impressions", "clicks", "adds", "purchases")})
    faults = {
        fault.kind: fault.at.tolist() for fault in by_row("engagement", frame.select(SCHEMAS["engagement"].names))
    }
    assert faults["position below one"] == [1]
