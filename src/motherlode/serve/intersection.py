"""Like this item and fitting these words, both: candidates that two sides agree on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def intersect(
    rows: NDArray[np.int64], item: NDArray[np.float32], change: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows in the order of a soft AND of two cosines, best first, and their scores: int64[M], float32[M].

        score(c) = sqrt(p(item, c) p(change, c)),   p = (cosine - lowest) / (highest - lowest) over the candidates

    Geometric mean of both sides' shares of their range: 0 where either side is at its lowest, so that a candidate
    that only one side wants cannot win. rows int64[M] rising; item, change: cosines [M] of each candidate with the item
    and with the words. Equal scores are in the order of rows. The idea of an intersection instead of a sum is that
    of SETR (2025), whose formula is not known to us; this one is ours.
    """
    score = np.sqrt(_share(item) * _share(change)).astype(np.float32)
    order = np.lexsort((rows, -score))
    return rows[order], score[order]


def _share(values: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = values.astype(np.float64)
    if not len(wide) or wide.max() == wide.min():
        return np.ones(len(wide))
    return (wide - wide.min()) / (wide.max() - wide.min())
