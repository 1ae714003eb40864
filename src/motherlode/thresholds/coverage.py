"""Whether a threshold holds what it states: the good share of what it shows, also under another mix of queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2_000


@dataclass(frozen=True, eq=False)
class Shown:
    """Results of Q queries: score, whether it is good, query row of each; good and shown by query from a threshold."""

    scores: NDArray[np.float64]
    good: NDArray[np.bool_]
    queries: NDArray[np.int64]
    n_queries: int
    most: int = 10

    def counts(self, threshold: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Good and all results at or above the threshold, the `most` best of a query: float64[Q] each."""
        order = np.lexsort((-self.scores, self.queries))
        rank = np.arange(len(order)) - np.searchsorted(self.queries[order], self.queries[order])
        kept = order[(rank < self.most) & (self.scores[order] >= threshold)]
        good = np.bincount(self.queries[kept], weights=self.good[kept], minlength=self.n_queries)
        return good.astype(np.float64), np.bincount(self.queries[kept], minlength=self.n_queries).astype(np.float64)


def coverage(
    shown: Shown, threshold: float | None, weights: ArrayLike | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """share = sum_i w_i good_i / sum_i w_i shown_i, its 95 % interval by bootstrap over queries, and how much is shown.

    weights [Q]: how often a query of this kind comes, 1 each by default. answered: weighted share of the queries that
    show anything; results: shown ones. None where nothing is shown, or the threshold is None (show nothing).
    """
    w = np.ones(shown.n_queries) if weights is None else np.asarray(weights, dtype=np.float64)
    none = {"share": None, "low": None, "high": None, "results": 0, "answered": 0.0}
    if threshold is None:
        return none
    good, count = shown.counts(threshold)
    if not (w * count).sum():
        return none
    draws = np.random.default_rng([seed, shown.n_queries]).multinomial(
        shown.n_queries, np.full(shown.n_queries, 1 / shown.n_queries), size=resamples
    )
    above, below = draws @ (w * good), draws @ (w * count)
    shares = above[below > 0] / below[below > 0]
    low, high = np.percentile(shares, [2.5, 97.5])
    return {
        "share": float((w * good).sum() / (w * count).sum()),
        "low": float(low),
        "high": float(high),
        "results": int(count.sum()),
        "answered": float((w * (count > 0)).sum() / w.sum()),
    }


def under_shift(
    shown: Shown, threshold: float | None, slices: Mapping[str, NDArray[np.bool_]], times: float = 3.0
) -> dict[str, dict[str, Any]]:
    """Coverage when the queries of one slice come `times` as often as they did, slice by slice, and of each alone.

    name -> {"heavier": coverage, "alone": coverage}. No guarantee covers these: exchangeability is broken.
    """
    return {
        name: {
            "heavier": coverage(shown, threshold, np.where(mask, times, 1.0)),
            "alone": coverage(shown, threshold, mask.astype(np.float64)),
        }
        for name, mask in slices.items()
    }
