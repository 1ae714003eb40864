"""Ambiguous negatives: of uniform candidates those whose score is near to the positive's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch
from motherlode.negatives.draws import redrawn
from motherlode.negatives.sampler import Drawn, Pool, Sampler


@dataclass(frozen=True)
class AmbiguousSampler(Sampler):
    """n of `candidates` uniform items of each example, drawn without repeats of a place by nearness to a score.

        p_j proportional to exp(-sharpness (s_j - s+ - shift)^2)

    Neither the easy ones nor those far above the positive, likely false, come up often. The law depends on the model,
    so there is no log q.

    Attributes:
        n_items: size of the catalogue.
        candidates: uniform items an example.
        n: negatives an example.
        sharpness: a >= 0; 0 draws uniformly.
        shift: b, where the law peaks as seen from the positive's score.

    Raises:
        SettingError: counts that cannot be, or a sharpness below 0.

    Source: SimANS, Zhou et al., EMNLP 2022 (arXiv 2210.11773). Its candidates are the top of a retrieval; uniform ones
    are ours, as are the defaults.
    """

    n_items: int
    candidates: int = 32
    n: int = 1
    sharpness: float = 10.0
    shift: float = 0.0
    needs_vectors = True

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.candidates or self.sharpness < 0:
            raise SettingError(
                f"There must be 1 <= n <= candidates and sharpness >= 0; got {self.n}, {self.candidates} "
                f"and {self.sharpness}."
            )

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        rows, mask = redrawn(lambda owners: rng.integers(self.n_items, size=len(owners)), batch, self.candidates)
        away = batch.scores(rows) - batch.scores(batch.positives[:, None]) - self.shift
        # the n largest of log p + Gumbel noise are n draws by p without replacement
        keys = np.where(mask, -self.sharpness * away**2 + rng.gumbel(size=rows.shape), -np.inf)
        chosen = np.argpartition(-keys, self.n - 1, axis=1)[:, : self.n]
        return Drawn((Pool(np.take_along_axis(rows, chosen, axis=1), np.take_along_axis(mask, chosen, axis=1)),))
