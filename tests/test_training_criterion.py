"""A loss chosen by name is the loss of that name, whatever stands beside it."""

import math
from typing import get_args

import pytest
import torch

from motherlode import losses
from motherlode.training.criterion import LossName, criterion

TEMPERATURE = torch.tensor(0.07)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    scores = torch.rand(6, 9, generator=generator) * 2 - 1
    grades = torch.randint(0, 3, (6, 9), generator=generator)
    mask = torch.rand(6, 9, generator=generator) < 0.8
    return scores, grades, mask


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("supcon", lambda *given: losses.graded_supcon(*given, 0.07)),
        ("circle", lambda *given: losses.multilevel_circle(*given, 20.0)),
        ("triplet", lambda *given: losses.weighted_triplet(*given)),
        ("mnrl", lambda *given: losses.info_nce(*given, 0.07)),
        ("cosent", lambda *given: losses.cosent(*given, 1 / 0.07)),
        ("graded_circle", lambda *given: losses.graded_circle(*given, 20.0)),
        ("gcl", lambda *given: losses.gcl(*given, 0.07)),
        ("roar", lambda *given: losses.roar(*given, 0.07)),
        ("lambda", lambda *given: losses.lambda_loss(*given, 1 / 0.07)),
    ],
)
def test_by_name(name, expected, batch):
    found = criterion(name, gamma=20.0)(*batch, TEMPERATURE)
    assert math.isclose(float(found), float(expected(*batch)), rel_tol=1e-5)
    beside = criterion(name, gamma=20.0, supcon=0.5)(*batch, TEMPERATURE)
    added = 0.0 if name == "supcon" else 0.5 * float(losses.graded_supcon(*batch, 0.07))
    assert math.isclose(float(beside), float(found) + added, rel_tol=1e-5)


def test_every_name_is_tested_and_differs(batch):
    found = {name: float(criterion(name)(*batch, TEMPERATURE)) for name in get_args(LossName)}
    assert len(set(found.values())) == len(found) == 9
