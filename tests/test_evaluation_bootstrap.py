"""The paired bootstrap against a slow loop, and whether its intervals hold what they promise."""

import numpy as np
import pytest

from motherlode.evaluation import bootstrap, paired_bootstrap


def slow(values: np.ndarray, baseline: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    """One column, one resample at a time."""
    rng = np.random.default_rng(seed)
    known = ~(np.isnan(values) | np.isnan(baseline))
    deltas, relatives = [], []
    for _ in range(resamples):
        drawn = rng.integers(0, len(values), len(values))
        kept = drawn[known[drawn]]
        if len(kept):
            value, base = values[kept].mean(), baseline[kept].mean()
            deltas.append(value - base)
            relatives.append(value / base - 1)
    one_sided = min(sum(d <= 0 for d in deltas), sum(d >= 0 for d in deltas))
    return {
        "low": np.percentile(deltas, 2.5),
        "high": np.percentile(deltas, 97.5),
        "relative_low": np.percentile(relatives, 2.5),
        "relative_high": np.percentile(relatives, 97.5),
        "p": min(1.0, 2 * (1 + one_sided) / (1 + len(deltas))),
    }


def test_equals_a_loop_and_does_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    baseline = rng.random((40, 3))
    values = baseline + rng.normal(0.03, 0.1, (40, 3))
    values[:7, 1] = np.nan
    baseline[5:9, 2] = np.nan
    found = paired_bootstrap(values, baseline, resamples=300, seed=11)
    for column, figures in enumerate(found):
        known = ~np.isnan(values[:, column] - baseline[:, column])
        assert figures["n"] == known.sum()
        assert figures["delta"] == pytest.approx((values - baseline)[known, column].mean())
        assert figures["relative"] == pytest.approx(values[known, column].mean() / baseline[known, column].mean() - 1)
        for name, value in slow(values[:, column], baseline[:, column], 300, 11).items():
            assert figures[name] == pytest.approx(value), name
    monkeypatch.setattr(bootstrap, "_CHUNK_CELLS", 40 * 7)
    in_chunks = paired_bootstrap(values, baseline, resamples=300, seed=11)
    assert [list(figures.values()) for figures in in_chunks] == [
        pytest.approx(list(figures.values())) for figures in found
    ]


def test_intervals_cover_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(5)
    truth, trials = 0.1, 400
    # one column a trial: independent experiments of 80 queries each
    baseline = rng.normal(0.5, 0.2, (80, trials))
    found = paired_bootstrap(baseline + rng.normal(truth, 0.3, (80, trials)), baseline, resamples=1000, seed=1)
    covered = np.mean([figures["low"] <= truth <= figures["high"] for figures in found])
    assert 0.91 < covered < 0.98  # 0.95 +- 2.5 standard errors of 400 trials, and the known slight shortfall at n = 80


def test_p_is_uniform_under_no_difference_and_small_under_a_real_one() -> None:
    rng = np.random.default_rng(6)
    baseline = rng.normal(0.5, 0.2, (80, 300))
    none = paired_bootstrap(baseline + rng.normal(0, 0.3, (80, 300)), baseline, resamples=1000)
    assert 0.02 < np.mean([figures["p"] < 0.05 for figures in none]) < 0.09
    real = paired_bootstrap(baseline[:, :1] + 0.2, baseline[:, :1], resamples=1000)[0]
    assert real["p"] == pytest.approx(2 / 1001)


def test_p_and_interval_agree() -> None:
    rng = np.random.default_rng(7)
    baseline = rng.random((60, 100))
    for figures in paired_bootstrap(baseline + rng.normal(0.05, 0.2, (60, 100)), baseline, resamples=2000):
        outside = figures["low"] > 0 or figures["high"] < 0
        assert outside == (figures["p"] < 0.05) or abs(figures["p"] - 0.05) < 0.003


def test_equal_systems_have_no_difference() -> None:
    values = np.random.default_rng(8).random((30, 1))
    figures = paired_bootstrap(values, values, resamples=200)[0]
    assert (figures["delta"], figures["low"], figures["high"], figures["p"]) == (0, 0, 0, 1)


@pytest.mark.filterwarnings("error")
def test_what_has_no_meaning_is_none() -> None:
    one = paired_bootstrap(np.array([[0.5], [np.nan]]), np.array([[0.4], [0.2]]), resamples=50)[0]
    assert one["delta"] == pytest.approx(0.1) and one["n"] == 1
    assert one["low"] is one["high"] is one["p"] is one["relative_low"] is None
    zero = paired_bootstrap(np.array([[0.5], [0.7]]), np.zeros((2, 1)), resamples=50)[0]
    assert zero["relative"] is zero["relative_low"] is None and zero["low"] is not None
    none = paired_bootstrap(np.full((3, 1), np.nan), np.zeros((3, 1)), resamples=50)[0]
    assert none == dict.fromkeys(none, None) | {"n": 0}
