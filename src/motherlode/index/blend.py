"""Making one list of the dense and the lexical one."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from motherlode.index.candidates import Candidates, best

ALPHAS = tuple(step / 20 for step in range(21))


def convex(dense: Candidates, lexical: Candidates, alpha: float, k: int) -> Candidates:
    """Blend by score: alpha * scaled dense + (1 - alpha) * scaled lexical, over the union of both lists.

    Each list is scaled to 0..1 by its own lowest and highest score of the query; an item that a list does not
    hold counts as its lowest, 0. A list whose scores are all equal scales to 1: it holds what it found, and
    nothing else. Source: Bruch, Gai & Ingber, An Analysis of Fusion Functions for Hybrid Retrieval (2023).
    """
    dense_part = alpha * _scaled(dense.scores, *_range(dense))
    lexical_part = (1 - alpha) * _scaled(lexical.scores, *_range(lexical))
    return _fuse(dense, lexical, dense_part, lexical_part, k)


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


def _fuse(
    dense: Candidates,
    lexical: Candidates,
    dense_part: NDArray[np.float64],
    lexical_part: NDArray[np.float64],
    k: int,
) -> Candidates:
    """Sum the parts of the rows that stand in both lists, and keep the k best of the union."""
    rows = np.concatenate([dense.rows, lexical.rows], axis=1)
    parts = np.concatenate([dense_part, lexical_part], axis=1)
    order = np.argsort(rows, axis=1, kind="stable")
    rows, parts = np.take_along_axis(rows, order, axis=1), np.take_along_axis(parts, order, axis=1)
    # a row appears at most twice, side by side: the first takes the sum, the second becomes a pad
    twin = (rows[:, 1:] == rows[:, :-1]) & (rows[:, 1:] >= 0)
    parts[:, :-1] += np.where(twin, parts[:, 1:], 0)
    rows[:, 1:][twin] = -1
    return best(parts, rows, k)
