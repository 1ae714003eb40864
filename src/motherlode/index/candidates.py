"""What a leg of retrieval returns: scored item rows, best first."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Candidates(NamedTuple):
    """Q lists of K scored items: scores float32[Q, K] and rows int64[Q, K].

    Best first, the smaller row first among equal scores, each row at most once a list. A list with fewer
    than K items ends in pads: row -1, score 0.
    """

    scores: NDArray[np.float32]
    rows: NDArray[np.int64]


def best(scores: NDArray[np.floating], rows: NDArray[np.int64], k: int) -> Candidates:
    """Sort lists of distinct rows in any order, row -1 meaning "none", and keep the k best of each.

    scores [Q, M], rows int64[Q, M] -> Candidates [Q, k], padded where a list is short.
    """
    scores = scores.astype(np.float32)  # before sorting: what is reported as equal is ordered as equal
    order = np.lexsort((rows, np.where(rows >= 0, -scores, np.inf)), axis=-1)[:, :k]
    found = np.take_along_axis(rows, order, axis=1)
    kept = np.where(found >= 0, np.take_along_axis(scores, order, axis=1), np.float32(0))
    short = ((0, 0), (0, k - found.shape[1]))
    return Candidates(np.pad(kept, short), np.pad(found, short, constant_values=-1))
