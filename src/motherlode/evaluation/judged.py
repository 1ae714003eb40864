"""Judgements of Q queries as CSR arrays: what every metric is measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

GRADES = (0, 1, 2)


@dataclass(frozen=True, eq=False)
class Judged:
    """The judged items of every query, and their grades.

    indptr int64[Q+1]; items int64[J], ascending within a query; grades int8[J] of 0, 1, 2. The pairs of
    query q are indptr[q]:indptr[q+1]. Raises ValueError where the arrays break this form.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int64]
    grades: NDArray[np.int8]

    def __post_init__(self) -> None:
        if self.indptr.ndim != 1 or len(self.indptr) == 0 or self.indptr[0] != 0 or (np.diff(self.indptr) < 0).any():
            raise ValueError("indptr must hold Q+1 offsets that start at 0 and never fall.")
        if not len(self.items) == len(self.grades) == self.indptr[-1]:
            raise ValueError(
                f"indptr ends at {self.indptr[-1]}, but there are {len(self.items)} items "
                f"and {len(self.grades)} grades."
            )
        if not np.isin(self.grades, GRADES).all():
            raise ValueError("Grades must be 0, 1 or 2.")
        if (self.items < 0).any():
            raise ValueError("Item rows must not be negative.")
        queries = self.query_rows
        disordered = (queries[1:] == queries[:-1]) & (np.diff(self.items) <= 0)
        if disordered.any():
            pair = int(np.argmax(disordered))
            raise ValueError(
                f"Query row {queries[pair]} holds item row {self.items[pair + 1]} after {self.items[pair]}: "
                "within a query, items must rise and each may be judged once."
            )

    @classmethod
    def from_pairs(cls, query_rows: ArrayLike, item_rows: ArrayLike, grades: ArrayLike, n_queries: int) -> Judged:
        """Judgements from J pairs in any order; a query may have none, a pair may be judged only once."""
        queries = np.asarray(query_rows, dtype=np.int64)
        items = np.asarray(item_rows, dtype=np.int64)
        values = np.asarray(grades)
        if not len(queries) == len(items) == len(values):
            raise ValueError(
                f"{len(queries)} queries, {len(items)} items, {len(values)} grades: a pair has one of each."
            )
        if len(queries) and not (queries.min() >= 0 and queries.max() < n_queries):
            raise ValueError(f"Query rows must lie in 0..{n_queries - 1}.")
        if not np.isin(values, GRADES).all():  # before the cast, which would turn 2.7 into 2
            raise ValueError("Grades must be 0, 1 or 2.")
        order = np.lexsort((items, queries))
        indptr = np.zeros(n_queries + 1, dtype=np.int64)
        np.cumsum(np.bincount(queries, minlength=n_queries), out=indptr[1:])
        return cls(indptr, items[order], values[order].astype(np.int8))

    @property
    def n_queries(self) -> int:
        """Q."""
        return len(self.indptr) - 1

    @property
    def query_rows(self) -> NDArray[np.int64]:
        """The query row of every pair: int64[J]."""
        return np.repeat(np.arange(self.n_queries), np.diff(self.indptr))

    def part(self, queries: NDArray[np.int64]) -> Judged:
        """The judgements of these queries, numbered in this order."""
        lengths = np.diff(self.indptr)[queries]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(self.indptr[queries] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Judged(indptr, self.items[places], self.grades[places])

    def count(self, min_grade: int) -> NDArray[np.int64]:
        """How many items of at least this grade every query has: int64[Q]."""
        return np.bincount(self.query_rows[self.grades >= min_grade], minlength=self.n_queries)

    def means(self, values: NDArray[np.floating], where: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Mean of values[J] over the pairs marked by where[J], query by query: float64[Q], NaN if none is."""
        queries = self.query_rows[where]
        counts = np.bincount(queries, minlength=self.n_queries)
        sums = np.bincount(queries, weights=values[where], minlength=self.n_queries)
        return np.divide(sums, counts, out=np.full(self.n_queries, np.nan), where=counts > 0)

    def grades_of(self, items: NDArray[np.int64]) -> NDArray[np.int8]:
        """Grades of ranked items[Q, K]: int8[Q, K], -1 where the pair is not judged or the place is a pad."""
        if items.ndim != 2 or len(items) != self.n_queries:
            raise ValueError(f"Ranked items must be [{self.n_queries}, K], not {list(items.shape)}.")
        if not len(self.items):
            return np.full(items.shape, -1, dtype=np.int8)
        # One rising key a pair, so that a single binary search finds all of them.
        width = int(max(self.items.max(), items.max(initial=-1))) + 1
        keys = self.query_rows * width + self.items
        wanted = np.arange(self.n_queries)[:, None] * width + items
        found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((keys[found] == wanted) & (items >= 0), self.grades[found], np.int8(-1))
