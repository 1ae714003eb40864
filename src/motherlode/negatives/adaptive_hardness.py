"""Adaptive hardness: the easier the positive, the harder the negative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch
from motherlode.negatives.draws import redrawn
from motherlode.negatives.sampler import Drawn, Pool, Sampler


@dataclass(frozen=True)
class AdaptiveHardnessSampler(Sampler):
    """The n uniform candidates whose score is nearest to a goal that depends on the positive's score.

        negative = argmin_j | s_j - beta (s+ + alpha)^(power + 1) |

    With power < -1 the goal falls as s+ grows, with -1 < power it rises. s+ + alpha is held at 1e-3 or above, where
    every power exists (ours). The law depends on the model, so there is no log q.

    Attributes:
        n_items: size of the catalogue.
        candidates: uniform items an example.
        n: negatives an example; more than 1 is ours.
        alpha, beta, power: of the goal.

    Source: AHNS, Lai et al., AAAI 2024, with the formula of its public code.
    """

    n_items: int
    candidates: int = 32
    n: int = 1
    alpha: float = 1.0
    beta: float = 0.1
    power: float = -2.0
    needs_vectors = True

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.candidates:
            raise SettingError(f"There must be 1 <= n <= candidates; got {self.n} and {self.candidates}.")

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        rows, mask = redrawn(lambda owners: rng.integers(self.n_items, size=len(owners)), batch, self.candidates)
        goal = self.beta * np.maximum(batch.scores(batch.positives[:, None]) + self.alpha, 1e-3) ** (self.power + 1)
        away = np.where(mask, np.abs(batch.scores(rows) - goal), np.inf)
        nearest = np.argpartition(away, self.n - 1, axis=1)[:, : self.n]
        rows, mask = np.take_along_axis(rows, nearest, axis=1), np.take_along_axis(mask, nearest, axis=1)
        return Drawn((Pool(rows, mask),))
