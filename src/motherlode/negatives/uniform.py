"""Uniform negatives: for each example, or one pool for the batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch, Rows
from motherlode.negatives.draws import redrawn, shared
from motherlode.negatives.sampler import Drawn, Pool, Sampler


@dataclass(frozen=True)
class UniformSampler(Sampler):
    """n items drawn uniformly, for each example with replacement or shared by the batch without.

    Attributes:
        n_items: size of the catalogue.
        n: items an example, or a batch when shared.
        shared: one pool for all examples, each masking what it must not meet.
        eta: exponent on log q. q is uniform, so this shifts all negatives by log(N / n) against the positive.
    """

    n_items: int
    n: int
    shared: bool = False
    eta: float = 0.0

    def __post_init__(self) -> None:
        if self.n < 1 or (self.shared and self.n > self.n_items):
            raise SettingError(f"{self.n} uniform negatives cannot be drawn from {self.n_items} items.")

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        if self.shared:
            rows = rng.choice(self.n_items, self.n, replace=False, shuffle=False)
            constant = np.log(self.n / self.n_items)
            return Drawn((shared(batch, rows, lambda items: np.full(len(items), constant), self.eta),))
        rows, mask = redrawn(lambda owners: rng.integers(self.n_items, size=len(owners)), batch, self.n)
        left = np.maximum(self.n_items - _forbidden(batch), 1)
        log_q = np.broadcast_to(np.log(self.n / left)[:, None], rows.shape).astype(np.float32)
        return Drawn((Pool(rows, mask, log_q, self.eta),))


def _forbidden(batch: Batch) -> Rows:
    """How many items each example must not meet: int64 [B]."""
    if batch.histories is None:
        return np.ones(len(batch), dtype=np.int64)
    held = batch.histories.contains(np.arange(len(batch)), batch.positives)
    return np.diff(batch.histories.indptr) + ~held
