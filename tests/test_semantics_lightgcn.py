"""LightGCN against dense float64 matrices, and that it sees training alone and tells crowds apart."""

import numpy as np
import pytest
import torch

from motherlode.errors import InputError, SettingError
from motherlode.semantics.lightgcn import LightGCNSettings, adjacency, bpr, lightgcn_view, propagate

FEW = LightGCNSettings(dim=8, layers=2, steps=4, batch=64)


def edges(seed=0, users=12, items=9, count=50):
    rng = np.random.default_rng(seed)
    return np.divmod(np.unique(rng.integers(users * items, size=count)), items)


def dense(who, what, users, items):
    taken = np.zeros((users, items))
    taken[who, what] = 1
    whole = np.block([[np.zeros((users, users)), taken], [taken.T, np.zeros((items, items))]])
    root = np.sqrt(whole.sum(1))
    root = np.divide(1, root, out=np.zeros_like(root), where=root > 0)
    return root[:, None] * whole * root


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_propagation_and_its_gradient_are_those_of_the_dense_matrix(layers):
    who, what = edges()
    graph, whole = adjacency(who, what, 12, 9), dense(who, what, 12, 9)
    np.testing.assert_allclose(graph.toarray(), whole, rtol=1e-6)
    first = torch.randn(21, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    rows = [torch.tensor([0, 3, 3, 7]), torch.tensor([12, 15, 16, 20]), torch.tensor([14, 12, 19, 13])]
    fair = torch.tensor([True, True, False, True])
    got = propagate(graph, first, layers)
    loss = bpr(got, rows, fair)
    loss.backward()
    # float64, one power of the matrix after another, one triplet after another
    slow = first.detach().double().requires_grad_()
    matrix = torch.from_numpy(whole)
    expected = sum(torch.linalg.matrix_power(matrix, k) @ slow for k in range(layers + 1)) / (layers + 1)
    parts = [
        -torch.log(torch.sigmoid(expected[u] @ expected[i] - expected[u] @ expected[j]))
        for u, i, j, ok in zip(*rows, fair, strict=True)
        if ok
    ]
    (sum(parts) / 3).backward()
    np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), atol=1e-5)
    assert float(loss.detach()) == pytest.approx(float(sum(parts).detach()) / 3, rel=1e-5)
    np.testing.assert_allclose(first.grad.numpy(), slow.grad.numpy(), atol=1e-6)


def test_no_bit_hangs_on_test_events_and_training_ones_do_matter():
    rng = np.random.default_rng(3)
    users, items, train = rng.integers(20, size=300), rng.integers(30, size=300), rng.random(300) < 0.7
    seen = lightgcn_view(users, items, train, 31, FEW)
    moved = items.copy()
    moved[~train] = rng.integers(30, size=(~train).sum())
    for other in (
        lightgcn_view(users, moved, train, 31, FEW),
        lightgcn_view(users[train], items[train], np.ones(train.sum(), bool), 31, FEW),
    ):
        assert seen[0].tobytes() == other[0].tobytes() and (seen[1] == other[1]).all()
    moved[np.flatnonzero(train)[:20]] = 3
    assert (lightgcn_view(users, moved, train, 31, FEW)[0] != seen[0]).any()
    np.testing.assert_array_equal(seen[1], np.isin(np.arange(31), items[train]))
    assert (seen[0][~seen[1]] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(seen[0][seen[1]], axis=1), 1, rtol=1e-5)


def test_it_learns_to_tell_two_crowds_that_share_some_items():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(120), 8)
    items = rng.integers(20, size=960) + 20 * (users % 2)
    stray = rng.random(960) < 0.1
    items[stray] = rng.integers(40, size=stray.sum())
    every, side = np.ones(960, bool), np.arange(40) // 20
    same = side[:, None] == side
    gaps = []
    for steps in (0, 60):
        vectors, _ = lightgcn_view(users, items, every, 40, LightGCNSettings(dim=16, steps=steps, batch=512, lr=0.03))
        cosines = vectors @ vectors.T
        gaps.append(cosines[same].mean() - cosines[~same].mean())
    assert gaps[1] > gaps[0] + 0.2 and gaps[1] > 0.6


def test_users_who_have_everything_and_faults():
    users, items = np.repeat(np.arange(3), 2), np.tile(np.arange(2), 3)
    vectors, present = lightgcn_view(users, items, np.ones(6, bool), 2, FEW)
    assert np.isfinite(vectors).all() and present.all()
    one = np.array([0])
    with pytest.raises(InputError, match="No event is of training"):
        lightgcn_view(one, one, np.array([False]), 3)
    with pytest.raises(InputError, match="item row 5"):
        lightgcn_view(one, one + 5, np.array([True]), 3)
    with pytest.raises(InputError, match="pair up"):
        lightgcn_view(one, one, np.array([True, True]), 3)
    with pytest.raises(SettingError, match="dim"):
        LightGCNSettings(dim=0)
