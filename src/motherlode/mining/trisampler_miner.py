"""TriSampler: negatives that the positive finds hard and the query does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.evaluation.judged import Judged
from motherlode.mining.miner import Mined, best_positives, draw, keep, lowest_positive, pool


@dataclass(frozen=True)
class TriSamplerMiner:
    """Two draws: candidates near the positive's score, and of those the ones nearer to the positive than to the query.

        1. half of the pool, weight exp(-(s(q, d-) - s(q, d+))^2 / 4)
        2. n of these, weight max(s(d+, d-) - s(q, d-), 0)

    Source: TriSampler (arXiv 2402.11855), as told second-hand. Ours: the half; s(q, d+) is that of the lowest best
    positive and s(d+, d-) the mean over them. Where fewer than n have a weight in 2, fewer are mined.

    Attributes:
        depth: nearest items to draw from.
        seed: of the draws.
    """

    depth: int = 100
    seed: int = 0
    name: str = "trisampler"

    def mine(self, queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, n: int) -> Mined:
        """See `Miner.mine`."""
        near = pool(queries, items, known, max(self.depth, n))
        positive = lowest_positive(queries, items, known)[:, None]
        usable = (near.rows >= 0) & np.isfinite(positive)
        rng = np.random.default_rng([self.seed, 0x7415])
        close = np.where(usable, np.exp(-((near.scores - np.where(usable, positive, 0)) ** 2) / 4), 0.0)
        halved = draw(close, max(near.rows.shape[1] // 2, n), rng)
        harder = np.where(halved, np.maximum(_to_positives(items, near.rows, known) - near.scores, 0), 0.0)
        found = keep(near, draw(harder, n, rng), n)
        return Mined(found.rows, found.scores, {"rejected": 1 - float((harder > 0).sum() / max(halved.sum(), 1))})


def _to_positives(items: NDArray[np.float32], rows: NDArray[np.int64], known: Judged) -> NDArray[np.float32]:
    """Mean inner product of each candidate [Q, M] with the query's best positives; 0 where there are none."""
    indptr, positives = best_positives(known)
    means = np.zeros(rows.shape, dtype=np.float32)
    for query in np.flatnonzero(np.diff(indptr)):
        mean = items[positives[indptr[query] : indptr[query + 1]]].mean(axis=0)
        means[query] = items[rows[query]] @ mean
    return means
