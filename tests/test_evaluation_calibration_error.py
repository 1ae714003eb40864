"""Calibration figures against scikit-learn, scipy and slow loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss as sklearn_log_loss

from motherlode.evaluation.calibration_error import calibration_error, reliability, wilson


def case(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = np.round(rng.dirichlet([0.7, 0.9, 1.2], n), 2)  # with ties, and with exact edges of bins
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, rng.integers(0, 3, n)


@given(st.integers(0, 2**32), st.sampled_from([3, 10, 15]), st.booleans())
def test_curves_equal_scikit_learn(seed: int, bins: int, equal_mass: bool) -> None:
    probabilities, truth = case(seed)
    strategy = "quantile" if equal_mass else "uniform"
    for grade, curve in enumerate(reliability(probabilities, truth, bins, equal_mass=equal_mass)):
        share, mean = calibration_curve(truth == grade, probabilities[:, grade], n_bins=bins, strategy=strategy)
        np.testing.assert_allclose([one["share"] for one in curve], share)
        np.testing.assert_allclose([one["mean"] for one in curve], mean)
        assert sum(one["n"] for one in curve) == len(truth)
        for one in curve:
            assert one["low"] - 1e-12 <= one["mean"] <= one["high"] + 1e-12
            assert one["least"] <= one["share"] <= one["most"]


def test_summary_equals_loops() -> None:
    probabilities, truth = case(1, 150)
    found = calibration_error(probabilities, truth, bins=10)
    confidence = probabilities.max(axis=1)
    total = 0.0
    for low in np.arange(10) / 10:
        inside = [i for i, one in enumerate(confidence) if low < one <= low + 0.1 + 1e-15]
        if inside:
            right = np.mean([probabilities[i].argmax() == truth[i] for i in inside])
            total += len(inside) / 150 * abs(right - np.mean(confidence[inside]))
    assert found["ece"] == pytest.approx(total)
    brier = np.mean([sum((p[g] - (g == t)) ** 2 for g in range(3)) for p, t in zip(probabilities, truth, strict=True)])
    assert found["brier"] == pytest.approx(brier)
    clipped = np.clip(probabilities, 1e-12, 1)
    clipped /= clipped.sum(axis=1, keepdims=True)
    assert found["log_loss"] == pytest.approx(sklearn_log_loss(truth, clipped, labels=[0, 1, 2]))


def test_the_error_is_small_where_probabilities_are_true_and_known_where_they_are_not() -> None:
    rng = np.random.default_rng(2)
    true = rng.dirichlet([1, 1, 1], 60_000)
    truth = (rng.random((60_000, 1)) > np.cumsum(true, axis=1)).sum(axis=1)
    good = calibration_error(true, truth)
    assert good["ece"] < 0.01 and good["ece_mass"] < 0.01
    assert all(one["ece"] < 0.01 and one["ece_mass"] < 0.01 for one in good["grades"])
    # one that always says 0.9 for grade 1 and is right a third of the time is off by 0.9 - 1/3
    sure = np.tile([0.05, 0.9, 0.05], (30_000, 1))
    off = calibration_error(sure, np.arange(30_000) % 3)
    assert off["ece"] == pytest.approx(0.9 - 1 / 3) and off["ece_mass"] == pytest.approx(0.9 - 1 / 3)


@given(st.integers(1, 500), st.floats(0, 1))
def test_wilson_equals_scipy(n: int, share: float) -> None:
    hits = int(share * n)
    low, high = wilson([hits], [n])
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert low[0] == pytest.approx(expected.low, abs=1e-9) and high[0] == pytest.approx(expected.high, abs=1e-9)


def test_rows_without_an_answer_are_left_out() -> None:
    probabilities, truth = case(3, 50)
    holes = np.vstack([probabilities, np.full((5, 3), np.nan)])
    with_holes = calibration_error(holes, np.append(truth, np.zeros(5, int)))
    assert with_holes == calibration_error(probabilities, truth)
    assert calibration_error(holes[50:], np.zeros(5, int))["ece"] is None
    assert reliability(holes[50:], np.zeros(5, int), equal_mass=True) == [[], [], []]
    assert [float(end[0]) for end in wilson([0], [0])] == [0, 1]
    with pytest.raises(ValueError, match="grades 0 to 2"):
        calibration_error(probabilities, truth + 1)
