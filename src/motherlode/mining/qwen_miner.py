"""The mask of Qwen3-Embedding: no negative far above the positive, none with the positive's text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged
from motherlode.mining.miner import Mined, keep, lowest_positive, pool, positives_of


@dataclass(frozen=True)
class QwenMiner:
    """The nearest items but those with s- > s+ + 0.1, or with the text of a known positive.

    Source: Qwen3 Embedding (arXiv 2506.05176), where it masks the batch; s+ is that of the lowest of the best
    known positives.

    Attributes:
        texts: of the items, in order.
        slack: the 0.1.
        depth: nearest items to look through.
    """

    texts: Sequence[str]
    slack: float = 0.1
    depth: int = 100
    name: str = "qwen3 mask"

    def mine(self, queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, n: int) -> Mined:
        """See `Miner.mine`. Raises InputError where there is not one text for each item."""
        if len(self.texts) != len(items):
            raise InputError(f"There are {len(self.texts)} item texts and {len(items)} item vectors: give one each.")
        near = pool(queries, items, known, max(self.depth, n))
        positive = lowest_positive(queries, items, known)[:, None]
        usable = (near.rows >= 0) & np.isfinite(positive)
        numbers: dict[str, int] = {}
        same = np.array([numbers.setdefault(text, len(numbers)) for text in self.texts], dtype=np.int64)
        indptr, rows = positives_of(known)
        query = np.repeat(np.arange(len(queries)), np.diff(indptr))
        taken = np.unique(query * len(numbers) + same[rows])
        equal = np.isin(np.arange(len(queries))[:, None] * len(numbers) + same[near.rows], taken)
        passed = usable & (near.scores <= positive + self.slack) & ~equal
        found = keep(near, passed, n)
        return Mined(found.rows, found.scores, {"rejected": 1 - float(passed.sum() / max(usable.sum(), 1))})
