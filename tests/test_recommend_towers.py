"""The towers: pooling against loops, the row table against plain Adam, cold items, saving."""

import numpy as np
import pytest
import torch

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.recommend.pooling import pooling
from motherlode.recommend.row_table import BETAS, EPSILON, RowTable
from motherlode.recommend.towers import TowerSettings, UserItemTwoTower
from motherlode.recommend.unit import unit

PLACES = torch.tensor([[2, 0, 4, -1], [1, -1, -1, -1], [3, 3, 2, 1]])


def each(places: torch.Tensor):
    return [row[row >= 0] for row in places]


def test_unit_rows_and_their_gradient():
    rows = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(unit(rows), torch.stack([row / (row**2).sum().sqrt() for row in rows]))
    assert torch.autograd.gradcheck(unit, rows)
    mixed = torch.cat([rows.detach(), torch.zeros(1, 5, dtype=torch.float64)]).requires_grad_()
    weights = torch.randn(7, 5, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad((made * weights).sum(), mixed)[0]
        for made in (unit(mixed), torch.nn.functional.normalize(mixed, dim=1))
    )
    torch.testing.assert_close(ours, theirs)  # also of a row of zeros


def test_mean_pooling_is_the_mean():
    vectors = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    found = pooling("mean", 3, 4)(vectors, PLACES)
    wanted = torch.stack([vectors[row].mean(dim=0) for row in each(PLACES)])
    torch.testing.assert_close(found, wanted)
    weights = torch.randn(3, 3, dtype=torch.float64)
    one = torch.autograd.grad((found * weights).sum(), vectors)[0]
    two = torch.autograd.grad((wanted * weights).sum(), vectors)[0]
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("decay", [0.5, 1.0, 2.0])
def test_the_k_th_last_item_weighs_by_a_power_of_k(decay):
    vectors = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    found = pooling("mean", 3, 4, decay)(vectors, PLACES)
    wanted = []
    for row in each(PLACES):
        weights = [1 / (len(row) - at) ** decay for at in range(len(row))]
        wanted.append(sum(w * vectors[i] for w, i in zip(weights, row, strict=True)) / sum(weights))
    torch.testing.assert_close(found, torch.stack(wanted))
    weights = torch.randn(3, 3, dtype=torch.float64)
    one = torch.autograd.grad((found * weights).sum(), vectors)[0]
    two = torch.autograd.grad((torch.stack(wanted) * weights).sum(), vectors)[0]
    torch.testing.assert_close(one, two)


def test_attention_pooling_from_the_equation():
    torch.manual_seed(0)
    pool = pooling("attention", 3, 4).double()
    with torch.no_grad():
        pool.question.normal_()
        pool.recency.normal_()
    vectors = torch.randn(5, 3, dtype=torch.float64)
    for row, found in zip(each(PLACES), pool(vectors, PLACES), strict=True):
        with torch.no_grad():
            logits = [
                float(pool.question @ torch.tanh(pool.turn.weight @ vectors[i] + pool.turn.bias))
                + float(pool.recency[len(row) - 1 - place])
                for place, i in enumerate(row)
            ]
        weights = np.exp(logits) / np.exp(logits).sum()
        wanted = sum(w * vectors[i].numpy() for w, i in zip(weights, row, strict=True))
        np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-12)


def test_recurrent_pooling_reads_each_history_alone():
    torch.manual_seed(0)
    pool, vectors = pooling("gru", 3, 4), torch.randn(5, 3)
    for row, found in zip(each(PLACES), pool(vectors, PLACES), strict=True):
        torch.testing.assert_close(found, pool.unit(vectors[row][None])[1][0, 0])


def test_the_row_table_follows_its_equation_and_touches_asked_rows_alone():
    table = RowTable(6, 4, torch.Generator().manual_seed(1)).train()
    table.rate = 0.1
    weight = table.weight.numpy().astype(np.float64)
    first, second, count = np.zeros((6, 4)), np.zeros(6), np.zeros(6)
    rng = np.random.default_rng(0)
    for which in ([0, 3], [3, 5, 1], [3, 0]):
        target = rng.standard_normal((len(which), 4))
        loss = ((table.rows(torch.tensor(which)) - torch.from_numpy(target).float()) ** 2).sum()
        loss.backward()
        for place, row in enumerate(which):
            gradient = 2 * (weight[row] - target[place])
            first[row] = BETAS[0] * first[row] + (1 - BETAS[0]) * gradient
            second[row] = BETAS[1] * second[row] + (1 - BETAS[1]) * (gradient**2).mean()
            count[row] += 1
            scale = np.sqrt(second[row] / (1 - BETAS[1] ** count[row])) + EPSILON
            weight[row] -= 0.1 * first[row] / (1 - BETAS[0] ** count[row]) / scale
        np.testing.assert_allclose(table.weight.numpy(), weight, atol=2e-5)
    assert table.count.tolist() == [2, 1, 0, 3, 0, 1]


def test_the_row_table_of_one_column_is_adam():
    """With width 1 the mean over a row's elements is the element, so every row moves as torch's Adam moves it."""
    table = RowTable(3, 1, torch.Generator().manual_seed(1)).train()
    plain = table.weight.clone().requires_grad_()
    adam = torch.optim.Adam([plain], lr=0.05)
    table.rate = 0.05
    for step in range(20):
        (table.rows(torch.arange(3)) - step % 3).square().sum().backward()
        adam.zero_grad()
        (plain - step % 3).square().sum().backward()
        adam.step()
        torch.testing.assert_close(table.weight, plain.detach(), rtol=1e-4, atol=1e-5)


def test_nothing_moves_in_evaluation_or_without_gradient():
    table = RowTable(3, 2, torch.Generator())
    assert not table.eval().rows(torch.arange(3)).requires_grad
    with torch.no_grad():
        assert not table.train().rows(torch.arange(3)).requires_grad


@pytest.mark.parametrize("kind", ["mean", "attention", "gru"])
def test_vectors_have_length_one_and_a_user_is_not_changed_by_others(kind):
    model = UserItemTwoTower(9, TowerSettings(width=8, window=3, pooling=kind, user_hidden=(5,), item_hidden=(6, 7)))
    histories = np.array([[1, 2, 3], [4, -1, -1], [2, 2, -1]])
    users, items = model.encode_users(histories), model.encode_items()
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(model.encode_users(histories[1:2])[0], users[1], atol=1e-6)
    np.testing.assert_allclose(model.encode_items(np.array([7, 2])), items[[7, 2]], atol=1e-6)


def test_an_item_is_the_sum_of_what_is_known_of_it():
    rng = np.random.default_rng(0)
    known = np.array([True, True, False, False])
    brand, content = np.array([0, 2, 2, -1]), rng.standard_normal((4, 5)).astype(np.float32)
    content[1] = content[3] = np.nan
    model = UserItemTwoTower(4, TowerSettings(width=3), known=known, labels={"brand": brand}, content=content)
    table, own = model.table.weight.numpy(), model.label_tables[0].weight.detach().numpy()
    turned = np.nan_to_num(content) @ model.projection.weight.detach().numpy().T
    turned[[0, 2]] /= np.linalg.norm(content[[0, 2]], axis=1)[:, None]
    wanted = np.stack([table[0] + own[1] + turned[0], table[1] + own[3], own[3] + turned[2], np.zeros(3)])
    found = model.eval().inputs(torch.arange(4)).detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    vectors = model.encode_items()
    np.testing.assert_allclose(vectors[:3], wanted[:3] / np.linalg.norm(wanted[:3], axis=1)[:, None], atol=1e-5)
    assert (vectors[3] == 0).all()  # nothing is known of it


def test_training_shows_some_items_by_content_alone():
    content = np.ones((2000, 2), dtype=np.float32)
    model = UserItemTwoTower(2000, TowerSettings(width=4), content=content).train()
    torch.manual_seed(0)
    alone = model.projection(model.content).detach()
    share = float((model.inputs(torch.arange(2000)) == alone).all(dim=1).float().mean())
    assert 0.07 < share < 0.13


def test_saved_is_loaded(tmp_path):
    labels, content = {"brand": np.array([0, 1, -1, 1])}, np.random.default_rng(0).standard_normal((4, 6))
    known = np.array([True, False, True, True])
    settings = TowerSettings(width=4, window=2, pooling="attention", item_hidden=(3,))
    model = UserItemTwoTower(4, settings, known=known, labels=labels, content=content, seed=3)
    model.save(tmp_path)
    loaded = UserItemTwoTower.load(tmp_path)
    assert loaded.settings == settings
    histories = np.array([[0, 1], [3, -1]])
    assert (loaded.encode_items() == model.encode_items()).all()
    assert (loaded.encode_users(histories) == model.encode_users(histories)).all()
    (tmp_path / "model.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="damaged"):
        UserItemTwoTower.load(tmp_path)
    with pytest.raises(MissingError, match="train one first"):
        UserItemTwoTower.load(tmp_path / "none")


def test_refusals():
    with pytest.raises(SettingError, match="pooling"):
        TowerSettings(pooling="max")
    for wrong in ({"decay": -1.0}, {"decay": float("nan")}, {"decay": 1.0, "pooling": "gru"}):
        with pytest.raises(SettingError, match="decay"):
            TowerSettings(**wrong)
    with pytest.raises(SettingError, match="user_hidden"):
        TowerSettings(user_hidden=())
    with pytest.raises(InputError, match="'brand' has 2 rows for 3 items"):
        UserItemTwoTower(3, labels={"brand": np.array([0, 1])})
