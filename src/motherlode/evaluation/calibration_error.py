"""How far probabilities over grades can be believed: calibration error, reliability curves, Brier, log loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15
Z = 1.959963984540054  # two-sided 95 %
FLOOR = 1e-12  # a probability of 0 for what happened would make the log loss infinite


def calibration_error(probabilities: ArrayLike, truth: ArrayLike, bins: int = BINS) -> dict[str, Any]:
    """Summary for probabilities [n, C] of the grades 0..C-1 against truth [n]; rows of NaN are left out.

    ece = sum over bins b of n_b / n |share right in b - mean confidence in b|, confidence being the greatest
    probability of a row (Naeini et al. 2015), `ece` over bins of equal width, `ece_mass` over bins of about equal
    count; grades: the same two for the probability of each grade; brier = mean over rows of the sum over grades of
    (p - [grade is true])^2; log_loss = mean of -ln p(truth). None without a row. Raises ValueError where shapes or
    grades do not fit.
    """
    values, true = _known(probabilities, truth)
    n, classes = values.shape
    if n == 0:
        return {"n": 0, "ece": None, "ece_mass": None, "brier": None, "log_loss": None, "grades": []}
    right = np.argmax(values, axis=1) == true
    hits = true[:, None] == np.arange(classes)
    return {
        "n": n,
        "ece": _error(values.max(axis=1), right, bins, False),
        "ece_mass": _error(values.max(axis=1), right, bins, True),
        "brier": float(((values - hits) ** 2).sum(axis=1).mean()),
        "log_loss": log_loss(values, true),
        "grades": [
            {
                "grade": grade,
                "ece": _error(values[:, grade], hits[:, grade], bins, False),
                "ece_mass": _error(values[:, grade], hits[:, grade], bins, True),
            }
            for grade in range(classes)
        ],
    }


def reliability(
    probabilities: ArrayLike, truth: ArrayLike, bins: int = 10, *, equal_mass: bool = False
) -> list[list[dict[str, Any]]]:
    """A reliability curve a grade: for each occupied bin of its probability {low, high, n, mean, share, least, most}.

    mean: of the probabilities in the bin; share: of its pairs that truly have the grade; least and most: its 95 %
    Wilson interval; low, high: edges of the bin, the upper one included.
    """
    values, true = _known(probabilities, truth)
    curves = []
    for grade in range(values.shape[1]):
        edges, counts, means, shares = _binned(values[:, grade], true == grade, bins, equal_mass)
        least, most = wilson(shares * counts, counts)
        curves.append(
            [
                {
                    "low": float(edges[at]),
                    "high": float(edges[at + 1]),
                    "n": int(counts[at]),
                    "mean": float(means[at]),
                    "share": float(shares[at]),
                    "least": float(least[at]),
                    "most": float(most[at]),
                }
                for at in np.flatnonzero(counts)
            ]
        )
    return curves


def log_loss(probabilities: NDArray[np.float64], truth: NDArray[Any]) -> float:
    """Mean of -ln p(truth) over probabilities [n, C], each at least 1e-12."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], FLOOR)).mean())


def wilson(hits: ArrayLike, counts: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % Wilson interval of hits / counts, elementwise; (0, 1) where the count is 0. Wilson 1927."""
    k, n = np.asarray(hits, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    share = np.divide(k, n, out=np.full_like(k, 0.5), where=n > 0)
    middle = share * n + Z**2 / 2
    reach = Z * np.sqrt(share * (1 - share) * n + Z**2 / 4)
    return np.clip((middle - reach) / (n + Z**2), 0, 1), np.clip((middle + reach) / (n + Z**2), 0, 1)


def _binned(
    values: NDArray[np.float64], hits: NDArray[np.bool_], bins: int, equal_mass: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Edges, counts, mean values and shares of hits; equal values always share a bin."""
    edges = np.linspace(0, 1, bins + 1)
    if equal_mass and len(values):
        edges = np.percentile(values, 100 * edges)
    place = np.searchsorted(edges[1:-1], values)
    counts = np.bincount(place, minlength=bins)
    filled = np.maximum(counts, 1)
    means = np.bincount(place, weights=values, minlength=bins) / filled
    return edges, counts, means, np.bincount(place, weights=hits, minlength=bins) / filled


def _error(values: NDArray[np.float64], hits: NDArray[np.bool_], bins: int, equal_mass: bool) -> float:
    _, counts, means, shares = _binned(values, hits, bins, equal_mass)
    return float((counts * np.abs(means - shares)).sum() / counts.sum())


def _known(probabilities: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    values, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if values.ndim != 2 or true.shape != (len(values),):
        raise ValueError(f"probabilities {list(values.shape)} and truth {list(true.shape)} must be [n, C] and [n].")
    if not np.isin(true, range(values.shape[1])).all():
        raise ValueError(f"truth must hold the grades 0 to {values.shape[1] - 1}.")
    known = np.isfinite(values).all(axis=1)
    return values[known], true[known].astype(np.int64)
