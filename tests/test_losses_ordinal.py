"""The ordinal loss against a slow loop in float64, its gradient, and what makes it proper."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from motherlode.losses import ordinal_cross_entropy


def slow(logits: list[float], targets: list[float]) -> float:
    """The docstring's sum, one threshold at a time."""
    total = sum(math.exp(value) for value in logits)
    p = [math.exp(value) / total for value in logits]
    loss = 0.0
    for k in range(1, len(p)):
        above, reached = sum(p[k:]), sum(targets[k:])
        loss -= reached * math.log(above) + (1 - reached) * math.log(1 - above)
    return loss


rows = st.lists(st.floats(-8, 8), min_size=3, max_size=3)
masses = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda m: [value / sum(m) for value in m])


@given(st.lists(st.tuples(rows, masses), min_size=1, max_size=5))
def test_equals_the_slow_loop(cases: list[tuple[list[float], list[float]]]) -> None:
    logits = torch.tensor([row for row, _ in cases], dtype=torch.float64)
    targets = torch.tensor([mass for _, mass in cases], dtype=torch.float64)
    expected = [slow(row, mass) for row, mass in cases]
    np.testing.assert_allclose(ordinal_cross_entropy(logits, targets, "none").numpy(), expected, atol=1e-9)
    assert ordinal_cross_entropy(logits, targets).item() == pytest.approx(np.mean(expected))
    assert ordinal_cross_entropy(logits, targets, "sum").item() == pytest.approx(sum(expected))


def test_gradient() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.rand(4, 3, dtype=torch.float64)
    targets /= targets.sum(1, keepdim=True)
    assert torch.autograd.gradcheck(lambda values: ordinal_cross_entropy(values, targets), logits)


def test_two_grades_are_plain_cross_entropy() -> None:
    logits, grades = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    torch.testing.assert_close(ordinal_cross_entropy(logits, grades), functional.cross_entropy(logits, grades))


def test_a_miss_by_two_costs_more_than_a_miss_by_one() -> None:
    sure = torch.tensor([[0.0, 0.0, 9.0]])
    costs = [ordinal_cross_entropy(sure, torch.tensor([grade])).item() for grade in (0, 1, 2)]
    assert costs[0] > 1.5 * costs[1] > costs[2]
    # plain cross-entropy sees no difference between the two misses
    assert functional.cross_entropy(sure, torch.tensor([0])) == functional.cross_entropy(sure, torch.tensor([1]))


@given(masses)
def test_least_where_the_probabilities_are_the_true_ones(mass: list[float]) -> None:
    truth = torch.tensor([mass], dtype=torch.float64)
    best = ordinal_cross_entropy(truth.log(), truth)
    for shift in torch.eye(3, dtype=torch.float64):
        assert ordinal_cross_entropy(truth.log() + 0.3 * shift, truth) >= best - 1e-12


@pytest.mark.parametrize("size", [1e3, 1e4])
def test_extreme_logits_stay_finite(size: float) -> None:
    logits = torch.tensor([[size, 0.0, -size]], requires_grad=True)
    loss = ordinal_cross_entropy(logits, torch.tensor([2]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
    assert loss.item() == pytest.approx(3 * size, rel=1e-5)  # log P2 = -2 size, log P1 = -size


def test_half_precision_is_computed_in_single() -> None:
    assert ordinal_cross_entropy(torch.zeros(2, 3, dtype=torch.bfloat16), torch.tensor([0, 2])).dtype == torch.float32


def test_wrong_shapes_and_words_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[B, K\]"):
        ordinal_cross_entropy(torch.zeros(2, 3), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="reduction"):
        ordinal_cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1]), "total")  # type: ignore[arg-type]
