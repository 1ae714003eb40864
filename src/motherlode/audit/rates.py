"""Engagement as one number a pair: events a look, drawn to its query's level where the looks are few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from motherlode.audit.counts import Step

FEWEST = 1.0  # looks that a prior is worth at least
MOST = 1e4


def events(steps: Sequence[Step]) -> NDArray[np.float64]:
    """Clicks, and adds and purchases at the number of clicks that one of them stands for; float64 [n].

    sum over steps s of done_s · (sum of all clicks / sum of all done_s): each step weighs the same in all.
    """
    total = np.zeros(len(steps[0].done)) if steps else np.zeros(0)
    for step in steps:
        done = np.nan_to_num(step.done)
        total += done * (np.nansum(steps[0].done) / max(done.sum(), 1.0))
    return total / max(len(steps), 1)


def shrunk(
    done: NDArray[np.float64],
    looks: NDArray[np.float64],
    queries: NDArray[np.integer],
    buckets: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Empirical-Bayes rate of each pair, float64 [n]: (done + m · r_query) / (looks + m).

    r_query is the query's own rate, drawn in the same way to its bucket's by the same m, and m, in looks, is the
    bucket's: mean / variance of the pairs' own rates by moments, what a Gamma prior's shape and mean come to.
    Source: Robbins 1956; Efron and Morris 1973 for the shrinking of many rates at once.
    """
    rates = np.zeros(len(done))
    for bucket in np.unique(buckets):
        here = buckets == bucket
        x, e = done[here], looks[here]
        _, query = np.unique(queries[here], return_inverse=True)
        mean = x.sum() / max(e.sum(), 1.0)
        # Var(x) = mean e + variance e^2, summed over the pairs
        variance = (((x - mean * e) ** 2 - mean * e).sum()) / max((e**2).sum(), 1.0)
        m = float(np.clip(mean / variance, FEWEST, MOST)) if variance > 0 else MOST
        of_query = (np.bincount(query, x) + m * mean) / (np.bincount(query, e) + m)
        rates[here] = (x + m * of_query[query]) / (e + m)
    return rates
