"""Guarantees hold on simulated shops as often as they are said to, and are not bought by showing nothing."""

import numpy as np
import pytest

from motherlode.errors import InputError, SettingError
from motherlode.thresholds.conformal import betting_p_value, learn_then_test, risk_control
from motherlode.thresholds.coverage import Shown, coverage, under_shift


def shop(queries, rng, hard=0.3):
    """Queries that share a luck of their own, so that results of one query are no independent evidence."""
    counts = rng.integers(0, 9, queries)
    own = np.repeat(np.arange(queries), counts)
    luck = rng.normal(0, 1, queries)[own]
    scores = rng.uniform(0, 1, len(own))
    chance = 1 / (1 + np.exp(-(8 * (scores - hard) + luck)))
    return scores, np.where(rng.random(len(own)) < chance, 2, 0), own


@pytest.fixture(scope="module")
def world():
    scores, grades, own = shop(40_000, np.random.default_rng(99))
    return Shown(scores, grades >= 2, own, 40_000, 5)


def test_learn_then_test_is_wrong_no_more_often_than_delta(world):
    wrong = answered = 0
    for seed in range(60):
        scores, grades, own = shop(300, np.random.default_rng(seed))
        found = learn_then_test(scores, grades, own, grade=2, share=0.85, delta=0.2, most=5, n_queries=300)
        if found.threshold is not None:
            answered += 1
            good, shown = world.counts(found.threshold)
            wrong += good.sum() / shown.sum() < 0.85
    assert answered >= 40  # it does answer
    assert wrong <= 60 * 0.2 + 3 * (60 * 0.2 * 0.8) ** 0.5


def test_risk_control_keeps_the_share_on_average_and_stays_near_it(world):
    for share in (0.8, 0.9):
        shares = []
        for seed in range(40):
            scores, grades, own = shop(600, np.random.default_rng(seed))
            found = risk_control(scores, grades, own, grade=2, share=share, most=5, n_queries=600)
            good, shown = world.counts(found.threshold)
            shares.append(good.sum() / shown.sum())
        assert share - 0.005 < np.mean(shares) < share + 0.02


def test_the_betting_p_value_is_valid_and_has_power():
    rng = np.random.default_rng(0)
    null = [betting_p_value(rng.beta(2, 2, 150), 0.5) for _ in range(400)]
    for level in (0.05, 0.2):
        assert np.mean(np.array(null) <= level) <= level + 3 * (level * (1 - level) / 400) ** 0.5
    assert np.median([betting_p_value(rng.beta(6, 4, 150), 0.5) for _ in range(50)]) < 0.01
    assert betting_p_value([], 0.5) == 1.0
    assert betting_p_value(np.zeros(50), 0.5) == 1.0


def test_the_betting_p_value_is_the_loop():
    x = np.random.default_rng(1).beta(5, 3, 40)
    wealth, most = 1.0, 1.0
    for t in range(len(x)):
        mean = (0.5 * 0.6 + 0.5 + sum(x[:t])) / (t + 1)
        square = (0.25 + sum((one - 0.6) ** 2 for one in x[:t])) / (t + 1)
        wealth *= 1 + min(max((mean - 0.6) / square, 0), 0.5 / 0.6) * (x[t] - 0.6)
        most = max(most, wealth)
    assert betting_p_value(x, 0.6) == pytest.approx(1 / most)


def test_risk_control_is_the_loop():
    scores, grades, own = shop(120, np.random.default_rng(5))
    found = risk_control(scores, grades, own, grade=2, share=0.7, most=3, n_queries=120)
    kept = [at for at in range(len(own)) if (scores[own == own[at]] > scores[at]).sum() < 3]
    levels = np.unique(np.quantile(scores[kept], np.linspace(0, 1, 200), method="nearest"))[::-1]
    at = None
    for level in levels:
        shown = [one for one in kept if scores[one] >= level]
        if 0.02 * len(shown) < 0.7 * 3:
            continue
        if sum((grades[one] >= 2) - 0.7 for one in shown) < 0.7 * 3:
            break
        at = level
    assert at is not None and found.threshold == at
    shown = [one for one in kept if scores[one] >= at]
    assert found.shown == len(shown)
    assert found.observed == pytest.approx(np.mean([grades[one] >= 2 for one in shown]))


@pytest.mark.parametrize("method", [learn_then_test, risk_control])
def test_what_cannot_be_promised_is_not(method):
    rng = np.random.default_rng(0)
    own = np.repeat(np.arange(200), 5)
    found = method(rng.random(1000), rng.choice([0, 2], 1000), own, grade=2, share=0.9)
    assert found.threshold is None and found.observed is None and found.shown == 0
    assert method([], [], [], grade=2, share=0.9, n_queries=0).threshold is None
    with pytest.raises(SettingError, match="share"):
        method([0.1], [2], [0], grade=2, share=1.2)
    with pytest.raises(InputError, match="one finite score"):
        method([np.nan], [2], [0], grade=2, share=0.9)


def test_delta_must_be_a_chance():
    with pytest.raises(SettingError, match="delta"):
        learn_then_test([0.1], [2], [0], grade=2, share=0.9, delta=0.0)


def test_coverage_is_the_weighted_share_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(3)
    scores, grades, own = shop(200, rng)
    shown = Shown(scores, grades >= 2, own, 200, 3)
    weights = rng.uniform(0.5, 2, 200)
    found = coverage(shown, 0.4, weights)
    above = below = answered = 0.0
    for query in range(200):
        listed = sorted(np.flatnonzero(own == query), key=lambda at: -scores[at])[:3]
        listed = [at for at in listed if scores[at] >= 0.4]
        above += weights[query] * sum(grades[at] >= 2 for at in listed)
        below += weights[query] * len(listed)
        answered += weights[query] * bool(listed)
    assert found["share"] == pytest.approx(above / below)
    assert found["answered"] == pytest.approx(answered / weights.sum())
    truth = Shown(*_as_shown(shop(40_000, np.random.default_rng(7))), 40_000, 3).counts(0.4)
    held = 0
    for seed in range(60):
        part = Shown(*_as_shown(shop(200, np.random.default_rng(100 + seed))), 200, 3)
        one = coverage(part, 0.4, resamples=400, seed=seed)
        held += one["low"] <= truth[0].sum() / truth[1].sum() <= one["high"]
    assert held >= 50


def _as_shown(drawn):
    scores, grades, own = drawn
    return scores, grades >= 2, own


def test_a_shift_to_harder_queries_is_seen():
    easy, hard = (_as_shown(shop(300, np.random.default_rng(seed), hard)) for seed, hard in ((0, 0.2), (1, 0.6)))
    both = Shown(
        np.concatenate([easy[0], hard[0]]),
        np.concatenate([easy[1], hard[1]]),
        np.concatenate([easy[2], hard[2] + 300]),
        600,
        5,
    )
    is_hard = np.arange(600) >= 300
    found = under_shift(both, 0.5, {"hard": is_hard, "easy": ~is_hard})
    base = coverage(both, 0.5)["share"]
    assert found["hard"]["alone"]["share"] < found["hard"]["heavier"]["share"] < base
    assert found["easy"]["alone"]["share"] > found["easy"]["heavier"]["share"] > base
    assert found["hard"]["alone"]["share"] == coverage(Shown(*hard, 300, 5), 0.5)["share"]
    assert coverage(both, None)["share"] is None and coverage(both, 2.0)["results"] == 0
