"""The engagement model against scipy's negative binomial, loops, and a simulation whose parameters are known."""

import numpy as np
import pytest
from scipy.stats import nbinom

from motherlode.audit.counts import Step
from motherlode.audit.evidence import evidence

RATES = np.array([[0.04, 0.2, 0.45], [0.02, 0.1, 0.2]])  # a bucket a row
ADDS = np.array([0.05, 0.2, 0.4])
NOISE = np.array([[0.88, 0.08, 0.04], [0.05, 0.9, 0.05], [0.03, 0.07, 0.9]])
SHAPE = 6.0


def simulated(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Step]]:
    rng = np.random.default_rng(seed)
    labels, buckets = rng.integers(0, 3, n), rng.integers(0, 2, n)
    true = np.array([rng.choice(3, p=NOISE[label]) for label in labels])
    looks = rng.lognormal(3, 1, n)
    clicks = rng.poisson(looks * RATES[buckets, true] * rng.gamma(SHAPE, 1 / SHAPE, n)).astype(float)
    adds = rng.poisson(clicks * ADDS[true]).astype(float)
    return labels, buckets, true, [Step("clicks", looks, clicks), Step("adds", clicks, adds)]


def test_rates_noise_and_spread_of_a_simulation_are_found() -> None:
    labels, buckets, true, steps = simulated(0, 20_000)
    found = evidence(labels, buckets, steps)
    np.testing.assert_allclose(found.rates["clicks"], RATES, rtol=0.06)
    np.testing.assert_allclose(found.rates["adds"], np.tile(ADDS, (2, 1)), rtol=0.1)
    np.testing.assert_allclose(found.noise, NOISE, atol=0.02)
    assert found.shapes["clicks"] == pytest.approx(SHAPE, rel=0.15)
    assert found.shapes["adds"] > 50  # none was put in
    # the probabilities mean what they say
    doubt = 1 - found.posterior[np.arange(len(labels)), labels]
    for low, high in ((0.05, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        here = (doubt >= low) & (doubt < high)
        assert (labels != true)[here].mean() == pytest.approx(doubt[here].mean(), abs=0.07)


def test_posterior_is_bayes_rule_with_a_negative_binomial() -> None:
    labels, buckets, _, steps = simulated(1, 300)
    found = evidence(labels, buckets, steps)
    for row in range(300):
        likelihood = np.ones(3)
        for step in steps:
            if step.tried[row] > 0:
                shape = found.shapes[step.name]
                mean = step.tried[row] * found.rates[step.name][buckets[row]]
                likelihood *= nbinom.pmf(step.done[row], shape, shape / (shape + mean))
        slow = found.noise[labels[row]] * likelihood
        np.testing.assert_allclose(found.posterior[row], slow / slow.sum(), rtol=1e-6)


def test_the_fit_is_a_fixed_point() -> None:
    labels, buckets, _, steps = simulated(2, 3_000)
    found = evidence(labels, buckets, steps)
    believed = 20 * np.where(np.eye(3) > 0, 0.9, 0.05)
    counts = np.stack([found.posterior[labels == label].sum(axis=0) for label in range(3)]) + believed
    np.testing.assert_allclose(found.noise, counts / counts.sum(axis=1, keepdims=True), atol=1e-3)
    # the score of each grade's rate is zero, but for the 20 events that draw a bucket to all queries
    step, shape = steps[0], found.shapes["clicks"]
    for bucket, grade in np.ndindex(2, 3):
        rate, here = found.rates["clicks"][bucket, grade], buckets == bucket
        weight = found.posterior[here, grade] / (1 + step.tried[here] * rate / shape)
        events, chances = (weight * step.done[here]).sum(), (weight * step.tried[here]).sum()
        everywhere = found.posterior[:, grade] / (1 + step.tried * found.rates["clicks"][buckets, grade] / shape)
        pooled = (everywhere * step.done).sum() / (everywhere * step.tried).sum()
        assert rate == pytest.approx((events + 20) / (chances + 20 / pooled), rel=5e-3)


def test_the_same_counts_are_judged_by_their_bucket() -> None:
    labels, buckets, _, steps = simulated(3, 8_000)
    looks = np.append(steps[0].tried, [200.0, 200.0])
    clicks = np.append(steps[0].done, [22.0, 22.0])  # usual for grade 1 of bucket 1, between 0 and 1 in bucket 0
    found = evidence(np.append(labels, [0, 0]), np.append(buckets, [0, 1]), [Step("clicks", looks, clicks)])
    doubt = 1 - found.posterior[-2:, 0]
    assert doubt[1] > 2 * doubt[0]


def test_without_engagement_the_label_stands_as_labels_do() -> None:
    labels, buckets, _, steps = simulated(4, 2_000)
    blind = [Step(step.name, step.tried.copy(), step.done.copy()) for step in steps]
    for step in blind:
        step.tried[:500] = 0
    blind[0].done[500:600] = np.nan
    blind[1].tried[500:600] = np.nan
    found = evidence(labels, buckets, blind)
    np.testing.assert_allclose(found.posterior[:600], found.noise[labels[:600]], rtol=1e-9)
    np.testing.assert_array_equal(found.likelihood[:600], 0)
    assert np.isfinite(found.posterior).all()
    none = evidence(labels, buckets, [])
    np.testing.assert_allclose(none.posterior, none.noise[labels])


def test_engagement_that_says_nothing_moves_nothing() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 4_000)
    looks = np.full(4_000, 50.0)
    found = evidence(labels, np.zeros(4_000, dtype=int), [Step("clicks", looks, rng.poisson(5, 4_000).astype(float))])
    doubt = 1 - found.posterior[np.arange(4_000), labels]
    assert doubt.max() < 0.35
    assert (np.diff(found.rates["clicks"]) >= 0).all()
