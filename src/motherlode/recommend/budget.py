"""How long to train: epochs, steps, encoded items or CPU-seconds, so that samplers can be compared at equal cost."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

from motherlode.errors import SettingError
from motherlode.recommend.examples import ExampleBatches, Examples
from motherlode.recommend.objective import RetrievalObjective

UNITS = ("epochs", "steps", "items", "seconds")
TRIED = 12  # steps whose cost is measured; the first two are left aside as warm-up
WARM = 2


@dataclass(frozen=True)
class Budget:
    """An amount of one unit: epochs, steps, items (forward passes of the item tower) or seconds (of CPU).

    Raises:
        SettingError: the unit is unknown or the amount is not positive.
    """

    unit: str = "epochs"
    amount: float = 8

    def __post_init__(self) -> None:
        if self.unit not in UNITS or not self.amount > 0:
            raise SettingError(f"A budget of {self.amount} {self.unit} cannot be: the units are {', '.join(UNITS)}.")

    def steps(self, batches: ExampleBatches, objective: RetrievalObjective) -> int:
        """Steps that the budget pays for, at least 1.

        Of items and seconds, by the mean cost of a few steps of a copy of `objective`, which stays as it was.
        """
        if self.unit in ("epochs", "steps"):
            steps = self.amount * (len(batches) if self.unit == "epochs" else 1)
        else:
            items, seconds = cost_of_step(batches, objective)
            steps = self.amount / (items if self.unit == "items" else seconds)
        return max(1, round(steps))


def cost_of_step(batches: ExampleBatches, objective: RetrievalObjective) -> tuple[float, float]:
    """Mean encoded items and CPU-seconds of a step, measured on a copy of `objective`."""
    trial = copy.deepcopy(objective).train()
    items, seconds = 0.0, 0.0
    for tried in range(TRIED):
        began = time.process_time()
        result = trial(batches(0, tried % len(batches)))
        result["loss"].backward()
        if tried >= WARM:
            items += float(result["encoded_items"])
            seconds += time.process_time() - began
    return items / (TRIED - WARM), seconds / (TRIED - WARM)


class Course:
    """The first `steps` batches, over as many epochs as that takes, as one epoch of the fit loop."""

    def __init__(self, batches: ExampleBatches, steps: int) -> None:
        self.batches, self._steps = batches, steps

    def __len__(self) -> int:
        return self._steps

    def __call__(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Examples:
        """Batch `step` of the course; the fit loop's own `epoch` is always 0."""
        return self.batches(*divmod(epoch * self._steps + step, len(self.batches)), rank, world)
