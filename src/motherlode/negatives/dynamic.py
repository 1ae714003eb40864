"""Dynamic negatives: of uniform candidates the ones the model now scores high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch
from motherlode.negatives.draws import redrawn
from motherlode.negatives.sampler import Drawn, Pool, Sampler


@dataclass(frozen=True)
class DynamicSampler(Sampler):
    """n of the `top` highest-scoring of `candidates` uniform items of each example.

    top = 1 is DNS; top = M with candidates = N is DNS(M, N), a uniform pick of the best M. The law depends on the
    model, so there is no log q.

    Attributes:
        n_items: size of the catalogue.
        candidates: N, uniform items an example.
        top: M.
        n: negatives an example, distinct places of the top M.

    Source: DNS, Zhang et al., SIGIR 2013; DNS(M, N), Shi et al. (arXiv 2302.03472). n > 1 is ours.
    """

    n_items: int
    candidates: int = 32
    top: int = 1
    n: int = 1
    needs_vectors = True

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.top <= self.candidates:
            raise SettingError(
                f"There must be 1 <= n <= top <= candidates; got {self.n}, {self.top} and {self.candidates}."
            )

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        rows, mask = redrawn(lambda owners: rng.integers(self.n_items, size=len(owners)), batch, self.candidates)
        scores = np.where(mask, batch.scores(rows), -np.inf)
        best = np.argpartition(-scores, self.top - 1, axis=1)[:, : self.top]
        if self.n < self.top:
            best = rng.permuted(best, axis=1)[:, : self.n]
        rows, mask = np.take_along_axis(rows, best, axis=1), np.take_along_axis(mask, best, axis=1)
        return Drawn((Pool(rows, mask),))
