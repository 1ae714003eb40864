"""The cascade against exhaustive search, a walk pair by pair, and simulated graders of known skill and cost."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pytest

from motherlode.errors import SettingError
from motherlode.evaluation.agreement import agreement
from motherlode.grading.calibration import Calibration
from motherlode.grading.cascade import Cascade, CascadeStage
from motherlode.grading.cascade_tuning import NEVER, PRICES, _ascend, curve, measure, route, tune
from motherlode.grading.grader import Graded, Judge, Pair, decide


class Noisy:
    """Sees the quality written in the query id with noise of its own; says what follows from that, over-sure."""

    def __init__(self, name: str, noise: float, block: int = 64, fails: Sequence[str] = (), money: float = 0.0) -> None:
        self.noise, self.block, self.fails, self.money = noise, block, set(fails), money
        self.judge = Judge(name, "1", "r1")
        self.calls: list[int] = []

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        assert len(pairs) <= self.block
        self.calls.append(len(pairs))
        probabilities = np.array([self.of(pair) for pair in pairs])
        return Graded(probabilities, np.full(len(pairs), self.money), ["because"] * len(pairs))

    def of(self, pair: Pair) -> np.ndarray:
        if pair.item_id in self.fails:
            return np.full(3, np.nan)
        rng = np.random.default_rng([int(pair.item_id), int(1000 * self.noise)])
        seen = float(pair.query_id) + self.noise * rng.normal()
        weights = np.exp(-((seen - np.array([-1.2, 0.0, 1.2])) ** 2) / (0.3 + self.noise**2))
        return weights / weights.sum()


def shop(n: int, seed: int) -> tuple[list[Pair], np.ndarray]:
    quality = np.random.default_rng(seed).normal(0, 1.2, n)
    pairs = [Pair(str(one), str(10 * at + seed), "q", "i") for at, one in enumerate(quality)]
    return pairs, np.digitize(quality, [-0.6, 0.6])


def answers(grader: Noisy, pairs: Sequence[Pair]) -> np.ndarray:
    return np.array([grader.of(pair) for pair in pairs])


COSTS = (1.0, 10.0)


def test_same_agreement_as_the_strongest_at_half_its_cost() -> None:
    cheap, strong = Noisy("cheap", 0.35), Noisy("strong", 0.25)
    pairs, truth = shop(4_000, 1)
    calibrations = [Calibration.fit(answers(one, pairs), truth) for one in (cheap, strong)]
    stages = [one.apply(answers(grader, pairs)) for one, grader in zip(calibrations, (cheap, strong), strict=True)]
    alone = [agreement(truth, decide(one))["accuracy"] for one in stages]
    assert alone[1] > alone[0] + 0.03
    points = curve(stages, truth, COSTS)
    assert all(a["cost"] < b["cost"] and a["agreement"] < b["agreement"] for a, b in pairwise(points))
    assert points[0]["cost"] == 1.0 and points[0]["agreement"] == alone[0]
    thresholds = tune(stages, truth, COSTS, target=alone[1])
    fresh, fresh_truth = shop(4_000, 2)
    cascade = Cascade(
        [
            CascadeStage(cheap, COSTS[0], calibrations[0], thresholds[0]),
            CascadeStage(strong, COSTS[1], calibrations[1]),
        ]
    )
    graded = cascade.grade(fresh)
    reached = agreement(fresh_truth, decide(graded.probabilities))["accuracy"]
    strongest = agreement(fresh_truth, decide(answers(strong, fresh)))["accuracy"]
    assert reached >= strongest - 0.01
    assert graded.work.mean() <= 0.5 * COSTS[1]
    # the same thresholds offline say the same of these pairs
    offline = [one.apply(answers(grader, fresh)) for one, grader in zip(calibrations, (cheap, strong), strict=True)]
    found = measure(thresholds, offline, fresh_truth, COSTS)
    assert found["agreement"] == pytest.approx(reached) and found["cost"] == pytest.approx(graded.work.mean())
    assert found["relative_cost"] == pytest.approx(graded.work.mean() / 10)
    within = tune(stages, truth, COSTS, max_cost=5.0)
    assert measure(within, stages, truth, COSTS)["cost"] <= 5.0


@pytest.mark.parametrize("seed", range(4))
def test_two_stages_reach_the_optimum_of_all_thresholds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stages = [np.round(rng.dirichlet([1, 1, 1], 24), 1), rng.dirichlet([1, 1, 1], 24)]
    stages[0][3] = np.nan
    truth = rng.integers(0, 3, 24)
    places = [
        [0.0, NEVER, *np.unique(stages[0][decide(stages[0]) == grade].max(axis=1, initial=0.0)).tolist()]
        for grade in range(3)
    ]
    every = [measure((one,), stages, truth, COSTS) for one in product(*places)]
    found = curve(stages, truth, COSTS)
    for price in PRICES:
        value = lambda point, price=price: point["agreement"] - price * point["cost"] / 11  # noqa: E731
        assert max(map(value, found)) == pytest.approx(max(map(value, every)), abs=1e-9)


@pytest.mark.parametrize(("price", "seed"), [(0.0, 0), (0.1, 1), (0.4, 2), (0.2, 3), (0.8, 4)])
def test_with_three_stages_no_threshold_can_be_moved_for_the_better(price: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stages = [rng.dirichlet([1, 1, 1], 60) for _ in range(3)]
    truth, costs = rng.integers(0, 3, 60), np.array([1.0, 4.0, 10.0])

    def value(thresholds: tuple) -> float:
        found = measure(thresholds, stages, truth, costs)
        return found["agreement"] - price * found["cost"] / costs.sum()

    never = ((NEVER,) * 3,) * 2
    found = _ascend(never, stages, truth, price * costs / costs.sum())
    assert value(found) > value(never)
    for at, grade in product(range(2), range(3)):
        for place in [0.0, NEVER, *stages[at][:, grade]]:
            moved = [list(one) for one in found]
            moved[at][grade] = place
            assert value(tuple(map(tuple, moved))) <= value(found) + 1e-9


def test_three_stages_beat_every_common_threshold() -> None:
    pairs, truth = shop(3_000, 3)
    stages = []
    for at, noise in enumerate((0.7, 0.45, 0.2)):
        raw = answers(Noisy(f"g{at}", noise), pairs)
        stages.append(Calibration.fit(raw, truth).apply(raw))
    costs = (1.0, 6.0, 40.0)
    points = curve(stages, truth, costs)
    for first, second in product(np.linspace(0.4, 1.0, 7), repeat=2):
        one = measure(((first,) * 3, (second,) * 3), stages, truth, costs)
        cheaper = [point["agreement"] for point in points if point["cost"] <= one["cost"]]
        assert max(cheaper) >= one["agreement"] - 0.01
    assert points[-1]["agreement"] >= agreement(truth, decide(stages[2]))["accuracy"]


def test_routing_equals_a_walk_pair_by_pair() -> None:
    rng = np.random.default_rng(5)
    stages = [rng.dirichlet([1, 1, 1], 200) for _ in range(3)]
    stages[0][:20] = np.nan
    thresholds = ((0.5, 0.7, 0.6), (0.8, 0.4, 0.9))
    expected = []
    for row in range(200):
        for at in range(3):
            top = stages[at][row]
            if at == 2 or (np.isfinite(top).all() and top.max() >= thresholds[at][int(top.argmax())]):
                expected.append(at)
                break
    assert route(stages, thresholds).tolist() == expected


def test_people_get_what_no_grader_is_sure_of_and_failures_are_tried_again() -> None:
    pairs, truth = shop(300, 4)
    failing = [pair.item_id for pair in pairs[:30]]
    cheap = Noisy("cheap", 0.5, fails=failing, money=0.01)
    strong = Noisy("strong", 0.3, block=7, fails=failing[:10], money=0.1)
    sure = (0.95, 0.95, 0.95)
    cascade = Cascade(
        [
            CascadeStage(cheap, 1.0, thresholds=sure),
            CascadeStage(strong, 5.0, thresholds=sure),
            CascadeStage(None, 100.0),
        ]
    )
    assert cascade.block == 64 and cascade.judge.rubric == "r1"
    graded = cascade.grade(pairs)
    assert (graded.stages[:10] == -1).all() and not graded.answered[:10].any()  # both failed: nobody's verdict
    people = graded.stages == 2
    assert people.any() and not graded.answered[people].any()
    listed = [(pair.query_id, pair.item_id) for pair, wanted in zip(pairs, people, strict=True) if wanted]
    assert list(cascade.for_people) == listed
    for row in range(10, 300):
        expected = next(
            (at for at, one in ((0, cheap), (1, strong)) if np.nan_to_num(one.of(pairs[row])).max() >= 0.95), 2
        )
        assert graded.stages[row] == expected
        asked_strong = row < 30 or expected > 0
        assert graded.cost[row] == pytest.approx(0.01 + 0.1 * asked_strong)
        assert graded.work[row] == pytest.approx(1 + 5 * asked_strong + 100 * (expected == 2))
        if expected < 2:
            assert graded.reasons[row] == ["cheap@1: because", "strong@1: because"][expected]
            np.testing.assert_array_equal(graded.probabilities[row], (cheap, strong)[expected].of(pairs[row]))
        else:
            assert graded.reasons[row] is None
    summary = cascade.summary()
    assert [one["answered"] for one in summary["stages"]] == [int((graded.stages == at).sum()) for at in (0, 1)] + [0]
    assert summary["stages"][2]["asked"] == summary["for_people"] == people.sum()
    cascade.grade(pairs)
    assert cascade.summary()["for_people"] == people.sum()  # each pair is listed once
    assert np.mean(decide(graded.probabilities)[graded.answered] == truth[graded.answered]) > 0.9


def test_the_last_grader_answers_whatever_is_left() -> None:
    pairs, _ = shop(50, 5)
    never = (NEVER, NEVER, NEVER)
    cascade = Cascade(
        [CascadeStage(Noisy("a", 0.5), thresholds=never), CascadeStage(Noisy("b", 0.3), thresholds=never)]
    )
    graded = cascade.grade(pairs)
    assert (graded.stages == 1).all() and graded.answered.all()
    assert len(cascade.grade([]).probabilities) == 0


def test_the_version_names_all_that_decides() -> None:
    base = CascadeStage(Noisy("a", 0.5), thresholds=(0.5, 0.5, 0.5))
    last = CascadeStage(Noisy("b", 0.3))
    versions = {
        Cascade(stages).judge.version
        for stages in (
            [base, last],
            [base],
            [base, CascadeStage(None)],
            [CascadeStage(base.grader, thresholds=(0.5, 0.5, 0.6)), last],
            [CascadeStage(base.grader, 0.0, Calibration("temperature", 2.0), base.thresholds), last],
        )
    }
    assert len(versions) == 5
    assert Cascade([base, last]).judge == Cascade([base, last]).judge


def test_faults_are_named() -> None:
    one = CascadeStage(Noisy("a", 0.5))
    for stages in ([], [CascadeStage(None)], [CascadeStage(None), one]):
        with pytest.raises(SettingError, match="people"):
            Cascade(stages)
    other = Noisy("b", 0.5)
    other.judge = Judge("b", "1", "r2")
    with pytest.raises(SettingError, match="different rubrics"):
        Cascade([one, CascadeStage(other)])
    stages, truth = [np.eye(3)[[0, 1]], np.eye(3)[[0, 2]]], [1, 1]
    with pytest.raises(SettingError, match="No thresholds agree"):
        tune(stages, truth, COSTS, target=0.99)
    with pytest.raises(SettingError, match="more than"):
        tune(stages, truth, COSTS, max_cost=0.5)
    with pytest.raises(SettingError, match="one of the two"):
        tune(stages, truth, COSTS)
    with pytest.raises(ValueError, match="at least two"):
        curve(stages[:1], truth, COSTS[:1])
