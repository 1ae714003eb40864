"""Drift is seen where there is some, and seldom where there is none."""

import json

import numpy as np
import pytest
from scipy.stats import ks_2samp

from motherlode.errors import InputError
from motherlode.thresholds.drift import compare, histogram, precision_alarm


def pair(first, second):
    reference = histogram(first, "v1")
    return reference, histogram(second, "v2", reference["edges"])


def test_a_histogram_counts_every_score_once_and_is_json():
    scores = np.random.default_rng(0).normal(size=1000)
    found = histogram(scores, "v1")
    edges = [-np.inf, *found["edges"], np.inf]
    counts = [int(((scores >= low) & (scores < high)).sum()) for low, high in zip(edges[:-1], edges[1:], strict=True)]  # noqa: RUF007
    assert found["counts"] == counts and sum(counts) == found["n"] == 1000
    assert max(counts) - min(counts) <= 1  # 20-quantiles
    assert json.loads(json.dumps(found)) == found
    with pytest.raises(InputError, match="no scores"):
        histogram([], "v1")


def test_psi_and_ks_are_their_formulas():
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1, 2000), rng.normal(0.4, 1.2, 1500)
    reference, fresh = pair(first, second)
    found = compare(reference, fresh)
    psi = 0.0
    for a, b in zip(reference["counts"], fresh["counts"], strict=True):
        r, f = (a + 0.5) / (2000 + 10), (b + 0.5) / (1500 + 10)
        psi += (f - r) * np.log(f / r)
    assert found["psi"] == pytest.approx(psi)
    exact = ks_2samp(first, second).statistic
    assert exact - 0.05 <= found["ks"] <= exact + 1e-12
    # the limit is where the asymptotic p-value is 0.001
    at_limit = np.exp(-2 * found["ks limit"] ** 2 * 2000 * 1500 / 3500) * 2
    assert at_limit == pytest.approx(0.001)
    assert found["state"] == "alarm"


def test_states_rise_with_the_shift_and_rarely_cry_wolf():
    rng = np.random.default_rng(2)
    first = rng.normal(size=3000)
    states = [compare(*pair(first, rng.normal(shift, 1, 3000)))["state"] for shift in (0.0, 0.2, 0.8)]
    assert states == ["stable", "watch", "alarm"]
    quiet = [compare(*pair(rng.normal(size=1000), rng.normal(size=1000)))["state"] for _ in range(200)]
    assert quiet.count("stable") >= 198
    # few scores: chance alone moves PSI, an alarm needs more
    assert compare(*pair(first, rng.normal(size=60)))["state"] != "alarm"


def test_other_edges_are_refused():
    with pytest.raises(InputError, match="different edges"):
        compare(histogram(np.arange(50.0), "a"), histogram(np.arange(50.0) * 2, "b"))


def test_precision_alarms_when_it_has_left_its_band():
    rng = np.random.default_rng(3)
    false = [precision_alarm(0.9, rng.random(300) < 0.9)["state"] == "alarm" for _ in range(500)]
    assert np.mean(false) < 0.03  # the band leaves less than the interval's 5 %
    true = [precision_alarm(0.9, rng.random(300) < 0.8)["state"] == "alarm" for _ in range(100)]
    assert np.mean(true) > 0.8
    assert precision_alarm(0.5, np.ones(100))["state"] == "alarm"  # better than stated is drift too
    assert precision_alarm(0.9, np.arange(100) < 86)["state"] == "watch"
    assert precision_alarm(0.9, [])["state"] == "unknown"
    assert json.dumps(precision_alarm(0.9, np.arange(100) < 90))
