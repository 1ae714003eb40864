"""How often each place of a result page is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.audit.monotone import falling

PLACES = 20  # places of their own; below them each group of places is half as long again as the one before
ROUNDS = 100
SETTLED = 1e-6


@dataclass(frozen=True)
class Examination:
    """Chance that a place is looked at, relative to the first.

    Attributes:
        firsts: float64 [K], the first place of each group of places, ascending from 1.
        values: float64 [K], non-increasing from 1.
        average: of the impressions it was fitted to; stands for an unknown position.
    """

    firsts: NDArray[np.float64]
    values: NDArray[np.float64]
    average: float

    def __call__(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of mean positions float64 [n], from 1; NaN (unknown) has the average."""
        known = ~np.isnan(position)
        group = np.searchsorted(self.firsts, np.round(np.where(known, position, 1.0)), side="right") - 1
        return np.where(known, self.values[np.maximum(group, 0)], self.average)


def examination(
    clicks: NDArray[np.float64],
    impressions: NDArray[np.float64],
    position: NDArray[np.float64],
    stratum: NDArray[np.int64],
) -> Examination:
    """Fit clicks ~ Poisson(impressions · θ[place] · a[stratum]) to n pairs, θ non-increasing, θ[1] = 1.

    The position-based model (Richardson, Dominowska and Ragno 2007; Craswell et al. 2008), with attraction held
    equal inside a stratum: pass (bucket, label) numbers, so that good items standing higher are not taken for a
    better place. Alternates the two closed-form maxima. Each pair is seen at one place, so what lifts an item above
    others of its stratum and draws clicks by itself (a known brand, a sponsored place) stays in θ: no log without
    shuffled pages can tell the two apart. With no position known θ is 1 everywhere: nothing is corrected.
    """
    known = ~np.isnan(position) & (impressions > 0) & ~np.isnan(clicks)
    if not known.any():
        return Examination(np.ones(1), np.ones(1), 1.0)
    shown, clicked = impressions[known], clicks[known]
    firsts = _firsts(float(position[known].max()))
    place = np.maximum(np.searchsorted(firsts, np.round(position[known]), side="right") - 1, 0)
    _, group = np.unique(stratum[known], return_inverse=True)
    total = np.bincount(group, clicked)
    by_place = np.bincount(place, clicked, len(firsts))
    values = np.ones(len(firsts))
    for _ in range(ROUNDS):
        attraction = total / np.bincount(group, shown * values[place])
        expected: NDArray[np.float64] = np.bincount(place, shown * attraction[group], len(firsts)).astype(np.float64)
        ratio = np.divide(by_place, expected, out=np.zeros(len(firsts)), where=expected > 0)
        fitted = _scaled(falling(ratio, expected), expected)
        change = np.abs(fitted - values).max()
        values = fitted
        if change < SETTLED:
            break
    return Examination(firsts, values, float((shown * values[place]).sum() / shown.sum()))


def _firsts(last: float) -> NDArray[np.float64]:
    firsts = [float(place) for place in range(1, PLACES + 1)]
    length = 2.0
    while firsts[-1] + length <= last:
        firsts.append(firsts[-1] + np.floor(length))
        length *= 1.5
    return np.array(firsts)


def _scaled(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative to the first place that was shown; a place without a click keeps a small chance, an unseen one its
    upper neighbour's."""
    seen = np.flatnonzero(weights > 0)
    above = np.maximum(np.searchsorted(seen, np.arange(len(values)), side="right") - 1, 0)
    filled = values[seen[above]]
    return np.maximum(filled / filled[0], 1e-3) if filled[0] > 0 else np.ones(len(values))
