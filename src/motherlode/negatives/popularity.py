"""Negatives by popularity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from motherlode.errors import SettingError
from motherlode.negatives.alias import AliasTables
from motherlode.negatives.batch import Batch
from motherlode.negatives.draws import frequencies_of, log_or_lowest, redrawn, shared
from motherlode.negatives.sampler import Drawn, Pool, Sampler


class PopularitySampler(Sampler):
    """n items with probability proportional to frequency ** power, for each example or shared by the batch.

    log q is that of the law itself: what an example's exclusions take from it (their share of the mass) is left out.

    Args:
        frequencies: float [N], training interactions of each item.
        n: items an example, or draws a batch when shared.
        power: 0.75 as in word2vec (Mikolov et al., arXiv 1310.4546).
        shared: one pool for all examples.
        eta: exponent on log q.
    """

    def __init__(
        self, frequencies: ArrayLike, n: int, *, power: float = 0.75, shared: bool = False, eta: float = 0.0
    ) -> None:
        counts = frequencies_of(frequencies)
        if n < 1:
            raise SettingError(f"n must be at least 1; got {n}.")
        self.n, self.shared, self.eta = n, shared, eta
        weights = np.where(counts > 0, counts, 0.0) ** power if power else (counts > 0).astype(np.float64)
        self._tables = AliasTables([0, len(weights)], weights)
        self._log_q = log_or_lowest(n * weights / weights.sum())

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        if self.shared:
            rows = self._tables.draw(rng, np.zeros(self.n, dtype=np.int64))
            return Drawn((shared(batch, rows, self._log_q.__getitem__, self.eta),))
        rows, mask = redrawn(lambda owners: self._tables.draw(rng, np.zeros_like(owners)), batch, self.n)
        return Drawn((Pool(rows, mask, self._log_q[rows], self.eta),))
