"""The convex blend of a single query's lists, in few steps: what a live search asks for."""

from collections.abc import Sequence

import numpy as np

from motherlode.index.candidates import Candidates


def weighted_one(legs: Sequence[Candidates], weights: Sequence[float], k: int) -> Candidates:
    """What `blend.weighted` gives for one query (lists [1, K]), to the last bit, in half the time or less."""
    parts: dict[int, float] = {}
    for leg, weight in zip(legs, weights, strict=True):
        rows = leg.rows[0].tolist()
        count = rows.index(-1) if rows and rows[-1] < 0 else len(rows)  # best first, pads last
        if not count:
            continue
        scores = leg.scores[0, :count]
        span = scores[0] - scores[-1]
        scaled = (scores - scores[-1]) / span if span > 0 else np.ones_like(scores)
        for row, part in zip(rows, (weight * scaled).tolist(), strict=False):
            parts[row] = parts.get(row, 0.0) + part
    found = np.full((1, k), -1, dtype=np.int64)
    blended = np.zeros((1, k), dtype=np.float32)
    rows_, scores_ = np.array(list(parts), np.int64), np.array(list(parts.values()), np.float32)
    order = np.lexsort((rows_, -scores_))[:k]
    found[0, : len(order)], blended[0, : len(order)] = rows_[order], scores_[order]
    return Candidates(blended, found)
