"""What a miner of negatives is, and what the rivals have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from motherlode.evaluation.judged import Judged
from motherlode.index.candidates import Candidates
from motherlode.index.dense import DenseIndex
from motherlode.mining.neighbours import exact


@dataclass(frozen=True)
class Mined:
    """Negatives of Q queries, pads last.

    Attributes:
        items: int64 [Q, n], item rows; -1 pads.
        scores: float32 [Q, n], what the miner knew them by; 0 in pads.
        facts: what the miner has to say of itself, such as the share it rejected or the verdicts it bought.
    """

    items: NDArray[np.int64]
    scores: NDArray[np.float32]
    facts: Mapping[str, float] = field(default_factory=dict)


class Miner(Protocol):
    """Anything that names negatives for queries."""

    @property
    def name(self) -> str:
        """Its name on the leaderboard."""

    def mine(self, queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, n: int) -> Mined:
        """At most n items a query that it takes for negatives, never one known to have grade 1 or 2.

        queries [Q, d] and items [N, d] are unit vectors; known numbers queries and items as they do.
        """


def positives_of(known: Judged) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs known to have grade 1 or 2, as CSR: indptr int64 [Q + 1] and item rows."""
    kept = known.grades > 0
    indptr = np.concatenate([[0], np.cumsum(known.count(1))]).astype(np.int64)
    return indptr, known.items[kept]


def best_positives(known: Judged) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs with the highest grade that the query is known to have, if above 0, as CSR like `positives_of`.

    What the published rules, which know one level of relevance, measure negatives against: a complement of grade 1 may
    lie so far from the query that nothing near would pass.
    """
    highest = np.zeros(known.n_queries, dtype=np.int8)
    np.maximum.at(highest, known.query_rows, known.grades)
    kept = (known.grades > 0) & (known.grades == highest[known.query_rows])
    counts = np.bincount(known.query_rows[kept], minlength=known.n_queries)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), known.items[kept]


def pool(queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, depth: int) -> Candidates:
    """The nearest items that are not known positives: Candidates [Q, depth]."""
    beyond = int(known.count(1).max(initial=0))
    found = exact(queries, items, min(depth + beyond, len(items)))
    return keep(found, known.grades_of(found.rows) <= 0, depth)


def keep(candidates: Candidates, kept: NDArray[np.bool_], n: int) -> Candidates:
    """The first n of the candidates [Q, M] that are marked by kept [Q, M], in their order: [Q, n], padded."""
    kept = kept & (candidates.rows >= 0)
    order = np.argsort(~kept, axis=1, kind="stable")[:, :n]
    chosen = np.take_along_axis(kept, order, axis=1)
    rows = np.where(chosen, np.take_along_axis(candidates.rows, order, axis=1), -1)
    scores = np.where(chosen, np.take_along_axis(candidates.scores, order, axis=1), np.float32(0))
    short = ((0, 0), (0, n - rows.shape[1]))
    return Candidates(np.pad(scores, short), np.pad(rows, short, constant_values=-1))


def lowest_positive(queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged) -> NDArray[np.float32]:
    """Lowest inner product of each query with its `best_positives`: float32 [Q], -inf where it has none.

    The published miners see one positive at a time. Of several the lowest is the safest, and it is what
    sentence-transformers' `mine_hard_negatives` takes. A query without positives has no negatives by such rules.
    """
    indptr, rows = best_positives(known)
    scores = DenseIndex(items, {}, None).score(queries, indptr, rows)
    lowest = np.full(len(queries), np.inf, dtype=np.float32)
    np.minimum.at(lowest, np.repeat(np.arange(len(queries)), np.diff(indptr)), scores)
    return np.where(np.diff(indptr) > 0, lowest, np.float32(-np.inf))


def draw(weights: NDArray[np.floating], n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw at most n of each row without replacement, by weight; bool, the shape of weights [Q, M].

    Never one of weight 0, so a row with fewer than n others gives fewer. By exponential races: the n smallest of
    E / w with E standard exponential (Efraimidis & Spirakis 2006).
    """
    with np.errstate(divide="ignore"):
        times = rng.standard_exponential(weights.shape) / weights
    order = np.argsort(times, axis=1)[:, :n]
    drawn = np.zeros(weights.shape, dtype=bool)
    np.put_along_axis(drawn, order, True, axis=1)
    return drawn & (weights > 0)
