"""The nearest neighbours as negatives, whatever they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.evaluation.judged import Judged
from motherlode.mining.miner import Mined, pool


@dataclass(frozen=True)
class NaiveMiner:
    """The n nearest items that are not known positives, as ANCE takes them from its index (arXiv 2007.00808)."""

    name: str = "naive"

    def mine(self, queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, n: int) -> Mined:
        """See `Miner.mine`."""
        found = pool(queries, items, known, n)
        return Mined(found.rows, found.scores)
