"""Guide-masked mining: a second model says which neighbours are too good to be negatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged
from motherlode.mining.miner import Mined, best_positives, keep, pool


@dataclass(frozen=True)
class GistMiner:
    """The nearest items that the guide does not take for relevant.

    With g the guide's cosine, item d is masked for query q where, for any of the best known positives p of q,

        g(q, d) > g(q, p) - margin    or    g(p, d) > g(q, p) - margin

    Source: GISTEmbed (arXiv 2402.16829), which masks a batch so; the margin is that of sentence-transformers' loss.

    Attributes:
        guide_queries: the guide's unit vectors of the queries [Q, g].
        guide_items: and of the items [N, g].
        margin: 0 in the paper.
        depth: nearest items, by the encoder that is trained, to look through.
    """

    guide_queries: NDArray[np.float32]
    guide_items: NDArray[np.float32]
    margin: float = 0.0
    depth: int = 100
    name: str = "gist"

    def mine(self, queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, n: int) -> Mined:
        """See `Miner.mine`. Raises InputError where the guide's vectors are of other queries or items."""
        if len(self.guide_queries) != len(queries) or len(self.guide_items) != len(items):
            raise InputError(
                f"The guide has vectors of {len(self.guide_queries)} queries and {len(self.guide_items)} items, the "
                f"encoder of {len(queries)} and {len(items)}: encode the same texts with both."
            )
        near = pool(queries, items, known, max(self.depth, n))
        indptr, rows = best_positives(known)
        passed = np.zeros(near.rows.shape, dtype=bool)
        for query in np.flatnonzero(np.diff(indptr)):
            candidates = self.guide_items[near.rows[query]]  # a pad reads the last item, and is left out below
            positives = self.guide_items[rows[indptr[query] : indptr[query + 1]]]
            bars = positives @ self.guide_queries[query] - self.margin
            by_query = (candidates @ self.guide_queries[query])[:, None] > bars
            by_positive = candidates @ positives.T > bars
            passed[query] = ~(by_query | by_positive).any(axis=1)
        passed &= near.rows >= 0
        usable = (near.rows >= 0) & (np.diff(indptr) > 0)[:, None]
        found = keep(near, passed, n)
        return Mined(found.rows, found.scores, {"rejected": 1 - float(passed.sum() / max(usable.sum(), 1))})
