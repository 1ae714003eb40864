"""The angular margin against prototypes: a loop over angles, gradients, its edges."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motherlode.losses import prototype_margin


def slow(vectors, targets, prototypes, temperature, margin, neighbours):
    def angle(a, b):
        return math.acos(max(-1.0, min(1.0, float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))))

    rows = []
    for vector, y in zip(vectors, targets, strict=True):
        if y < 0:
            rows.append(0.0)
            continue
        others = sorted(
            (u for u in range(len(prototypes)) if u != y), key=lambda u: angle(prototypes[y], prototypes[u])
        )
        own = angle(vector, prototypes[y])
        turned = math.cos(own + margin) if own + margin < math.pi else math.cos(own) - margin * math.sin(margin)
        rest = [math.exp(math.cos(angle(vector, prototypes[u])) / temperature) for u in others[:neighbours]]
        rows.append(-math.log(math.exp(turned / temperature) / (math.exp(turned / temperature) + sum(rest))))
    return rows


@given(
    seed=st.integers(0, 2**32 - 1),
    neighbours=st.sampled_from([None, 1, 3, 9]),
    margin=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_equals_slow_loop(seed, neighbours, margin):
    rng = np.random.default_rng(seed)
    vectors, prototypes, targets = rng.normal(size=(5, 3)), rng.normal(size=(6, 3)), rng.integers(-1, 6, 5)
    expected = slow(vectors, targets, prototypes, 0.1, margin, neighbours)
    given_ = (torch.from_numpy(vectors), torch.from_numpy(targets), torch.from_numpy(prototypes), 0.1)
    rows = prototype_margin(*given_, margin=margin, neighbours=neighbours, reduction="none")
    np.testing.assert_allclose(rows.numpy(), expected, rtol=1e-7, atol=1e-9)
    mean = float(prototype_margin(*given_, margin=margin, neighbours=neighbours, reduction="mean"))
    assert mean == pytest.approx(sum(expected) / max((targets >= 0).sum(), 1))


def test_gradients_of_vectors_prototypes_and_temperature():
    torch.manual_seed(2)
    vectors = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    prototypes = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    tau = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 4, -1, 2])
    assert torch.autograd.gradcheck(
        lambda v, p, t: prototype_margin(v, targets, p, t, neighbours=2), (vectors, prototypes, tau)
    )
    prototype_margin(vectors, targets, prototypes, tau).backward()
    assert (vectors.grad[2] == 0).all()


def test_finite_on_the_prototype_opposite_to_it_and_at_zero():
    prototypes = torch.eye(3)
    vectors = torch.stack([prototypes[0], -prototypes[0], torch.zeros(3)]).requires_grad_()
    rows = prototype_margin(vectors, torch.zeros(3, dtype=torch.int64), prototypes, 1e-3, reduction="none")
    rows.sum().backward()
    assert torch.isfinite(rows).all()
    assert torch.isfinite(vectors.grad).all()
    assert rows[0] < rows[1]


def test_loss_never_falls_as_the_angle_grows():
    angles = torch.linspace(0, math.pi, 200, dtype=torch.float64)
    vectors = torch.stack([angles.cos(), angles.sin(), torch.zeros_like(angles)], dim=1)
    prototypes = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]], dtype=torch.float64)
    rows = prototype_margin(vectors, torch.zeros(200, dtype=torch.int64), prototypes, 0.1, reduction="none")
    assert (rows.diff() > -1e-12).all()


def test_half_precision_and_bad_shapes():
    half = torch.randn(2, 3, dtype=torch.bfloat16)
    assert prototype_margin(half, torch.tensor([0, 1]), half).dtype == torch.float32
    with pytest.raises(ValueError, match=r"\[P, D\]"):
        prototype_margin(torch.rand(2, 3), torch.tensor([0, 1]), torch.rand(4, 2))
    with pytest.raises(ValueError, match="targets"):
        prototype_margin(torch.rand(2, 3), torch.tensor([0]), torch.rand(4, 3))
    with pytest.raises(ValueError, match="reduction"):
        prototype_margin(torch.rand(2, 3), torch.tensor([0, 1]), torch.rand(4, 3), reduction="max")
