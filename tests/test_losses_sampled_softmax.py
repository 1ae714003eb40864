"""The sampled softmax against a loop from its formula, by finite differences, and against the full softmax."""

import math

import numpy as np
import pytest
import torch

from motherlode.losses.sampled_softmax import sampled_softmax


def by_loop(positive, scores, mask, t, log_q, eta, log_weight, positive_log_q, virtual, virtual_mask, omega):
    losses = []
    for b in range(len(positive)):
        own = math.exp(positive[b] / t - positive_log_q[b])
        total = own
        for j in range(scores.shape[1]):
            if mask[b, j]:
                total += math.exp(scores[b, j] / t - eta * log_q[b, j] + log_weight[b, j])
        for v in range(virtual.shape[1]):
            if virtual_mask[b, v]:
                total += omega * math.exp(virtual[b, v] / t)
        losses.append(-math.log(own / total))
    return np.array(losses)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize(("eta", "omega"), [(0.0, 1.0), (1.0, 0.5), (0.3, 0.0)])
def test_equals_a_loop_from_the_formula(dtype, eta, omega):
    g = torch.Generator().manual_seed(1)
    rows, width, made = 5, 7, 4
    positive, scores = torch.rand(rows, generator=g), torch.rand((rows, width), generator=g) * 2 - 1
    mask = torch.rand((rows, width), generator=g) < 0.7
    mask[2] = False
    log_q, log_weight = torch.randn((rows, width), generator=g), torch.randn((rows, width), generator=g)
    positive_log_q = torch.randn(rows, generator=g)
    virtual, virtual_mask = torch.rand((rows, made), generator=g), torch.rand((rows, made), generator=g) < 0.6
    low = [x.to(dtype) for x in (positive, scores, virtual)]
    expected = by_loop(
        low[0].double().numpy(),
        low[1].double().numpy(),
        mask.numpy(),
        0.2,
        log_q.double().numpy(),
        eta,
        log_weight.double().numpy(),
        positive_log_q.double().numpy(),
        low[2].double().numpy(),
        virtual_mask.numpy(),
        omega,
    )
    low[1][~mask] = torch.nan  # what lies under a mask must not matter
    low[2][~virtual_mask] = torch.inf
    got = sampled_softmax(
        low[0],
        low[1],
        mask,
        0.2,
        log_q=log_q,
        eta=eta,
        log_weight=log_weight,
        positive_log_q=positive_log_q,
        virtual_scores=low[2],
        virtual_mask=virtual_mask,
        omega=omega,
        reduction="none",
    )
    assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    np.testing.assert_allclose(got.numpy(), expected, rtol=2e-5, atol=2e-5)


def test_gradients_pass_finite_differences():
    g = torch.Generator().manual_seed(2)
    made = [
        torch.rand(shape, generator=g, dtype=torch.float64).requires_grad_() for shape in [(3,), (3, 4), (3, 2), ()]
    ]
    mask = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    log_q = torch.randn(4, generator=g, dtype=torch.float64)

    def loss(positive, scores, virtual, temperature):
        return sampled_softmax(
            positive, scores, mask, temperature + 0.2, log_q=log_q, eta=1.0, virtual_scores=virtual, omega=0.7
        )

    assert torch.autograd.gradcheck(loss, made)


@pytest.mark.parametrize("learnt", [False, True])
def test_what_lies_under_a_mask_reaches_no_gradient(learnt):
    positive = torch.tensor([0.3, 0.1], requires_grad=True)
    temperature = torch.tensor(0.2, requires_grad=learnt)
    mask, virtual_mask = torch.tensor([[True, False], [True, True]]), torch.tensor([[False], [True]])
    grads = []
    for filling in (0.0, torch.nan, torch.inf):
        scores = torch.tensor([[0.2, filling], [0.4, -0.1]], requires_grad=True)
        virtual = torch.tensor([[filling], [0.3]], requires_grad=True)
        loss = sampled_softmax(positive, scores, mask, temperature, virtual_scores=virtual, virtual_mask=virtual_mask)
        wanted = [positive, scores, virtual, *([temperature] if learnt else [])]
        grads.append([loss.detach(), *torch.autograd.grad(loss, wanted)])
    for other in grads[1:]:
        for one, two in zip(grads[0], other, strict=True):
            assert torch.equal(one, two)


def test_extreme_scores_stay_finite_and_a_row_without_negatives_adds_nothing():
    positive = torch.tensor([-1.0, 1.0, 0.0], requires_grad=True)
    scores = torch.tensor([[1.0], [-1.0], [5.0]])
    loss = sampled_softmax(positive, scores, torch.tensor([[True], [True], [False]]), 1e-4, reduction="none")
    assert loss[0].item() == pytest.approx(2e4) and loss[1] == 0 and loss[2] == 0
    loss.sum().backward()
    assert torch.isfinite(positive.grad).all() and positive.grad[2] == 0


def test_reductions_and_shapes():
    positive, scores = torch.rand(4), torch.rand(4, 3)
    mask = torch.ones(4, 3, dtype=torch.bool)
    rows = sampled_softmax(positive, scores, mask, reduction="none")
    assert sampled_softmax(positive, scores, mask).item() == pytest.approx(rows.mean().item())
    assert sampled_softmax(positive, scores, mask, reduction="sum").item() == pytest.approx(rows.sum().item())
    with pytest.raises(ValueError, match=r"\[B, S\]"):
        sampled_softmax(positive[:3], scores, mask)
    with pytest.raises(ValueError, match=r"\[4, V\]"):
        sampled_softmax(positive, scores, mask, virtual_scores=torch.rand(3, 2))


def gradient(positive, scores, log_q, eta):
    """d loss / d (positive, scores) of R sampled rows."""
    positive, scores = positive.clone().requires_grad_(), scores.clone().requires_grad_()
    sampled_softmax(
        positive, scores, torch.ones_like(scores, dtype=torch.bool), 1.0, log_q=log_q, eta=eta, reduction="sum"
    ).backward()
    return positive.grad, scores.grad


def sampled_gradient(logits, proposal, n, repeats, eta, seed):
    """Mean gradient per item over many samples of n negatives of item 0's rivals, and its standard error."""
    rng = np.random.default_rng([seed])
    drawn = torch.from_numpy(rng.choice(np.arange(1, len(logits)), (repeats, n), p=proposal[1:].numpy()))
    log_q = (n * proposal).log()[drawn]
    of_positive, of_drawn = gradient(logits[0].expand(repeats), logits[drawn], log_q, eta)
    each = torch.zeros(repeats, len(logits), dtype=torch.float64).scatter_add_(1, drawn, of_drawn)
    each[:, 0] = of_positive
    return each.mean(0), each.std(0) / repeats**0.5


def full_gradient(logits):
    full = logits.clone().requires_grad_()
    (full.logsumexp(0) - full[0]).backward()
    return full.grad


LOGITS = torch.randn(12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_with_exact_log_q_the_gradient_is_the_full_softmax_in_expectation():
    # for the proposal q ~ e^s every sample has the same denominator, the full one: no bias at any n
    proposal = LOGITS.softmax(0) / (1 - LOGITS.softmax(0)[0])
    mean, error = sampled_gradient(LOGITS, proposal, 5, 15_000, 1.0, 4)
    assert ((mean - full_gradient(LOGITS)).abs() < 4.5 * error + 1e-12).all()
    # any other proposal: the denominator is unbiased, the gradient's bias falls like 1 / n
    other = torch.rand(12, generator=torch.Generator().manual_seed(5), dtype=torch.float64) + 0.2
    other = other / other[1:].sum()
    few, _ = sampled_gradient(LOGITS, other, 5, 15_000, 1.0, 6)
    many, error = sampled_gradient(LOGITS, other, 200, 3_000, 1.0, 7)
    assert ((many - full_gradient(LOGITS)).abs() < 4.5 * error + 2e-3).all()
    assert (few - full_gradient(LOGITS)).abs().max() > 5 * (many - full_gradient(LOGITS)).abs().max()
    # without the correction it stays wrong
    wrong, error = sampled_gradient(LOGITS, other, 200, 3_000, 0.0, 8)
    assert (wrong - full_gradient(LOGITS)).abs().max() > 0.05
