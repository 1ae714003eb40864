"""Legs that have grown: what was built once, rows added since, and rows dropped since."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from motherlode.index.candidates import Candidates, best
from motherlode.index.dense import DenseIndex
from motherlode.index.selection import Selection
from motherlode.index.sparse import SparseIndex
from motherlode.sparse.term_vectors import TermVectors

Asked = TypeVar("Asked", bound=Sized)  # what a leg takes of the queries: their vectors, or their term weights
Taken = TypeVar("Taken", contravariant=True)


class _Leg(Protocol[Taken]):
    def search(self, queries: Taken, k: int, *, among: Selection | None = None) -> Candidates: ...

    def score(self, queries: Taken, indptr: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]: ...


class Live(Generic[Asked]):
    """Searches rows 0..N-1 of an index and the added rows N..N+M-1 exactly, dropped rows left out."""

    def __init__(
        self, base: _Leg[Asked], size: int, added: _Leg[Asked] | None, more: int, dead: NDArray[np.int64]
    ) -> None:
        """base: of `size` rows; added: of `more`, None where there are none; dead: dropped rows, rising."""
        self._base, self._size, self._added, self._dead = base, size, added, dead
        self._alive = Selection.without(dead, size + more) if len(dead) else None

    def search(self, queries: Asked, k: int, *, among: Selection | None = None) -> Candidates:
        """The k best items for every query, over all live rows, or those of `among`."""
        among = among.minus(self._dead) if among is not None else self._alive
        if self._added is None:
            return self._base.search(queries, k, among=among)
        old, new = among.split(self._size) if among is not None else (None, None)
        found = self._base.search(queries, k, among=old)
        more = self._added.search(queries, k, among=new)
        shifted = np.where(more.rows >= 0, more.rows + self._size, -1)
        return best(np.hstack([found.scores, more.scores]), np.hstack([found.rows, shifted]), k)

    def score(self, queries: Asked, indptr: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores of given pairs (CSR), dropped rows included."""
        if self._added is None:
            return self._base.score(queries, indptr, rows)
        owners = np.repeat(np.arange(len(queries)), np.diff(indptr))
        scores, old = np.empty(len(rows), dtype=np.float32), rows < self._size
        for part, leg, first in ((old, self._base, 0), (~old, self._added, self._size)):
            starts = np.concatenate([[0], np.cumsum(np.bincount(owners[part], minlength=len(queries)))])
            scores[part] = leg.score(queries, starts, rows[part] - first)
        return scores


class LiveDense(Live[NDArray[np.float32]]):
    """A `DenseIndex` and vectors [M, d] added since."""

    def __init__(self, base: DenseIndex, added: NDArray[np.float32], dead: NDArray[np.int64]) -> None:
        self.facts: dict[str, Any] = base.facts
        self._old, self._new = base.vectors, added
        more = DenseIndex(added, {"kind": "exact"}, None) if len(added) else None
        super().__init__(base, len(base.vectors), more, len(added), dead)

    def vectors(self, kept: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of these rows, rising: a copy."""
        cut = int(np.searchsorted(kept, self._size))
        old = self._old[kept[:cut]]
        return old if self._added is None else np.concatenate([old, self._new[kept[cut:] - self._size]])


class LiveSparse(Live[TermVectors]):
    """A `SparseIndex` and M term vectors added since."""

    def __init__(self, base: SparseIndex, added: TermVectors, dead: NDArray[np.int64]) -> None:
        self.facts: dict[str, Any] = base.facts
        self._old, self._new = base, added
        more = SparseIndex.of(added) if len(added) else None
        super().__init__(base, base.facts["items"], more, len(added), dead)

    def terms(self, kept: NDArray[np.int64]) -> TermVectors:
        """The term weights of these rows, rising."""
        cut = int(np.searchsorted(kept, self._size))
        parts = [self._old.terms(kept[:cut]), self._new.take(kept[cut:] - self._size)]
        return TermVectors.joined(parts, self._new.width)
