"""Training: the step against plain autograd, exact resume, budgets, every sampler, and that it learns."""

import json
import math

import numpy as np
import pytest
import torch

from motherlode.errors import SettingError
from motherlode.negatives import (
    CombinedSampler,
    CrossBatchSampler,
    DynamicSampler,
    InBatchLogQSampler,
    InBatchSampler,
    Interpolation,
    SemanticSampler,
    StreamingFrequency,
    UniformSampler,
)
from motherlode.negatives.batch import Batch, Histories
from motherlode.negatives.scored import score
from motherlode.recommend.baselines import popularity
from motherlode.recommend.budget import Budget, Course, cost_of_step
from motherlode.recommend.evaluate import evaluate, model_scorer
from motherlode.recommend.examples import ExampleBatches, last_of
from motherlode.recommend.holdout import leave_k_out, leave_last
from motherlode.recommend.objective import RetrievalObjective
from motherlode.recommend.towers import TowerSettings, UserItemTwoTower
from motherlode.recommend.train import TrainSettings, train
from recommend_case import EACH, GROUPS, N_ITEMS, world

TOWERS = TowerSettings(width=16, window=4, user_hidden=(16,))
SMALL = TrainSettings(budget=Budget("epochs", 3), batch=64, lr=3e-3, seed=1)


def codes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The group of an item and the half of its ring; items nobody takes are in group 0."""
    items = np.arange(N_ITEMS + 3)
    centres = np.random.default_rng(0).standard_normal((GROUPS, 4)).astype(np.float32)
    group = np.where(items < N_ITEMS, items // EACH, 0)
    return group, items % EACH * 2 // EACH, centres


def semantic() -> SemanticSampler:
    return SemanticSampler(*codes(), easy=3, hard=2)


def objective(sampler, towers: TowerSettings = TOWERS, rate: float = 0.02, **more) -> RetrievalObjective:
    split = leave_last(world())
    model = UserItemTwoTower(N_ITEMS + 3, towers, known=~split.cold, seed=2)
    owned = Histories(split.train.indptr, split.train.items)
    return RetrievalObjective(model, sampler, owned, item_rate=lambda _: rate, seed=3, **more).train()


def examples(batch: int = 32) -> ExampleBatches:
    return ExampleBatches(leave_last(world()).train, ordered=True, batch=batch, window=TOWERS.window, seed=4)


@pytest.mark.parametrize("pooling", ["mean", "attention", "gru"])
def test_the_step_equals_plain_embeddings(pooling):
    """Gradients through a plain embedding of the whole catalogue, each example on its own, give the same."""
    towers = TowerSettings(width=16, window=4, pooling=pooling, user_hidden=(16,), item_hidden=(8,))
    frequencies = leave_last(world()).frequencies
    ours = objective(InBatchLogQSampler(frequencies), towers, temperature=0.2)
    batch = examples()(0, 1)
    model = ours.model
    table = model.table.weight.clone().requires_grad_()
    negatives = InBatchLogQSampler(frequencies)(
        np.random.default_rng(0), Batch(batch.targets, ours.owned.take(batch.users))
    )
    users = []
    for row in batch.history:
        real = torch.from_numpy(row[row >= 0])
        places = torch.full((1, 4), -1)
        places[0, : len(real)] = torch.arange(len(real))
        users.append(model.users(table[real], places))
    items = model.items(table[torch.from_numpy(negatives.items)])
    wanted = score(negatives, torch.cat(users), items).loss(0.2)
    gradients = torch.autograd.grad(wanted, [table, *model.user_mlp.parameters(), *model.item_mlp.parameters()])
    caught = {}
    model.table._update = lambda which, leaf: caught.update(zip(which.tolist(), leaf.grad, strict=True))
    found = ours(batch)["loss"]
    found.backward()
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    dense = [*model.user_mlp.parameters(), *model.item_mlp.parameters()]
    for parameter, gradient in zip(dense, gradients[1:], strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
    touched = set(gradients[0].abs().sum(dim=1).nonzero().flatten().tolist())
    assert touched <= set(caught)
    assert set(caught) == set(batch.targets) | set(batch.history[batch.history >= 0])
    for row, gradient in caught.items():
        torch.testing.assert_close(gradient, gradients[0][row], rtol=1e-4, atol=1e-6)


def test_a_step_touches_the_rows_of_its_batch_alone():
    ours, batch = objective(UniformSampler(N_ITEMS + 3, 4)), examples()(0, 0)
    before = ours.model.table.weight.clone()
    result = ours(batch)
    result["loss"].backward()
    moved = set((ours.model.table.weight != before).any(dim=1).nonzero().flatten().tolist())
    needed = set(batch.targets.tolist()) | set(batch.history[batch.history >= 0].tolist())
    assert needed <= moved
    read = set(ours.model.table.count.nonzero().flatten().tolist())
    assert moved <= read
    assert len(read) <= len(needed) + int(result["encoded_items"])


def samplers() -> dict:
    frequencies = leave_last(world()).frequencies
    return {
        "in-batch": lambda: InBatchSampler(),
        "streaming": lambda: InBatchLogQSampler(StreamingFrequency(N_ITEMS + 3)),
        "bank": lambda: CrossBatchSampler(frequencies, 128, warm_up=5),
        "dynamic": lambda: DynamicSampler(N_ITEMS + 3, 8),
        "combined": lambda: CombinedSampler([InBatchLogQSampler(frequencies), semantic()]),
    }


@pytest.mark.parametrize("name", ["in-batch", "streaming", "bank", "dynamic", "combined"])
def test_killed_equals_uninterrupted_bit_for_bit(name, tmp_path, monkeypatch):
    split, make = leave_last(world()), samplers()[name]
    virtual = Interpolation(simple=2, hard=2) if name == "combined" else None

    def run(folder):
        return train(split, TOWERS, make(), SMALL, folder, virtual=virtual)

    # on a starved machine the checkpoint by the clock would come between the milestone and the kill, and fewer steps
    # would be done again than are counted below
    monkeypatch.setattr("motherlode.training.fit.CHECKPOINT_SECONDS", math.inf)
    whole = run(tmp_path / "whole")
    plain, calls = RetrievalObjective.forward, []

    def dying(self, batch):
        calls.append(1)
        if len(calls) == 32:
            raise KeyboardInterrupt
        return plain(self, batch)

    monkeypatch.setattr(RetrievalObjective, "forward", dying)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut")
    resumed = run(tmp_path / "cut")
    per_epoch = len(examples(64))
    assert 18 <= per_epoch < 31
    assert len(calls) == 32 + 3 * per_epoch - per_epoch  # the first epoch was not trained again
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    for metric, values in whole.test.per_user.items():
        np.testing.assert_array_equal(values, resumed.test.per_user[metric])

    def losses(folder):
        return [json.loads(line).get("loss") for line in (folder / "metrics.jsonl").read_text().splitlines()]

    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


@pytest.mark.parametrize("pooling", ["mean", "attention", "gru"])
def test_it_learns_the_rings(pooling, tmp_path):
    split = leave_last(world())
    towers = TowerSettings(width=16, window=4, pooling=pooling, user_hidden=(16,))
    settings = TrainSettings(budget=Budget("epochs", 12), batch=64, lr=5e-3)
    trained = train(split, towers, InBatchLogQSampler(split.frequencies), settings, tmp_path)
    found = evaluate(split.test, model_scorer(trained.model, split.test), cutoffs=(3,)).means["recall@3"]
    popular = evaluate(split.test, popularity(split.train, split.test), cutoffs=(3,)).means["recall@3"]
    assert found > 0.8 > 0.3 > popular  # each user has three items of the ring left: one in three of them is next
    assert trained.facts["best_step"] > 0


def test_cold_items_are_found_by_content(tmp_path):
    """A tenth of the items is never in training; content that says which ring they are on makes up for it."""
    sequences = world(400)
    cold = sequences.items % EACH == 7
    split = leave_last(sequences.where(~cold))
    content = np.eye(GROUPS, dtype=np.float32)[np.minimum(np.arange(N_ITEMS + 3) // EACH, GROUPS - 1)]
    settings = TrainSettings(budget=Budget("epochs", 8), batch=64, lr=1e-2)
    trained = train(split, TOWERS, InBatchLogQSampler(split.frequencies), settings, tmp_path, content=content)
    users = trained.model.encode_users(last_of(split.test.history, 4))
    cold_items = np.arange(GROUPS) * EACH + 7
    assert split.cold[cold_items].all()
    best = (users @ trained.model.encode_items(cold_items).T).argmax(axis=1)
    group = split.test.targets.items // EACH
    assert (best == group).mean() > 0.9


def test_a_change_of_settings_or_mark_begins_anew(tmp_path):
    split = leave_k_out(world(100), 1, 0)
    short = TrainSettings(budget=Budget("steps", 5), batch=64)
    first = train(split, TOWERS, InBatchSampler(), short, tmp_path, mark="a")
    assert first.facts["steps"] == 5
    again = train(split, TOWERS, InBatchSampler(), short, tmp_path, mark="a")
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert again.facts["steps"] == 5 and len(lines) == 6
    assert torch.equal(first.model.table.weight, again.model.table.weight)
    other = train(split, TOWERS, UniformSampler(N_ITEMS + 3, 4), short, tmp_path, mark="b")
    assert not torch.equal(first.model.table.weight, other.model.table.weight)


def test_budgets_become_steps():
    batches, ours = examples(), objective(UniformSampler(N_ITEMS + 3, 4))
    before = {key: value.clone() for key, value in ours.model.state_dict().items()}
    assert Budget("epochs", 2.5).steps(batches, ours) == round(2.5 * len(batches))
    assert Budget("steps", 7).steps(batches, ours) == 7
    items, seconds = cost_of_step(batches, ours)
    wanted = [float(objective(UniformSampler(N_ITEMS + 3, 4))(batches(0, s))["encoded_items"]) for s in range(2, 12)]
    assert items == pytest.approx(np.mean(wanted))
    assert seconds > 0
    assert Budget("items", 10_000).steps(batches, ours) == round(10_000 / items)
    assert Budget("seconds", 1e-9).steps(batches, ours) == 1
    for key, value in ours.model.state_dict().items():
        assert torch.equal(value, before[key])
    with pytest.raises(SettingError, match="units are"):
        Budget("hours", 1)


def test_a_course_runs_through_the_epochs():
    batches = examples()
    course = Course(batches, len(batches) + 3)
    assert len(course) == len(batches) + 3
    assert (course(0, len(batches) + 1).targets == batches(1, 1).targets).all()
    assert course(0, len(batches) + 1).number == len(batches) + 1
