"""A dense index that has grown: its own rows, rows added since, and rows dropped since."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.index.candidates import Candidates, best
from motherlode.index.dense import DenseIndex
from motherlode.index.selection import Selection


class LiveDense:
    """Searches rows 0..N-1 of a `DenseIndex` and the added rows N..N+M-1 exactly, dropped rows left out."""

    def __init__(self, base: DenseIndex, added: NDArray[np.float32], dead: NDArray[np.int64]) -> None:
        self.facts: dict[str, Any] = base.facts
        self._base, self._size = base, len(base.vectors)
        self._added = DenseIndex(added, {"kind": "exact"}, None) if len(added) else None
        self._rows = self._size + len(added)
        self._dead = dead
        self._alive = Selection.without(dead, self._rows) if len(dead) else None

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        threads: int | None = None,
        among: Selection | None = None,
    ) -> Candidates:
        """The k items of highest inner product for every query; as `DenseIndex.search`, over all live rows."""
        among = among.minus(self._dead) if among is not None else self._alive
        if self._added is None:
            return self._base.search(queries, k, threads, among)
        old, new = among.split(self._size) if among is not None else (None, None)
        found = self._base.search(queries, k, threads, old)
        more = self._added.search(queries, k, threads, new)
        shifted = np.where(more.rows >= 0, more.rows + self._size, -1)
        return best(np.hstack([found.scores, more.scores]), np.hstack([found.rows, shifted]), k)

    def score(
        self, queries: NDArray[np.float32], indptr: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Inner products of given pairs, as `DenseIndex.score`, dropped rows included."""
        if self._added is None:
            return self._base.score(queries, indptr, rows)
        owners = np.repeat(np.arange(len(queries)), np.diff(indptr))
        scores, old = np.empty(len(rows), dtype=np.float32), rows < self._size
        for part, leg, first in ((old, self._base, 0), (~old, self._added, self._size)):
            starts = np.concatenate([[0], np.cumsum(np.bincount(owners[part], minlength=len(queries)))])
            scores[part] = leg.score(queries, starts, rows[part] - first)
        return scores

    def vectors(self, kept: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of these rows, rising: a copy."""
        cut = int(np.searchsorted(kept, self._size))
        old = self._base.vectors[kept[:cut]]
        return old if self._added is None else np.concatenate([old, self._added.vectors[kept[cut:] - self._size]])
