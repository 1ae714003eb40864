"""Graders stacked: the weights are the least of the stated objective, answers go together, mistakes are told."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.evaluation.calibration_error import log_loss
from motherlode.grading.grader import Graded, Judge, Pair
from motherlode.grading.stacked import DECAY, Stack, StackedGrader


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def drawn(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Two members that each see the truth through noise of their own."""
    rng = np.random.default_rng(seed)
    grades = rng.integers(0, 3, count)
    seen = [1.5 * np.eye(3)[grades] + rng.normal(0, 1, (count, 3)) for _ in range(2)]
    return [softmax(one) for one in seen], grades


def objective(weights: np.ndarray, bias: np.ndarray, answers: list[np.ndarray], targets: np.ndarray) -> float:
    """The stated loss, pair by pair."""
    mean = np.array([[0, 1, 1], [0, 0, 1]] * len(answers)) / len(answers)
    total = 0.0
    for row in range(len(targets)):
        odds = [float(np.log(one[row, g + 1] / one[row, g])) for one in answers for g in (0, 1)]
        p = softmax((np.array(odds) @ weights + bias)[None])[0]
        for least in (1, 2):
            said, true = p[least:].sum(), targets[row, least:].sum()
            total -= true * np.log(said) + (1 - true) * np.log(1 - said)
    return total / len(targets) + DECAY * float(((weights - mean) ** 2).sum())


def test_the_weights_are_the_best_there_are() -> None:
    answers, grades = drawn(300, 0)
    targets = 0.9 * np.eye(3)[grades] + 0.1 / 3
    stack = Stack.fit(answers, targets)
    best, rng = objective(stack.weights, stack.bias, answers, targets), np.random.default_rng(1)
    for _ in range(20):
        moved = objective(
            stack.weights + rng.normal(0, 0.02, (4, 3)), stack.bias + rng.normal(0, 0.02, 3), answers, targets
        )
        assert moved > best


def test_two_know_more_than_one_on_pairs_not_learnt_from() -> None:
    (answers, grades), (new, truth) = drawn(2_000, 2), drawn(2_000, 3)
    found = Stack.fit(answers, np.eye(3)[grades]).apply(new)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert log_loss(found, truth) < min(log_loss(one, truth) for one in new) - 0.05


def test_no_answer_is_no_answer() -> None:
    answers, grades = drawn(100, 4)
    answers[0][7] = np.nan
    stack = Stack.fit(answers, np.eye(3)[grades])
    found = stack.apply(answers)
    assert np.isnan(found[7]).all() and np.isfinite(np.delete(found, 7, axis=0)).all()
    assert stack.apply([one[:0] for one in answers]).shape == (0, 3)
    with pytest.raises(InputError, match="29 validation pairs"):
        Stack.fit([one[20:49] for one in answers], np.eye(3)[grades[20:49]])


def test_saved_is_loaded_and_a_broken_file_is_told(tmp_path: Path) -> None:
    answers, grades = drawn(100, 5)
    stack = Stack.fit(answers, np.eye(3)[grades])
    stack.save(tmp_path / "stack.json")
    np.testing.assert_array_equal(Stack.load(tmp_path / "stack.json").apply(answers), stack.apply(answers))
    with pytest.raises(MissingError, match="--with stacked"):
        Stack.load(tmp_path / "none.json")
    for text in ("{", "{}", '{"weights": [[1, 2]], "bias": [0, 0, 0]}'):
        (tmp_path / "stack.json").write_text(text)
        with pytest.raises(InputError, match="holds no weights of graders"):
            Stack.load(tmp_path / "stack.json")


class Says:
    """A grader that gives each pair the row its query names."""

    def __init__(self, rows: np.ndarray, version: str, cost: float, rubric: str = "r") -> None:
        self.rows, self.cost, self.block = rows, cost, 10 + int(cost)
        self.judge = Judge("says", version, rubric)

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        rows = [int(pair.query) for pair in pairs]
        return Graded(self.rows[rows], np.full(len(rows), self.cost))


def test_as_a_grader_it_weighs_answers_and_adds_costs() -> None:
    answers, grades = drawn(60, 6)
    stack = Stack.fit(answers, np.eye(3)[grades])
    members = [Says(answers[0], "a", 1.0), Says(answers[1], "b", 2.0)]
    grader = StackedGrader(members, stack)
    found = grader.grade([Pair(str(at), "i", str(at), "i") for at in (5, 3)])
    np.testing.assert_array_equal(found.probabilities, stack.apply(answers)[[5, 3]])
    np.testing.assert_array_equal(found.cost, [3, 3])
    assert grader.block == 11
    other = StackedGrader([members[0], Says(answers[1], "c", 2.0)], stack)
    moved = StackedGrader(members, Stack(stack.weights, stack.bias + 1))
    assert len({grader.judge.version, other.judge.version, moved.judge.version}) == 3
    with pytest.raises(SettingError, match="different rubrics"):
        StackedGrader([members[0], Says(answers[1], "b", 2.0, "s")], stack)
    with pytest.raises(SettingError, match="of 2 graders, not of 1"):
        StackedGrader(members[:1], stack)
