"""Alias tables: draws in constant time from many discrete laws at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import InputError
from motherlode.negatives.batch import Rows


class AliasTables:
    """R laws over consecutive entries; entry e of law r has probability weights[e] / sum of the law's weights.

    A draw takes one uniform number: it picks an entry of the law, and keeps it or goes to its alias (Walker 1977).
    Built without a loop: with weights scaled to mean 1, light entries lack d_i = 1 - w_i and heavy ones have
    e_j = w_j - 1 to give. In one sweep, light i is filled by the first heavy j whose running total of e passes the
    running total of d before i, and a heavy one that has given all goes over to the next heavy one (the sweep of
    Huebschle-Schneider & Sanders, arXiv 1903.00227, as running sums).

    Args:
        indptr: int [R + 1], where each law starts.
        weights: float [indptr[-1]], finite and >= 0. A law whose weights are all 0 must not be drawn from.

    Raises:
        InputError: a weight is negative or not finite, or indptr does not fit.
    """

    def __init__(self, indptr: ArrayLike, weights: ArrayLike) -> None:
        self._start = np.asarray(indptr, dtype=np.int64)
        values = np.asarray(weights, dtype=np.float64)
        if self._start[-1] != len(values) or not np.isfinite(values).all() or (values < 0).any():
            raise InputError("Weights must be finite, >= 0 and as many as indptr says.")
        self._length = np.diff(self._start)
        law = np.repeat(np.arange(len(self._length)), self._length)
        total = np.bincount(law, weights=values, minlength=len(self._length))
        mean = np.where(total > 0, total / np.maximum(self._length, 1), 1.0)
        # a law of zeros is made flat: it must not disturb the running sums of the others
        scaled = np.where(total[law] > 0, values / mean[law], 1.0)
        self._keep, self._alias = _tables(scaled, law, len(self._length))

    @classmethod
    def dense(cls, weights: NDArray[np.floating]) -> AliasTables:
        """From a table [R, K] with one law a row; draws are then entries r * K + k."""
        rows, columns = weights.shape
        return cls(np.arange(rows + 1) * columns, weights.ravel())

    def draw(self, rng: np.random.Generator, laws: Rows) -> Rows:
        """One entry for each of the laws [m]: int64 [m], numbered as the weights are."""
        spread = rng.random(len(laws)) * self._length[laws]
        step = spread.astype(np.int64)
        entry = self._start[laws] + step
        return np.where(spread - step < self._keep[entry], entry, self._alias[entry])


def _tables(scaled: NDArray[np.float64], law: Rows, n_laws: int) -> tuple[NDArray[np.float64], Rows]:
    """Share of its cell each entry keeps, and who has the rest of it."""
    entries = np.arange(len(scaled))
    keep, alias = np.ones(len(scaled)), entries.copy()
    light, heavy = np.flatnonzero(scaled < 1), np.flatnonzero(scaled >= 1)
    if not len(heavy):
        return keep, alias
    # Running sums go on across laws, as within each law lack and excess are equal. Rounding may carry an entry over
    # the border of a law: it is then held inside, or keeps its whole cell, which is off by the rounding alone.
    lack = np.concatenate([[0.0], np.cumsum(1 - scaled[light])])
    excess = np.cumsum(scaled[heavy] - 1)
    first_light = np.searchsorted(law[light], np.arange(n_laws + 1))
    first_heavy = np.searchsorted(law[heavy], np.arange(n_laws + 1))
    giver = np.searchsorted(excess, lack[:-1], side="right")
    giver = np.clip(giver, first_heavy[law[light]], first_heavy[law[light] + 1] - 1)
    keep[light], alias[light] = scaled[light], heavy[giver]
    giving = np.flatnonzero(law[heavy[:-1]] == law[heavy[1:]])  # the last heavy entry of a law keeps what is left
    filled = np.searchsorted(lack, excess[giving], side="left")
    of = law[heavy[giving]]
    inside = (filled > first_light[of]) & (filled <= first_light[of + 1])
    giving, filled = giving[inside], filled[inside]
    keep[heavy[giving]] = np.clip(1 + excess[giving] - lack[filled], 0, 1)
    alias[heavy[giving]] = heavy[giving + 1]
    return keep, alias
