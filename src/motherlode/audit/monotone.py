"""Least-squares fit of numbers that may only fall (or rise) from one to the next."""

import numpy as np
from numpy.typing import NDArray


def falling(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The non-increasing sequence nearest to `values` [n] under `weights` [n] ≥ 0; float64 [n].

    Pool adjacent violators: neighbours that rise are replaced by their weighted mean until none does. Of ratios
    x_k / w_k with weights w_k it is also the non-increasing maximum likelihood estimate of Poisson rates. Source:
    Barlow, Bartholomew, Bremner and Brunk, Statistical Inference under Order Restrictions (1972).
    """
    runs: list[tuple[float, float, int]] = []  # mean, weight, length
    for mean, weight in zip(values.tolist(), weights.tolist(), strict=True):
        length = 1
        while runs and runs[-1][0] < mean:
            before, mass, more = runs.pop()
            total = mass + weight
            mean = (before * mass + mean * weight) / total if total > 0 else before
            weight, length = total, length + more
        runs.append((mean, weight, length))
    return np.repeat([run[0] for run in runs], [run[2] for run in runs])


def rising(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `falling`, for a sequence that may not fall."""
    return -falling(-values, weights)
