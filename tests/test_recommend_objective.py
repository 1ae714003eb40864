"""The step's hook for hardness that rises with training."""

import numpy as np
import torch

from motherlode.negatives import Interpolation, RisingHardness, SemanticSampler
from motherlode.negatives.batch import Histories
from motherlode.recommend.examples import ExampleBatches
from motherlode.recommend.holdout import leave_last
from motherlode.recommend.objective import RetrievalObjective
from motherlode.recommend.towers import TowerSettings, UserItemTwoTower
from recommend_case import EACH, GROUPS, N_ITEMS, world


def loss_at(step, virtual):
    train, items = leave_last(world()).train, np.arange(N_ITEMS + 3)
    centres = np.random.default_rng(0).standard_normal((GROUPS, 4)).astype(np.float32)
    sampler = SemanticSampler(np.minimum(items // EACH, GROUPS - 1), items % EACH * 2 // EACH, centres, easy=3, hard=2)
    model = UserItemTwoTower(N_ITEMS + 3, TowerSettings(width=16, window=4, user_hidden=(16,)), seed=2)
    owned = Histories(train.indptr, train.items)
    objective = RetrievalObjective(model, sampler, owned, item_rate=lambda _: 0.02, virtual=virtual, seed=3).train()
    with torch.no_grad():
        return float(objective(ExampleBatches(train, ordered=True, batch=32, window=4, seed=4)(0, step))["loss"])


def test_a_step_makes_the_virtual_negatives_of_its_number():
    plain = Interpolation(simple=0, hard=8, strength=0.0, dead_zone=0.0, max_cosine=2.0)
    rising = RisingHardness(plain, start=0.0, end=0.8, steps=8)
    for step in (0, 2):
        assert loss_at(step, rising) == loss_at(step, rising.at(step)) != loss_at(step, plain)
    assert loss_at(2, rising) != loss_at(2, rising.at(0))
