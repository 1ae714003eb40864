"""Isotonic regression: the rising curve nearest to what was seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def isotonic(
    values: NDArray[np.float64], outcomes: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Knots (x rising, y never falling) of the least-squares rising fit to outcomes [n] over values [n].

    Equal values share one fit. Between knots the curve is linear, beyond them level: np.interp(new, x, y). Pool
    adjacent violators, O(n log n): Ayer et al. 1955. Only both ends of each level stretch are kept.
    """
    x, group = np.unique(values, return_inverse=True)
    weights = np.bincount(group).astype(np.float64)
    means = np.bincount(group, weights=outcomes) / weights
    levels: list[float] = []
    masses: list[float] = []
    lasts: list[int] = []  # the last value of each stretch
    for at, (level, mass) in enumerate(zip(means.tolist(), weights.tolist(), strict=True)):
        while levels and levels[-1] >= level:
            before, weight = levels.pop(), masses.pop()
            lasts.pop()
            level, mass = (before * weight + level * mass) / (weight + mass), weight + mass
        levels.append(level)
        masses.append(mass)
        lasts.append(at)
    firsts = [0, *(last + 1 for last in lasts[:-1])]
    ends = np.array([[first, last] for first, last in zip(firsts, lasts, strict=True)]).ravel()
    kept = np.concatenate([[True], ends[1:] > ends[:-1]])  # a stretch of one value has one knot
    return x[ends[kept]], np.repeat(levels, 2)[kept]
