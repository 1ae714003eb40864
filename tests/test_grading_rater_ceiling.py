"""The ceiling against simulated raters whose chances are known: recovered where it can be, bounded always."""

from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from motherlode.evaluation.agreement import agreement
from motherlode.grading.rater_ceiling import chances_of_totals, rater_ceiling

N = 60_000


def simulated(chances: np.ndarray, seed: int) -> tuple[np.ndarray, dict[str, float]]:
    """Averages of one panel of three on pairs with these chances [n, 3], and what others really reach against it."""
    rng = np.random.default_rng(seed)
    below = np.cumsum(chances, axis=1)[:, None, :2]
    ratings = (rng.random((len(chances), 7, 1)) > below).sum(axis=2)
    first, second = ratings[:, :3].mean(axis=1) + 1, ratings[:, 3:6].mean(axis=1) + 1
    label = lambda averages: np.digitize(np.round(averages, 2), [1.75, 2.67])  # noqa: E731
    grade_chances = np.zeros((len(chances), 3))
    for triple in product(range(3), repeat=3):
        grade_chances[:, label(np.mean(triple) + 1)] += np.prod(chances[:, triple], axis=1)
    panel = agreement(label(first), label(second))
    oracle = agreement(label(first), grade_chances.argmax(axis=1))
    rater = agreement(label(first), ratings[:, 6])
    return np.round(first, 2), {
        "panel_accuracy": panel["accuracy"],
        "panel_within_1": panel["within_1"],
        "panel_quadratic_kappa": panel["quadratic_kappa"],
        "oracle_accuracy": oracle["accuracy"],
        "oracle_within_1": oracle["within_1"],
        "rater_accuracy": rater["accuracy"],
        "rater_within_1": rater["within_1"],
    }


def one_quality(seed: int, spread: float) -> np.ndarray:
    quality = np.random.default_rng(seed).normal(0, spread, N)
    below = norm.cdf(np.array([-1.2, -0.1]) - quality[:, None])
    return np.column_stack([below[:, 0], below[:, 1] - below[:, 0], 1 - below[:, 1]])


def camps(seed: int) -> np.ndarray:
    """Pairs on which raters are of one mind, and pairs that split them between best and worst."""
    kinds = np.array([[0.95, 0.05, 0.0], [0.03, 0.94, 0.03], [0.0, 0.04, 0.96], [0.45, 0.05, 0.5]])
    return kinds[np.random.default_rng(seed).choice(4, N, p=[0.15, 0.3, 0.3, 0.25])]


CASES = {
    "dirichlet": np.random.default_rng(0).dirichlet([0.5, 0.9, 1.4], N),
    "dirichlet, plain pairs": np.random.default_rng(1).dirichlet([0.2, 0.3, 0.4], N),
    "one_quality": one_quality(2, 0.7),
    "one_quality, plain pairs": one_quality(3, 2.0),
    "camps": camps(4),
}


@pytest.mark.parametrize("name", CASES)
def test_simulated_raters(name: str) -> None:
    averages, reached = simulated(CASES[name], 7)
    found = rater_ceiling(averages)
    assert found["n"] == N and found["other"] == 0
    for measure, value in reached.items():
        least, greatest = found["bounds"][measure]
        assert least - 0.006 <= value <= greatest + 0.006, measure
        united = found["bounds_united"][measure]
        assert least - 1e-6 <= united[0] and united[1] <= greatest + 1e-6
        if name.startswith("one_quality"):  # no pair splits its raters: the narrower bounds hold too
            assert united[0] - 0.006 <= value <= united[1] + 0.006, measure
    reading = found["readings"].get(name.split(",")[0])
    if reading is not None:
        assert reading["misfit"] < 0.003
        for measure, value in reached.items():
            assert reading[measure] == pytest.approx(value, abs=0.02), measure


def test_the_bounds_are_narrow_where_raters_are_of_one_mind_and_wide_where_nothing_is_shown() -> None:
    of_one_mind = rater_ceiling(np.repeat([1.0, 2.0, 3.0], 5_000))["bounds"]
    assert of_one_mind["panel_accuracy"][0] > 0.97 and of_one_mind["panel_accuracy"][1] > 0.999
    # raters who toss a coin on every pair, or pairs of different kinds: averages alone cannot tell
    coins = rater_ceiling(simulated(np.full((N, 3), 1 / 3), 3)[0])["bounds"]
    assert coins["panel_accuracy"][1] - coins["panel_accuracy"][0] > 0.15


def test_raters_in_two_camps_are_outside_the_narrower_bounds() -> None:
    kinds = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.0, 0.5]])
    averages, reached = simulated(kinds[np.random.default_rng(6).choice(3, N, p=[0.1, 0.1, 0.8])], 8)
    found = rater_ceiling(averages)
    least, greatest = found["bounds"]["panel_quadratic_kappa"]
    assert least - 0.006 <= reached["panel_quadratic_kappa"] <= greatest + 0.006
    united = found["bounds_united"]["panel_quadratic_kappa"]
    # averages of 1.67 and 2.33 with hardly a 2 between them: no spread of united pairs gives that
    assert united is None or not united[0] <= reached["panel_quadratic_kappa"] <= united[1]


def test_totals_equal_a_loop_over_triples() -> None:
    chances = np.random.default_rng(5).dirichlet([1, 1, 1], 4)
    slow = np.zeros((4, 7))
    for triple in product(range(3), repeat=3):
        slow[:, sum(triple)] += chances[:, triple[0]] * chances[:, triple[1]] * chances[:, triple[2]]
    np.testing.assert_allclose(chances_of_totals(chances), slow)
    np.testing.assert_allclose(slow.sum(axis=1), 1)


def test_other_panels_are_left_out_and_nonsense_is_refused() -> None:
    averages = np.array([1, 1.33, 1.67, 2, 2.33, 2.67, 3, 1.25, 2.5] * 50)
    found = rater_ceiling(averages)
    assert (found["n"], found["other"]) == (350, 100)
    assert found["observed"] == pytest.approx([1 / 7] * 7)
    with pytest.raises(ValueError, match="three ratings"):
        rater_ceiling([1.25, 1.5])
    with pytest.raises(ValueError, match="three ratings"):
        rater_ceiling([4.0])


def test_home_depot_grades_follow_from_its_averages(data_root: Path) -> None:
    judged = pl.read_parquet(data_root / "homedepot_search/judgments.parquet")
    found = rater_ceiling(judged["relevance"].to_numpy())
    labels = judged["label3"].value_counts(normalize=True).sort("label3")["proportion"].to_list()
    shares = np.array(found["observed"])
    assert [shares[:3].sum(), shares[3:5].sum(), shares[5:].sum()] == pytest.approx(labels, abs=0.002)
    for measure, (least, greatest) in found["bounds"].items():
        assert least - 0.005 <= found["readings"]["dirichlet"][measure] <= greatest + 0.005
