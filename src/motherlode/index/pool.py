"""The union of what several legs found for each query, with every leg's score and rank side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.index.candidates import Candidates
from motherlode.index.word_matches import Matches

PairScores = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]  # (indptr, rows[J]) -> scores[J]


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates of Q queries out of L legs: what every blend takes.

    legs: L names. rows int64[Q, M], rising, -1 pads at the end; scores float32[Q, M, L], NaN where a leg knows
    none; ranks int64[Q, M, L], the place from 1 in the leg's list, 0 where it is not in it; matches: words that
    query and item share, None where no texts were given.
    """

    legs: tuple[str, ...]
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    ranks: NDArray[np.int64]
    matches: Matches | None = None

    @property
    def real(self) -> NDArray[np.bool_]:
        """Which places hold a candidate: bool[Q, M]."""
        return self.rows >= 0

    def leg(self, name: str) -> int:
        """The column of a leg. Raises InputError where there is none of this name."""
        if name not in self.legs:
            raise InputError(f"The candidates have no leg '{name}', only {', '.join(self.legs)}: retrieve with it.")
        return self.legs.index(name)

    def found(self, name: str) -> Candidates:
        """The list that a leg gave: [Q, K], K the longest of any query. Raises InputError for no such leg."""
        column = self.leg(name)
        ranks = self.ranks[:, :, column]
        width = int(ranks.max(initial=0))
        order = np.argsort(np.where(ranks > 0, ranks, width + 1), axis=1, kind="stable")[:, :width]
        there = np.take_along_axis(ranks, order, axis=1) > 0
        rows = np.where(there, np.take_along_axis(self.rows, order, axis=1), -1)
        scores = np.take_along_axis(self.scores[:, :, column], order, axis=1)
        return Candidates(np.where(there, scores, np.float32(0)), rows)

    def part(self, queries: NDArray[np.int64]) -> Pool:
        """The same for these queries alone."""
        matches = None if self.matches is None else self.matches.part(queries)
        return Pool(self.legs, self.rows[queries], self.scores[queries], self.ranks[queries], matches)


def pool(legs: Mapping[str, Candidates], scorers: Mapping[str, PairScores] | None = None) -> Pool:
    """Unite the lists of several legs, query by query.

    scorers: for some legs, the function that scores given pairs (CSR, as `DenseIndex.score` and
    `LexicalIndex.score` do), so that a candidate found by one leg alone is known to the others as well. Raises
    InputError without a leg, where two legs answer different numbers of queries, or a scorer has no leg.
    """
    lengths = {name: len(found.rows) for name, found in legs.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"The legs must answer the same queries, but these are {lengths or 'none'}.")
    if scorers and (strange := set(scorers) - set(legs)):
        raise InputError(f"There is no leg '{min(strange)}' to score pairs for: the legs are {', '.join(legs)}.")
    rows = _union([found.rows for found in legs.values()])
    scores = np.full((*rows.shape, len(legs)), np.nan, dtype=np.float32)
    ranks = np.zeros((*rows.shape, len(legs)), dtype=np.int64)
    for column, (name, found) in enumerate(legs.items()):
        query, place = np.nonzero(found.rows >= 0)
        at = _places(rows, query, found.rows[query, place])
        scores[query, at, column] = found.scores[query, place]
        ranks[query, at, column] = place + 1
        if scorers and name in scorers:
            lacking = np.isnan(scores[:, :, column]) & (rows >= 0)
            indptr = np.concatenate([[0], np.cumsum(lacking.sum(axis=1))]).astype(np.int64)
            scores[lacking, column] = scorers[name](indptr, rows[lacking])
    return Pool(tuple(legs), rows, scores, ranks)


def _union(lists: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Distinct rows of each query, rising, -1 at the end: int64[Q, M], M the most of any query."""
    last = np.iinfo(np.int64).max
    rows = np.concatenate(lists, axis=1)
    rows = np.sort(np.where(rows < 0, last, rows), axis=1)
    rows[:, 1:][rows[:, 1:] == rows[:, :-1]] = last
    rows.sort(axis=1)
    width = int((rows < last).sum(axis=1).max(initial=0))
    return np.where(rows == last, -1, rows)[:, :width]


def _places(rows: NDArray[np.int64], queries: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each wanted row stands among those of its query, which hold it: one search over rising keys."""
    if not len(wanted):
        return np.zeros(0, dtype=np.int64)
    span = int(rows.max()) + 2
    keys = (np.arange(len(rows))[:, None] * span + np.where(rows < 0, span - 1, rows)).ravel()
    return np.searchsorted(keys, queries * span + wanted) - queries * rows.shape[1]
