"""Hard interpolation that starts easy: its largest coefficient grows with the steps of training."""

from __future__ import annotations

from dataclasses import dataclass, replace

from motherlode.errors import SettingError
from motherlode.negatives.interpolation import Interpolation


@dataclass(frozen=True)
class RisingHardness:
    """An interpolation whose cap goes from `start` to `end` over the first `steps` steps and stays there.

        beta_max(t) = start + (end - start) min(t / steps, 1)

    In place of an `Interpolation` it is asked anew at each step: `at(step)(generator, scored)`.

    Attributes:
        interpolation: what is made; its own cap is replaced.
        start, end: largest beta at first and at last; raw scores grow harder up to 1, the positive itself.
        steps: at least 1.

    Raises:
        SettingError: steps is below 1.

    Source: ours; the sources call the interpolation dynamic and do not say in what.
    """

    interpolation: Interpolation
    start: float = 0.0
    end: float = 0.85
    steps: int = 1000

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingError(f"Hardness rises over at least 1 step; got {self.steps}.")

    def at(self, step: int) -> Interpolation:
        """The interpolation of step number `step`, from 0."""
        cap = self.start + (self.end - self.start) * min(step / self.steps, 1.0)
        return replace(self.interpolation, cap=cap)
