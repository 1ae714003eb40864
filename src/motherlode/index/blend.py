"""Making one list of those that the legs found, by their scores."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from motherlode.index.candidates import Candidates, best

STEPS, COARSE = 20, 10  # weights are multiples of 1/20; of three legs and more, of 1/10
ALPHAS = tuple(step / STEPS for step in range(STEPS + 1))


def weighted(legs: Sequence[Candidates], weights: Sequence[float], k: int) -> Candidates:
    """Blend by score: the sum of weight * scaled score over the legs, for the union of their lists.

    Each list is scaled to 0..1 by its own lowest and highest score of the query; an item that a list does not
    hold counts as its lowest, 0. A list whose scores are all equal scales to 1: it holds what it found, and
    nothing else. Source: Bruch, Gai & Ingber, An Analysis of Fusion Functions for Hybrid Retrieval (2023); of more
    than two legs, ours.
    """
    parts = [weight * _scaled(leg.scores, *_range(leg)) for leg, weight in zip(legs, weights, strict=True)]
    return _fuse([leg.rows for leg in legs], parts, k)


def convex(dense: Candidates, lexical: Candidates, alpha: float, k: int) -> Candidates:
    """`weighted` of two legs: alpha * scaled dense + (1 - alpha) * scaled lexical."""
    return weighted((dense, lexical), (alpha, 1 - alpha), k)


def shared(alpha: float, legs: int) -> tuple[float, ...]:
    """The weights of an index that was told alpha alone: the first leg's, and what is left for the others alike."""
    return (alpha, *[(1 - alpha) / (legs - 1)] * (legs - 1))


def simplex(legs: int) -> list[tuple[float, ...]]:
    """All weights in steps of 1/20 that sum to 1, in rising order; of three legs and more in steps of 1/10."""
    steps = STEPS if legs < 3 else COARSE
    parts = product(range(steps + 1), repeat=legs)
    return [tuple(part / steps for part in whole) for whole in parts if sum(whole) == steps]


def convex_pairs(
    dense: Candidates,
    lexical: Candidates,
    dense_scores: NDArray[np.float32],
    lexical_scores: NDArray[np.float32],
    indptr: NDArray[np.int64],
    alpha: float,
) -> NDArray[np.float32]:
    """The convex blend of given pairs: float32[J], from both legs' scores [J] of pairs in CSR order.

    The scale of a query is that of its candidate lists; what lies outside is clipped to 0 or 1, so that a
    pair in both lists scores as in `convex`, and one below both scores 0.
    """
    queries = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))

    def scaled(leg: Candidates, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        low, high = _range(leg)
        return np.clip(_scaled(scores, low[queries, 0], high[queries, 0]), 0, 1)

    blended = alpha * scaled(dense, dense_scores) + (1 - alpha) * scaled(lexical, lexical_scores)
    return blended.astype(np.float32)


def tune_alpha(
    dense: Candidates, lexical: Candidates, metric: Callable[[Candidates], float], k: int
) -> tuple[float, dict[float, float]]:
    """The weight of the dense leg whose blended lists [Q, k] have the highest metric, and all tried.

    Tries 0, 0.05 .. 1; of equals the smallest wins. Give it validation queries, never those reported on.
    """
    tried = {alpha: metric(convex(dense, lexical, alpha, k)) for alpha in ALPHAS}
    return max(tried, key=lambda alpha: tried[alpha]), tried


def _range(leg: Candidates) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest score of each list, [Q, 1] each; of an empty list 0 and infinity, so all is 0."""
    real = leg.rows >= 0
    low = np.where(real, leg.scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(real, leg.scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    empty = ~real.any(axis=1, keepdims=True)
    return np.where(empty, 0.0, low), np.where(empty, np.inf, high)


def _scaled(scores: NDArray[np.float32], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """(score - low) / (high - low); where these are equal, 1 from there up and 0 below."""
    span = high - low
    return np.where(span > 0, (scores - low) / np.where(span > 0, span, 1.0), scores >= high)


def _fuse(lists: Sequence[NDArray[np.int64]], parts: Sequence[NDArray[np.float64]], k: int) -> Candidates:
    """Sum the parts of a row over the lists [Q, K] that hold it, and keep the k best of the union."""
    rows, found = np.concatenate(lists, axis=1), np.concatenate(parts, axis=1).astype(np.float64)
    order = np.argsort(rows, axis=1, kind="stable")
    rows, found = np.take_along_axis(rows, order, axis=1), np.take_along_axis(found, order, axis=1)
    # a row appears at most once a list, side by side: the first takes the sum, the others become pads
    sums = found.copy()
    for further in range(1, len(lists)):
        same = (rows[:, further:] == rows[:, :-further]) & (rows[:, further:] >= 0)
        sums[:, :-further] += np.where(same, found[:, further:], 0)
    again = rows[:, 1:] == rows[:, :-1]
    rows[:, 1:][again] = -1
    return best(sums, rows, k)
