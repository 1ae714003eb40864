"""Lexical neighbours as negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged
from motherlode.index.lexical import LexicalIndex
from motherlode.mining.miner import Mined, keep


@dataclass(frozen=True)
class Bm25Miner:
    """The best items by BM25, known positives left out; the classic hard negatives of DPR (arXiv 2004.04906).

    Attributes:
        index: over the items, its rows numbered as the vectors are.
        texts: of the queries, in order.
    """

    index: LexicalIndex
    texts: Sequence[str]
    name: str = "bm25"

    def mine(self, queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, n: int) -> Mined:
        """See `Miner.mine`; scores are BM25's. Raises InputError where texts and index are not those of the vectors."""
        if len(self.texts) != len(queries) or self.index.facts["items"] != len(items):
            raise InputError(
                f"The lexical miner holds {len(self.texts)} queries and {self.index.facts['items']} items, the vectors "
                f"{len(queries)} and {len(items)}: make both from the same tables."
            )
        wide = min(n + int(known.count(1).max(initial=0)), len(items))
        found = self.index.search(self.texts, wide)
        found = keep(found, known.grades_of(found.rows) <= 0, n)
        return Mined(found.rows, found.scores)
