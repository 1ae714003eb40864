"""Train a user-item two-tower with a sampler on a split, through the one fit loop, and measure it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from motherlode.atomic import fingerprint, read_json, write_json
from motherlode.errors import SettingError
from motherlode.negatives.batch import Histories
from motherlode.negatives.sampler import Sampler
from motherlode.recommend.budget import Budget, Course
from motherlode.recommend.evaluate import UserMetrics, evaluate, model_scorer
from motherlode.recommend.examples import ExampleBatches
from motherlode.recommend.holdout import Split, popularity_slices, sample
from motherlode.recommend.objective import RetrievalObjective, VirtualMaker
from motherlode.recommend.towers import TowerSettings, UserItemTwoTower
from motherlode.training.fit import FitSettings, fit

VALIDATED = 5_000  # users of the validation holdout that are asked, drawn by the seed


@dataclass(frozen=True)
class TrainSettings:
    """How a user-item two-tower learns.

    Attributes:
        budget: how long; see `Budget`.
        batch: examples a step.
        temperature: divides the cosines.
        lr, weight_decay: of the dense parameters, by AdamW; item_lr: of the item table.
        warmup: share of the steps over which both rates rise; they fall to 0 from there.
        patience: validations, one an epoch, without a better score before training stops.
        watch: the metric that decides on the best weights.
        omega: weight of virtual negatives.
    """

    budget: Budget = field(default_factory=Budget)
    batch: int = 1024
    temperature: float = 0.1
    lr: float = 1e-3
    item_lr: float = 0.03
    weight_decay: float = 0.01
    warmup: float = 0.05
    patience: int = 3
    watch: str = "recall@50"
    omega: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.temperature, self.lr, self.item_lr) <= 0 or not 0 <= self.warmup < 1:
            raise SettingError("temperature, lr and item_lr must be positive and warmup lie between 0 and 1.")


@dataclass(frozen=True, eq=False)
class Trained:
    """The best model, its per-user test metrics, and what it took: steps, encoded items, seconds, the best step."""

    model: UserItemTwoTower
    test: UserMetrics
    facts: dict[str, Any]


def train(
    split: Split,
    towers: TowerSettings,
    sampler: Sampler,
    settings: TrainSettings,
    folder: Path | str,
    *,
    labels: Mapping[str, NDArray[np.integer]] | None = None,
    content: NDArray[np.floating] | None = None,
    virtual: VirtualMaker | None = None,
    mark: Any = "",
) -> Trained:
    """Train in `folder`, or go on there where a killed run stopped, and measure the best weights on the test holdout.

    The test metrics come with slices by the target's popularity in training: head, torso, tail and cold.

    Args:
        sampler: who is a negative; a fresh one for each call, as some learn.
        labels, content: what the item tower sees beside ids; see `UserItemTwoTower`.
        virtual: maker of virtual negatives, such as `negatives.Interpolation`.
        mark: JSON-able; whatever beside the settings says what sampler, virtual, labels, content and data are. A
            checkpoint of another mark is not continued.

    Raises:
        SettingError: settings that cannot be, or nothing to learn from.
    """
    folder = Path(folder)
    known = ~split.cold
    model = UserItemTwoTower(
        split.train.n_items, towers, known=known, labels=labels, content=content, seed=settings.seed
    )
    batches = ExampleBatches(
        split.train, ordered=split.ordered, batch=settings.batch, window=towers.window, seed=settings.seed
    )
    rate = _Rate(settings.item_lr, settings.warmup)
    objective = RetrievalObjective(
        model,
        sampler,
        Histories(split.train.indptr, split.train.items),
        item_rate=rate,
        temperature=settings.temperature,
        virtual=virtual,
        omega=settings.omega,
        seed=settings.seed,
    )
    shape = fingerprint(asdict(settings), asdict(towers), len(split.train.items), int(split.train.items.sum()), mark)
    plan_path = folder / "plan.json"
    plan = read_json(plan_path) if plan_path.exists() else {}
    if plan.get("fingerprint") != shape:
        plan = {"fingerprint": shape, "steps": settings.budget.steps(batches, objective)}
        write_json(plan_path, plan)  # a budget of seconds is turned into steps once, not again on a resume
    rate.total = plan["steps"]
    asked = sample(split.validation, VALIDATED, settings.seed)

    def validate() -> dict[str, float]:
        found = evaluate(asked, model_scorer(model, asked)).means
        return {name: value for name, value in found.items() if value is not None}

    began, cpu = time.monotonic(), time.process_time()
    result = fit(
        objective,
        [{"params": list(objective.parameters()), "lr": settings.lr, "weight_decay": settings.weight_decay}],
        Course(batches, plan["steps"]),
        FitSettings(
            epochs=1,
            warmup=settings.warmup,
            patience=settings.patience,
            validations_per_epoch=max(1, round(plan["steps"] / len(batches))),
            seed=settings.seed,
        ),
        folder,
        save=model.save,
        validate=validate if len(asked) else None,
        watch=settings.watch,
        fingerprint=shape,
    )
    spent = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}
    best = UserItemTwoTower.load(folder / "best")
    test = evaluate(split.test, model_scorer(best, split.test), slices=popularity_slices(split.frequencies))
    facts = {**asdict(result), **spent, "examples_a_step": batches.batch, "torch_threads": torch.get_num_threads()}
    return Trained(best, test, facts)


class _Rate:
    """The fit loop's own course of the learning rate: up over the first share of the steps, then down to 0."""

    def __init__(self, rate: float, warmup: float, total: int = 1) -> None:
        self.rate, self.warmup, self.total = rate, warmup, total

    def __call__(self, step: int) -> float:
        rise = max(1, round(self.total * self.warmup))
        return self.rate * min((step + 1) / rise, max(0.0, (self.total - step) / max(1, self.total - rise)))
