"""Calibration mends planted distortions, keeps its promises, and equals scikit-learn's isotonic curve."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression

from motherlode.errors import InputError, MissingError
from motherlode.evaluation.calibration_error import calibration_error
from motherlode.grading.calibration import KINDS, Calibration
from motherlode.grading.isotonic import isotonic


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities and the grades they gave."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([0.6, 0.6, 0.8], n)
    return true, (rng.random((n, 1)) > np.cumsum(true, axis=1)[:, :2]).sum(axis=1)


def sharpened(true: np.ndarray, power: float) -> np.ndarray:
    found = np.maximum(true, 1e-9) ** power
    return found / found.sum(axis=1, keepdims=True)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=60))
def test_the_curve_equals_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    values, outcomes = np.array(pairs, dtype=float).T
    x, y = isotonic(values, outcomes)
    assert (np.diff(x) > 0).all() and (np.diff(y) >= 0).all()
    new = np.linspace(-1, 13, 57)
    expected = IsotonicRegression(out_of_bounds="clip").fit(values, outcomes).predict(new)
    np.testing.assert_allclose(np.interp(new, x, y), expected, atol=1e-9)


def test_temperature_is_the_best_of_all() -> None:
    true, truth = drawn(4_000, 0)
    for power in (0.4, 1.0, 3.0):
        given_ = sharpened(true, power)
        logs = np.log(given_)

        def loss(temperature: float, logs: np.ndarray = logs) -> float:
            scaled = logs / temperature
            return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(truth)), truth]).mean())

        best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
        found = Calibration.fit(given_, truth, kind="temperature")
        assert found.temperature == pytest.approx(best, rel=1e-4)
        assert found.temperature == pytest.approx(power, rel=0.1)


def test_the_kind_that_fits_the_distortion_is_chosen_and_mends_it() -> None:
    true, truth = drawn(6_000, 1)
    fresh, fresh_truth = drawn(20_000, 2)
    # too sure by one factor: a temperature is all there is to learn
    sure = Calibration.fit(sharpened(true, 3), truth)
    assert sure.kind == "temperature"
    # a step no temperature can undo
    bent = lambda p: np.column_stack([p[:, 0] ** 3, p[:, 1], p[:, 2] ** 0.3])  # noqa: E731
    norm = lambda p: p / p.sum(axis=1, keepdims=True)  # noqa: E731
    crooked = Calibration.fit(norm(bent(true)), truth)
    assert crooked.kind in ("cumulative", "per_grade")
    for found, given_ in ((sure, sharpened(fresh, 3)), (crooked, norm(bent(fresh)))):
        before, after = calibration_error(given_, fresh_truth), calibration_error(found.apply(given_), fresh_truth)
        assert before["ece"] > 0.08 and after["ece"] < 0.02
        assert after["log_loss"] < before["log_loss"]
        assert set(found.losses) == set(KINDS) and found.losses[found.kind] == min(found.losses.values())


def test_true_probabilities_are_left_nearly_alone() -> None:
    true, truth = drawn(3_000, 3)
    found = Calibration.fit(true, truth)
    assert found.kind in ("none", "temperature")
    assert np.abs(found.apply(true) - true).max() < 0.03


@given(st.integers(0, 2**32), st.sampled_from(KINDS))
def test_what_comes_out_are_probabilities(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    given_ = np.round(rng.dirichlet([0.2, 0.2, 0.2], 80), 1)
    given_ /= given_.sum(axis=1, keepdims=True)
    truth = rng.integers(0, 3, 80)
    given_[7] = np.nan
    found = Calibration.fit(given_, truth, kind=kind)
    after = found.apply(given_)
    assert np.isnan(after[7]).all()
    after = np.delete(after, 7, axis=0)
    np.testing.assert_allclose(after.sum(axis=1), 1)
    assert (after >= 0).all()
    if kind in ("cumulative", "per_grade"):
        assert (after[:, np.unique(truth)] > 0).all()  # nothing seen once is called impossible
    if kind == "cumulative":  # the order of pairs by P(>= 2) is kept wherever P(>= 1) does not cap it
        before = np.delete(given_, 7, axis=0)
        order = np.argsort(before[:, 2], kind="stable")
        uncapped = np.interp(before[order, 2], *found.curves[1])
        assert (np.diff(uncapped) >= -1e-12).all()


def test_folds_keep_queries_whole() -> None:
    # every pair of a query has the same score and grade: where a query is split, a curve is tested on what it saw
    rng = np.random.default_rng(4)
    query = np.repeat(np.arange(100), 20)
    given_ = rng.dirichlet([1, 1, 1], 100)[query]
    truth = rng.integers(0, 3, 100)[query]
    split = Calibration.fit(given_, truth).losses["per_grade"]
    whole = Calibration.fit(given_, truth, query_ids=[f"q{one}" for one in query]).losses["per_grade"]
    assert split < np.log(3) < whole  # there is nothing to learn but the base rates
    assert whole > split + 0.05


def test_it_is_saved_whole_and_named(tmp_path: Path) -> None:
    true, truth = drawn(500, 5)
    names = set()
    for kind in KINDS:
        found = Calibration.fit(true, truth, kind=kind)
        found.save(tmp_path / "calibration.json")
        again = Calibration.load(tmp_path / "calibration.json")
        assert again == found and again.fingerprint == found.fingerprint
        np.testing.assert_array_equal(again.apply(true), found.apply(true))
        names.add(found.fingerprint)
    assert len(names) == len(KINDS)
    assert Calibration.fit(true[:400], truth[:400], kind="cumulative").fingerprint not in names


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 30"):
        Calibration.fit(np.full((10, 3), 1 / 3), np.arange(10) % 3)
    with pytest.raises(MissingError, match="is not there"):
        Calibration.load(tmp_path / "none.json")
    for words in ("{}", '{"kind": "magic"', '{"kind": "cumulative", "curves": [], "base": [], "n": 1}'):
        (tmp_path / "broken.json").write_text(words)
        with pytest.raises(InputError, match="holds no calibration"):
            Calibration.load(tmp_path / "broken.json")
