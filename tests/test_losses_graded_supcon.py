"""Graded SupCon against a slow loop written from Eq. 2, and the facts the paper's form implies."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.losses import graded_supcon


def slow(scores, grades, mask, temperature):
    """Eq. 2, one row at a time, in Python floats."""
    rows = []
    for row_scores, row_grades, row_mask in zip(scores, grades, mask, strict=True):
        own = [(float(s), int(g)) for s, g, m in zip(row_scores, row_grades, row_mask, strict=True) if m]
        positives = [(s, g) for s, g in own if g > 0 and g > min(grade for _, grade in own)]
        if not positives:
            rows.append(0.0)
            continue
        total = sum(math.exp(s / temperature) for s, _ in own)
        weight = sum(g for _, g in positives)
        rows.append(-sum(g * math.log(math.exp(s / temperature) / total) for s, g in positives) / weight)
    return rows


@st.composite
def instances(draw):
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (
        torch.from_numpy(rng.uniform(-1, 1, (rows, columns))),
        torch.from_numpy(rng.integers(0, 3, (rows, columns))),
        torch.from_numpy(rng.random((rows, columns)) < draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))),
        draw(st.sampled_from([0.01, 0.05, 0.5])),
    )


@given(instances())
def test_equals_slow_loop(instance):
    scores, grades, mask, temperature = instance
    expected = slow(scores, grades, mask, temperature)
    rows = graded_supcon(scores, grades, mask, temperature, reduction="none")
    np.testing.assert_allclose(rows.numpy(), expected, rtol=1e-9, atol=1e-9)
    assert float(graded_supcon(scores, grades, mask, temperature)) == pytest.approx(sum(expected), abs=1e-8)
    contributing = [value for value, g, m in zip(expected, grades, mask, strict=True) if _has_positive(g, m)]
    mean = float(graded_supcon(scores, grades, mask, temperature, reduction="mean"))
    assert mean == pytest.approx(np.mean(contributing) if contributing else 0.0, abs=1e-8)


def _has_positive(grades, mask):
    own = grades[mask]
    return len(own) > 0 and int(own.max()) > max(0, int(own.min()))


@settings(max_examples=20, deadline=None)
@given(instances())
def test_gradients(instance):
    scores, grades, mask, temperature = instance
    scores = scores.clone().requires_grad_()
    tau = torch.tensor(max(temperature, 0.05), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, t: graded_supcon(s, grades, mask, t), (scores, tau))


def test_masked_items_and_rows_without_positive_have_exactly_no_gradient():
    scores = torch.randn(4, 6, requires_grad=True)
    grades = torch.tensor([[2, 0, 1, 0, 2, 2], [0] * 6, [2] * 6, [1, 2, 0, 1, 0, 0]])
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[0, 4:] = False
    mask[3] = False
    loss = graded_supcon(scores, grades, mask, 1e-3)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[0, 4:] == 0).all()
    assert (scores.grad[1:] == 0).all()  # grade 0 only, grade 2 only, empty
    assert (scores.grad[0, :4] != 0).any()


def test_optimal_gap_between_grades_2_and_1_is_tau_ln_2():
    tau = 0.05
    scores = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([scores], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure():
        optimiser.zero_grad()
        loss = graded_supcon(scores, torch.tensor([[2, 1, 0]]), torch.ones(1, 3, dtype=torch.bool), tau)
        loss.backward()
        return loss

    optimiser.step(closure)
    assert float((scores[0, 0] - scores[0, 1]).detach()) == pytest.approx(tau * math.log(2), abs=1e-4)


def test_grade_1_is_a_negative_where_it_is_the_lowest():
    scores = torch.tensor([[0.3, 0.3]], requires_grad=True)
    graded_supcon(scores, torch.tensor([[2, 1]]), torch.ones(1, 2, dtype=torch.bool), 0.1).backward()
    assert scores.grad[0, 0] < 0 < scores.grad[0, 1]


def test_another_row_changes_nothing():
    torch.manual_seed(0)
    scores, grades = torch.randn(3, 5), torch.randint(0, 3, (3, 5))
    mask = torch.ones(3, 5, dtype=torch.bool)
    alone = graded_supcon(scores[:1], grades[:1], mask[:1], 0.1, reduction="none")
    together = graded_supcon(scores, grades, mask, 0.1, reduction="none")
    assert torch.equal(alone, together[:1])


def test_half_precision_is_computed_in_float32():
    scores = torch.rand(2, 4, dtype=torch.bfloat16)
    loss = graded_supcon(scores, torch.tensor([[2, 1, 0, 0]] * 2), torch.ones(2, 4, dtype=torch.bool), 0.01)
    assert loss.dtype == torch.float32


def test_bad_arguments_are_refused():
    scores, mask = torch.rand(2, 4), torch.ones(2, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="share one shape"):
        graded_supcon(scores, torch.zeros(2, 3), mask, 0.1)
    with pytest.raises(ValueError, match="reduction"):
        graded_supcon(scores, torch.zeros(2, 4), mask, 0.1, reduction="max")
