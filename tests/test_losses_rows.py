"""All losses of (scores, grades, mask): each against a slow loop of its equation, and what they must share."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode import losses
from motherlode.losses.rows import valued

# one row as a list of (score, grade), with the score that the constant weights are taken from


def slow_multilevel_circle(own, frozen=None, gamma=64.0):
    bands = {(2, 0): (0.75, 1.25, 0.25, -0.25), (1, 0): (0.4, 0.6, 0.25, -0.25), (2, 1): (0.75, 1.25, 0.6, 0.3)}
    total = 0.0
    for (a, b), (delta_a, o_a, delta_b, o_b) in bands.items():
        high = [(s, f) for (s, g), f in zip(own, frozen or [s for s, _ in own], strict=True) if g == a]
        low = [(s, f) for (s, g), f in zip(own, frozen or [s for s, _ in own], strict=True) if g == b]
        if high and low:
            first = sum(math.exp(-gamma * max(o_a - f, 0) * (s - delta_a)) for s, f in high)
            second = sum(math.exp(-gamma * min(o_b - f, 0) * (s - delta_b)) for s, f in low)
            total += math.log1p(first * second / len(low))
    return total


def slow_weighted_triplet(own, average=False):
    total = 0.0
    for a, b, weight, margin in [(2, 0, 1.0, 0.4), (1, 0, 0.5, 0.2), (2, 1, 0.5, 0.2)]:
        hinges = [max(margin - s + t, 0) for (s, g), (t, h) in product(own, own) if (g, h) == (a, b)]
        if hinges:
            total += weight * sum(hinges) / (len(hinges) if average else 1)
    return total


def slow_info_nce(own, temperature=0.05):
    grades = [g for _, g in own]
    wanted = [g >= 2 if max(grades, default=0) >= 2 else g == max(grades) for g in grades]
    positives = [s for (s, g), keep in zip(own, wanted, strict=True) if keep and g > min(grades)]
    total = sum(math.exp(s / temperature) for s, _ in own)
    return sum(-math.log(math.exp(s / temperature) / total) for s in positives) / max(len(positives), 1)


def slow_cosent(own, scale=20.0):
    return math.log(1 + sum(math.exp(scale * (t - s)) for (s, g), (t, h) in product(own, own) if g > h))


def slow_graded_circle(own, frozen=None, gamma=64.0, m=0.25):
    def clip(value):
        return min(max(value, 0.0), 1.0)

    both = [(clip(s), g, clip(f)) for (s, g), f in zip(own, frozen or [s for s, _ in own], strict=True)]
    return math.log1p(
        sum(
            math.exp(gamma * (max(v + m, 0) * (t - m) - max(1 + m - u, 0) * (s - 1 + m)))
            for (s, g, u), (t, h, v) in product(both, both)
            if g > h
        )
    )


def slow_gcl(own, temperature=0.05):
    total = sum(math.exp(s / temperature) for s, _ in own)
    return -sum(g * math.log(math.exp(s / temperature) / total) for s, g in own)


def slow_roar(own, temperature=0.02, odds_temperature=0.01):
    contrastive = slow_info_nce(own, temperature)
    logits = [s / odds_temperature for s, _ in own]

    def log_odds(i):  # P / (1 - P) = e^x_i / sum of the others
        return logits[i] - math.log(sum(math.exp(x) for j, x in enumerate(logits) if j != i))

    boundaries = []
    for low, high in pairwise(sorted({g for _, g in own})):
        over = [i for i, (_, g) in enumerate(own) if g == high]
        under = [i for i, (_, g) in enumerate(own) if g == low]
        boundaries.append(np.mean([math.log1p(math.exp(log_odds(j) - log_odds(i))) for i in over for j in under]))
    return contrastive + 0.1 * (float(np.mean(boundaries)) if boundaries else 0.0)


def slow_kl_distillation(own, temperature=0.05):
    if not own:
        return 0.0
    teacher = np.exp([t for _, t in own]) / np.exp([t for _, t in own]).sum()
    student = np.exp([s / temperature for s, _ in own]) / np.exp([s / temperature for s, _ in own]).sum()
    return float((teacher * np.log(teacher / student)).sum())


def slow_margin_mse(own):
    errors = [((s - u) - (t - v)) ** 2 for i, (s, t) in enumerate(own) for u, v in own[:i]]
    return float(np.mean(errors)) if errors else 0.0


def slow_lambda_loss(own, scale=20.0):
    """Every weight by really swapping the two items and taking NDCG again."""
    gain = {0: 0.0, 1: 0.5, 2: 1.0}
    order = sorted(range(len(own)), key=lambda i: -own[i][0])

    def dcg(ranking):
        return sum(gain[g] / math.log2(2 + rank) for rank, g in enumerate(ranking))

    ranking, total = [own[i][1] for i in order], 0.0
    for x, y in product(range(len(own)), repeat=2):
        if ranking[x] > ranking[y]:
            swapped = list(ranking)
            swapped[x], swapped[y] = swapped[y], swapped[x]
            change = abs(dcg(swapped) - dcg(ranking)) / dcg(sorted(ranking, reverse=True))
            total += change * math.log2(1 + math.exp(-scale * (own[order[x]][0] - own[order[y]][0])))
    return total


SLOW = {
    "multilevel_circle": slow_multilevel_circle,
    "weighted_triplet": slow_weighted_triplet,
    "info_nce": slow_info_nce,
    "cosent": slow_cosent,
    "graded_circle": slow_graded_circle,
    "gcl": slow_gcl,
    "roar": slow_roar,
    "kl_distillation": slow_kl_distillation,
    "margin_mse": slow_margin_mse,
    "lambda_loss": slow_lambda_loss,
}
DISTILLED = ("kl_distillation", "margin_mse")
FROZEN = ("multilevel_circle", "graded_circle")  # hold their weights constant in the gradient
SMOOTH = {"roar": {"temperature": 0.2, "odds_temperature": 0.2}}  # finite differences need a gentle slope


def rows_of(scores, grades, mask):
    return [
        [(float(s), g.item()) for s, g, m in zip(*row, strict=True) if m]
        for row in zip(scores, grades, mask, strict=True)
    ]


def contributes(name, own):
    return len(own) > 1 if name in DISTILLED else len({g for _, g in own}) > 1


@st.composite
def instances(draw):
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (
        torch.from_numpy(rng.uniform(-1, 1, (rows, columns))),
        torch.from_numpy(rng.integers(0, 3, (rows, columns))),
        torch.from_numpy(rng.random((rows, columns)) < draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))),
    )


@pytest.mark.parametrize("name", SLOW)
@settings(max_examples=40)
@given(instance=instances())
def test_equals_slow_loop_in_every_reduction(name, instance):
    own = rows_of(*instance)
    expected = [SLOW[name](row) for row in own]
    loss = getattr(losses, name)
    np.testing.assert_allclose(loss(*instance, reduction="none").numpy(), expected, rtol=1e-10, atol=1e-11)
    assert float(loss(*instance)) == pytest.approx(sum(expected), rel=1e-10, abs=1e-10)
    if name == "gcl":
        count = sum(grade for row in own for _, grade in row)
    else:
        count = sum(contributes(name, row) for row in own)
    mean = float(loss(*instance, reduction="mean"))
    assert mean == pytest.approx(sum(expected) / count if count else 0.0, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("name", [name for name in SLOW if name not in FROZEN])
@settings(max_examples=8, derandomize=True)  # a random draw may sit on a kink
@given(instance=instances())
def test_gradients(name, instance):
    scores, grades, mask = instance
    loss, more = getattr(losses, name), SMOOTH.get(name, {})
    assert torch.autograd.gradcheck(lambda s: loss(s, grades, mask, **more), (scores.clone().requires_grad_(),))


@pytest.mark.parametrize("name", FROZEN)
@settings(max_examples=15, derandomize=True)
@given(instance=instances())
def test_gradients_with_constant_weights_equal_finite_differences(name, instance):
    scores, grades, mask = instance
    scores = scores.clone().requires_grad_()
    getattr(losses, name)(scores, grades, mask, gamma=4.0).backward()
    own, step = rows_of(scores.detach(), grades, mask), 1e-6
    for row, pairs in enumerate(own):
        frozen, places = [s for s, _ in pairs], mask[row].nonzero().flatten().tolist()
        for here, column in enumerate(places):
            moved = [[(s + sign * step * (i == here), g) for i, (s, g) in enumerate(pairs)] for sign in (1, -1)]
            up, down = (SLOW[name](side, frozen, gamma=4.0) for side in moved)
            assert float(scores.grad[row, column]) == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-6)
        assert (scores.grad[row][~mask[row]] == 0).all()


@pytest.mark.parametrize("name", SLOW)
def test_learnt_scale_has_the_right_gradient(name):
    loss = getattr(losses, name)
    setting = next((s for s in ("temperature", "scale", "gamma") if s in loss.__annotations__), None)
    if setting is None:
        assert name == "weighted_triplet"
        return
    torch.manual_seed(1)
    scores, mask = torch.rand(3, 6, dtype=torch.float64), torch.rand(3, 6) < 0.9
    grades = torch.tensor([[2, 1, 0, 0, 2, 1], [1, 0, 0, 2, 0, 0], [0, 0, 1, 1, 0, 2]])
    value = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: loss(scores, grades, mask, **{setting: v}), (value,))
    (gradient,) = torch.autograd.grad(loss(scores, grades, mask, **{setting: value}), value)
    assert gradient != 0


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padding_single_grades_and_extremes_stay_finite(name, dtype):
    loss = getattr(losses, name)
    grades = torch.tensor([[2, 0, 1, 0, 2, 2], [0] * 6, [2] * 6, [1, 2, 0, 1, 0, 0], [2, 1, 1, 0, 0, 0]]).float()
    scores = torch.tensor([[-1, 1, 0.5, 1, -1, -1]] * 5, dtype=dtype)
    mask = torch.ones(5, 6, dtype=torch.bool)
    mask[0, 4:] = False
    mask[3] = False
    mask[4, 1:] = False
    scores[0, 4:], grades[0, 5] = torch.nan, torch.nan  # whatever stands under the mask
    scores[3] = torch.inf
    scores.requires_grad_()
    steep = {"temperature": 1e-4, "scale": 1e4, "gamma": 1e5, "odds_temperature": 1e-4}
    value = loss(scores, grades, mask, **{k: v for k, v in steep.items() if k in loss.__annotations__})
    assert value.dtype == torch.float32
    value.backward()
    assert torch.isfinite(value)
    assert value > 0
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[~mask] == 0).all()
    assert (scores.grad[0, :4] != 0).any()
    if name not in (*DISTILLED, "gcl"):
        assert (scores.grad[1:] == 0).all()  # grade 0 only, 2 only, none, one item


@pytest.mark.parametrize("name", SLOW)
def test_another_row_more_padding_or_another_order_changes_nothing(name):
    loss = getattr(losses, name)
    generator = torch.Generator().manual_seed(3)
    scores = torch.rand(3, 9, generator=generator, dtype=torch.float64)
    grades, mask = torch.randint(0, 3, (3, 9), generator=generator), torch.ones(3, 9, dtype=torch.bool)
    mask[:, 7:] = False
    whole = loss(scores, grades, mask, reduction="none")
    torch.testing.assert_close(loss(scores[:1], grades[:1], mask[:1], reduction="none"), whole[:1])
    torch.testing.assert_close(loss(scores[:, :7], grades[:, :7], mask[:, :7], reduction="none"), whole)
    order = torch.randperm(9, generator=generator)
    torch.testing.assert_close(loss(scores[:, order], grades[:, order], mask[:, order], reduction="none"), whole)


@pytest.mark.parametrize("name", SLOW)
def test_bad_arguments_are_refused(name):
    loss, scores, mask = getattr(losses, name), torch.rand(2, 4), torch.ones(2, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="share one shape"):
        loss(scores, torch.zeros(2, 3), mask)
    with pytest.raises(ValueError, match="reduction"):
        loss(scores, torch.zeros(2, 4), mask, reduction="max")


def test_a_better_order_costs_less():
    grades, mask = torch.tensor([[2, 1, 0]]), torch.ones(1, 3, dtype=torch.bool)
    good, bad = torch.tensor([[0.9, 0.5, 0.0]]), torch.tensor([[0.0, 0.5, 0.9]])
    for name in SLOW:
        if name != "margin_mse":  # does not stop at the order
            loss = getattr(losses, name)
            assert loss(good, grades, mask) < loss(bad, grades, mask), name


def test_average_of_weighted_triplet():
    own = [(0.3, 2), (0.1, 2), (0.2, 1), (0.25, 0), (0.0, 0), (0.31, 0)]
    scores, grades = torch.tensor([own], dtype=torch.float64).unbind(-1)
    value = losses.weighted_triplet(scores, grades, torch.ones(1, 6, dtype=torch.bool), average=True)
    assert float(value) == pytest.approx(slow_weighted_triplet(own, average=True))
    with pytest.raises(ValueError, match="out of order"):
        losses.weighted_triplet(scores, grades, scores > -1, pairs=[losses.TripletPair(0, 1, 1.0, 0.1)])


def test_gcl_with_unit_weights_is_info_nce_and_the_mean_of_both_directions_is_symmetric():
    scores = torch.rand(5, 5, dtype=torch.float64)
    grades, mask = torch.eye(5, dtype=torch.int64) * 2, torch.ones(5, 5, dtype=torch.bool)
    for reduction in ("sum", "mean", "none"):
        torch.testing.assert_close(
            losses.gcl(scores, grades, mask, weights=(0, 1, 1), reduction=reduction),
            losses.info_nce(scores, grades, mask, reduction=reduction),
        )
    both = losses.gcl(scores, grades, mask, symmetric=True)
    torch.testing.assert_close(both, losses.gcl(scores.T, grades, mask, symmetric=True))
    one_way = [losses.gcl(side, grades, mask) for side in (scores, scores.T)]
    torch.testing.assert_close(both, sum(one_way) / 2)


def test_teacher_probabilities_are_divided_by_their_sum():
    scores, mask = torch.tensor([[0.3, 0.1, 0.2], [0.5, 0.2, 0.1]], dtype=torch.float64), torch.ones(2, 3) > 0
    teacher = torch.tensor([[0.8, 0.0, 0.2], [0.0, 0.0, 0.0]], dtype=torch.float64)
    rows = losses.kl_distillation(scores, teacher * 0.5, mask, teacher_form="probabilities", reduction="none")
    student = (scores[0] / 0.05).softmax(0)
    assert float(rows[0]) == pytest.approx(float(0.8 * (0.8 / student[0]).log() + 0.2 * (0.2 / student[2]).log()))
    assert rows[1] == 0
    with pytest.raises(ValueError, match="negative"):
        losses.kl_distillation(scores, -teacher, mask, teacher_form="probabilities")
    with pytest.raises(ValueError, match="teacher_form"):
        losses.kl_distillation(scores, teacher, mask, teacher_form="logits")


def test_values_of_grades_are_interpolated_and_must_exist():
    grades = torch.tensor([0.0, 0.5, 1.0, 1.25, 2.0])
    torch.testing.assert_close(valued((0.0, 1.0, 3.0), grades), torch.tensor([0.0, 0.5, 1.0, 1.5, 3.0]))
    with pytest.raises(ValueError, match="0 to 1"):
        valued((0.0, 1.0), grades)
