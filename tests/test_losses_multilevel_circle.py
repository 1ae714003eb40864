"""The multi-level circle loss: expected values, geometry, and the standard circle loss as its two-level case."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motherlode.losses import LEVELS, Level, multilevel_circle, standard_levels

FULL = torch.ones(1, 3, dtype=torch.bool)


def literal(scores, grades, mask, gamma, levels, average=True):
    """Eqs. 3-5 as printed: products of sums of exponentials, in float64 on numpy arrays."""
    positive = {level.grade: level.positive for level in levels if level.positive}
    negative = {level.grade: level.negative for level in levels if level.negative}
    total = 0.0
    for s, g, m in zip(scores.double().numpy(), grades.numpy(), mask.numpy(), strict=True):
        for a, (delta_p, o_p) in positive.items():
            for b, (delta_n, o_n) in negative.items():
                s_p, s_n = s[m & (g == a)], s[m & (g == b)]
                if a > b and len(s_p) and len(s_n):
                    up = np.exp(-gamma * np.maximum(o_p - s_p, 0) * (s_p - delta_p)).sum()
                    down = np.exp(-gamma * np.minimum(o_n - s_n, 0) * (s_n - delta_n)).sum()
                    total += math.log(1 + up * down / (len(s_n) if average else 1))
    return total


FOUR = (
    Level(3, positive=(0.8, 1.2)),
    Level(2, positive=(0.5, 0.7), negative=(0.7, 0.5)),
    Level(1, positive=(0.2, 0.4), negative=(0.4, 0.2)),
    Level(0, negative=(0.1, -0.1)),
)


@pytest.mark.parametrize("levels", [LEVELS, FOUR])
@given(seed=st.integers(0, 2**32 - 1))
def test_stable_form_equals_the_printed_one(levels, seed):
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.uniform(-1, 1, (6, 9)))
    grades = torch.from_numpy(rng.integers(0, len(levels), (6, 9)))
    mask = torch.from_numpy(rng.random((6, 9)) < 0.8)
    value = float(multilevel_circle(scores, grades, mask, 16.0, levels=levels))
    assert value == pytest.approx(literal(scores, grades, mask, 16.0, levels), abs=1e-9)
    single = float(multilevel_circle(scores.float(), grades, mask, 16.0, levels=levels, reduction="mean"))
    rows = multilevel_circle(scores, grades, mask, 16.0, levels=levels, reduction="none")
    pairs = torch.tensor([len(set(g[m].tolist())) > 1 for g, m in zip(grades, mask, strict=True)])
    assert single == pytest.approx(float(rows.sum() / max(pairs.sum(), 1)), rel=1e-5, abs=1e-5)


@given(seed=st.integers(0, 2**32 - 1), margin=st.sampled_from([0.1, 0.25, 0.4]))
def test_two_levels_are_the_circle_loss_of_sun_et_al(seed, margin):
    rng = np.random.default_rng(seed)
    s = torch.from_numpy(rng.uniform(-1, 1, (1, 8)))
    grades = torch.tensor([[1, 1, 1, 0, 0, 0, 0, 0]])
    up = sum(math.exp(-32 * max(1 + margin - float(v), 0) * (float(v) - 1 + margin)) for v in s[0, :3])
    down = sum(math.exp(32 * max(float(v) + margin, 0) * (float(v) - margin)) for v in s[0, 3:])
    expected = math.log1p(up * down)
    settings = {"levels": standard_levels(margin), "average_negatives": False}
    mask = torch.ones_like(grades) > 0
    assert float(multilevel_circle(s, grades, mask, 32.0, **settings)) == pytest.approx(expected, abs=1e-12)
    single = float(multilevel_circle(s.float(), grades, mask, 32.0, **settings))
    assert single == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_case_2_over_0_is_the_standard_loss_but_for_the_average():
    scores, grades = torch.tensor([[0.6, 0.1, 0.5, -0.2]]), torch.tensor([[2, 0, 0, 0]])
    mask = torch.ones(1, 4) > 0
    ours = multilevel_circle(scores, grades, mask, average_negatives=False, pairs=[(2, 0)])
    torch.testing.assert_close(
        ours, multilevel_circle(scores, grades.clamp(max=1), mask, levels=standard_levels(), average_negatives=False)
    )
    averaged = multilevel_circle(scores, grades, mask)
    assert math.expm1(float(ours)) == pytest.approx(3 * math.expm1(float(averaged)), rel=1e-4)


@pytest.mark.parametrize(("detach", "expected"), [(True, -0.44), (False, 0.89)])
def test_gradient_of_grade_1_above_its_centre(detach, expected):
    scores = torch.tensor([[0.55, 0.2]], dtype=torch.float64, requires_grad=True)
    multilevel_circle(scores, torch.tensor([[1, 0]]), FULL[:, :2], 32.0, detach=detach).backward()
    assert float(scores.grad[0, 0]) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("detach", [True, False])
def test_gradients_have_their_closed_form(detach):
    """With p, q the softmax weights within either grade and w = sigmoid of the softplus argument."""
    s = torch.tensor([[0.5, 0.7, 0.1, 0.3, -0.1]], dtype=torch.float64, requires_grad=True)
    grades, gamma = torch.tensor([[2, 2, 0, 0, 0]]), 16.0
    multilevel_circle(s, grades, torch.ones(1, 5) > 0, gamma, detach=detach).backward()
    high, low = s.detach()[0, :2], s.detach()[0, 2:]
    up = -gamma * (1.25 - high) * (high - 0.75)
    down = gamma * (low + 0.25) * (low - 0.25)
    w = torch.sigmoid(up.logsumexp(0) + down.logsumexp(0) - math.log(3))
    if detach:
        by_high, by_low = -(1.25 - high), low + 0.25
    else:
        by_high, by_low = -2 * (1 - high), 2 * low
    expected = torch.cat([gamma * w * up.softmax(0) * by_high, gamma * w * down.softmax(0) * by_low])
    torch.testing.assert_close(s.grad[0], expected)


@pytest.mark.parametrize(
    ("gamma", "detach", "expected"),
    [
        (16.0, True, (1.00, 0.505, -0.25)),
        (32.0, True, (1.00, 0.552, -0.25)),
        (64.0, True, (1.00, 0.591, -0.25)),
        (16.0, False, (1.00, 0.477, 0.00)),
        (32.0, False, (1.00, 0.479, 0.00)),
        (64.0, False, (1.00, 0.484, 0.00)),
    ],
)
def test_equilibrium_of_free_scores(gamma, detach, expected):
    scores = torch.tensor([[0.8, 0.5, 0.1]], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Rprop([scores], lr=0.01, step_sizes=(1e-9, 0.05))
    for _ in range(250):
        optimiser.zero_grad()
        multilevel_circle(scores, torch.tensor([[2, 1, 0]]), FULL, gamma, detach=detach).backward()
        optimiser.step()
        with torch.no_grad():
            scores.clamp_(-1, 1)
    assert scores.tolist()[0] == pytest.approx(expected, abs=0.01)


def test_loss_at_the_centres_of_a_case():
    """log(1 + exp(-gamma r^2)) with r^2 the squared half widths' sum: 0.0725 for grade 1 over 0."""
    for gamma, residual in [(16, 0.273), (32, 0.094), (64, 0.0096), (128, 0.0001)]:
        value = multilevel_circle(torch.tensor([[0.5, 0.0]]), torch.tensor([[1, 0]]), FULL[:, :2], float(gamma))
        assert float(value) == pytest.approx(math.log1p(math.exp(-gamma * 0.0725)), abs=1e-5)
        assert float(value) == pytest.approx(residual, abs=0.0005)


def test_gamma_256_with_padding_and_single_grades():
    scores = torch.tensor([[0.9, -0.9, 0.5, 0.3], [0.1, 0.2, 0.3, 0.4], [1.0, 1.0, -1.0, 1.0]], requires_grad=True)
    grades = torch.tensor([[0, 2, 1, 2], [1, 1, 1, 1], [0, 2, 1, 0]])
    mask = torch.tensor([[True, True, True, False], [True] * 4, [False] * 4])
    loss = multilevel_circle(scores, grades, mask, 256.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[0, :3] != 0).all()
    assert (scores.grad[0, 3:] == 0).all()
    assert (scores.grad[1:] == 0).all()


def test_a_row_sums_the_cases_of_the_grades_it_holds():
    scores, grades = torch.tensor([[0.6, 0.5, 0.3]]), torch.tensor([[2, 1, 0]])
    parts = [multilevel_circle(scores, grades, FULL, pairs=[pair]) for pair in [(2, 0), (1, 0), (2, 1)]]
    torch.testing.assert_close(multilevel_circle(scores, grades, FULL), sum(parts))
    without = FULL & (grades != 1)
    torch.testing.assert_close(multilevel_circle(scores, grades, without), parts[0])


def test_pairs_without_a_role_are_refused():
    for pair in [(0, 1), (1, 1), (3, 0), (2, 7)]:
        with pytest.raises(ValueError, match="higher grade"):
            multilevel_circle(torch.rand(1, 3), torch.tensor([[2, 1, 0]]), FULL, pairs=[pair])
