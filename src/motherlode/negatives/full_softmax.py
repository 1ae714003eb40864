"""The whole catalogue as one pool: the upper reference on small catalogues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motherlode.negatives.batch import Batch
from motherlode.negatives.sampler import Drawn, Pool, Sampler


@dataclass(frozen=True)
class FullSoftmaxSampler(Sampler):
    """Every item once. Costs B x N scores and the encoding of N items a step.

    Attributes:
        n_items: N.
    """

    n_items: int

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:  # noqa: ARG002 - nothing is drawn
        """See `Sampler.draw`."""
        rows = np.arange(self.n_items)
        return Drawn((Pool(rows, batch.shared_mask(rows), np.zeros(self.n_items, dtype=np.float32), 1.0),))
