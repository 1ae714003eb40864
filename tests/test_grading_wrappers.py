"""Graders around graders: calibrated, and remembered by the ledger."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from motherlode.grading.budget import BudgetSpent
from motherlode.grading.calibrated import Calibrated
from motherlode.grading.calibration import Calibration
from motherlode.grading.grader import Graded, Judge, Pair
from motherlode.grading.ledger import Ledger
from motherlode.grading.remembered import Remembered


class Counting:
    """Answers by the number in the item id; every fifth pair has no answer."""

    judge, block = Judge("counting", "1", "r"), 8

    def __init__(self, budget: int = 10**9) -> None:
        self.asked: list[str] = []
        self.budget = budget

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        self.asked += [pair.item_id for pair in pairs]
        p = np.array([[0.2, 0.3, 0.5] if int(pair.item_id) % 2 else [0.7, 0.2, 0.1] for pair in pairs])
        p[[int(pair.item_id) % 5 == 0 for pair in pairs]] = np.nan
        p[self.budget :] = np.nan
        found = Graded(p, np.full(len(pairs), 0.5), [f"reason {pair.item_id}" for pair in pairs])
        if len(pairs) > self.budget:
            raise BudgetSpent("The budget is spent.", found)
        return found


def pairs(*numbers: int) -> list[Pair]:
    return [Pair("q", str(number), "query", "item") for number in numbers]


def test_remembered_asks_for_each_pair_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        grader = Counting()
        kept = Remembered(grader, ledger, "test")
        first = kept.grade(pairs(1, 2, 5))
        again = kept.grade(pairs(2, 3, 5, 1))
        assert grader.asked == ["1", "2", "5", "3", "5"]  # what had no answer is asked again
        np.testing.assert_allclose(again.probabilities[[3, 0]], first.probabilities[:2])
        assert np.isnan(again.probabilities[2]).all()
        assert again.cost.tolist() == [0, 0.5, 0.5, 0]
        assert again.reasons[0] == "reason 2"
        assert ledger.count() == 3


def test_remembered_keeps_what_a_spent_budget_still_bought(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        kept = Remembered(Counting(), ledger, "test")
        kept.grade(pairs(1))
        kept.grader = Counting(budget=1)
        with pytest.raises(BudgetSpent) as error:
            kept.grade(pairs(1, 2, 3))
        assert error.value.graded.answered.tolist() == [True, True, False]
        assert ledger.count() == 2


def test_calibrated_is_the_calibration_of_the_answers() -> None:
    calibration = Calibration("temperature", 2.0)
    grader = Calibrated(Counting(), calibration)
    raw, found = Counting().grade(pairs(1, 2, 5)), grader.grade(pairs(1, 2, 5))
    np.testing.assert_allclose(found.probabilities, calibration.apply(raw.probabilities))
    assert found.answered.tolist() == [True, True, False]
    assert found.cost.tolist() == raw.cost.tolist() and found.reasons == raw.reasons
    assert grader.judge.name == "counting" and grader.judge.version != "1"
    assert Calibrated(Counting(), Calibration()).judge.version != grader.judge.version
