"""Random items as negatives: the floor of every comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.evaluation.judged import Judged
from motherlode.index.candidates import Candidates
from motherlode.index.dense import DenseIndex
from motherlode.mining.miner import Mined, keep


@dataclass(frozen=True)
class RandomMiner:
    """Items drawn uniformly without replacement, known positives left out."""

    seed: int = 0
    name: str = "random"

    def mine(self, queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, n: int) -> Mined:
        """See `Miner.mine`; scores are inner products."""
        rng = np.random.default_rng([self.seed, 0x7A4D])
        wide = min(n + int(known.count(1).max(initial=0)), len(items))
        rows = np.stack([rng.choice(len(items), wide, replace=False) for _ in range(len(queries))])
        indptr = np.arange(0, rows.size + 1, wide)
        scores = DenseIndex(items, {}, None).score(queries, indptr, rows.ravel()).reshape(rows.shape)
        found = keep(Candidates(scores, rows), known.grades_of(rows) <= 0, n)
        return Mined(found.rows, found.scores)
