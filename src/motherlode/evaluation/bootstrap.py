"""Paired bootstrap over queries: how sure a difference between two systems is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
_CHUNK_CELLS = 4_000_000  # resampled query counts held at once: 32 MB

Interval = dict[str, float | int | None]


def paired_bootstrap(
    values: NDArray[np.float64], baseline: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval]:
    """Differences of means between values[Q, M] and baseline[Q, M] with 95 % intervals, one dict a column.

    Queries are drawn with replacement, the same draw for both systems and for all columns; those where
    either value is NaN count in neither mean. delta = mean(values) - mean(baseline); relative = delta /
    mean(baseline); low, high, relative_low, relative_high are the 2.5 and 97.5 percentiles over the
    resamples; p is two-sided, min(1, 2 (1 + min(#{delta* <= 0}, #{delta* >= 0})) / (1 + resamples)); n
    queries had both values. None stands where a figure has no meaning: no query, fewer than two for an
    interval, a baseline mean that is not positive for a ratio. Efron and Tibshirani 1993, chapter 13.
    """
    if values.ndim != 2 or values.shape != baseline.shape:
        raise ValueError(
            f"values {list(values.shape)} and baseline {list(baseline.shape)} must share one shape [Q, M]."
        )
    if resamples < 1:
        raise ValueError(f"resamples must be positive, not {resamples}.")
    known = ~(np.isnan(values) | np.isnan(baseline))
    columns = np.stack([np.where(known, values, 0.0), np.where(known, baseline, 0.0), known])  # [3, Q, M]
    observed = _means(columns.sum(axis=1))
    drawn = _resample(columns, resamples, np.random.default_rng(seed))
    return [
        _interval(observed[:, column], drawn[:, :, column], int(known[:, column].sum()))
        for column in range(values.shape[1])
    ]


def _resample(columns: NDArray[np.float64], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Means of both systems in every resample: float64[2, resamples, M]."""
    _, n_queries, n_columns = columns.shape
    drawn = np.full((2, resamples, n_columns), np.nan)
    if n_queries == 0:
        return drawn
    chunk = max(1, _CHUNK_CELLS // n_queries)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        draws = rng.integers(0, n_queries, size=(size, n_queries))
        draws += np.arange(size)[:, None] * n_queries
        # How often each query was drawn: sums over a resample are then one matrix product for all columns.
        counts = np.bincount(draws.ravel(), minlength=size * n_queries).reshape(size, n_queries)
        drawn[:, start : start + size] = _means(counts.astype(np.float64) @ columns)
    return drawn


def _means(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """[sum of values, sum of baseline, count] -> both means, NaN where the count is 0."""
    return np.divide(sums[:2], sums[2], out=np.full_like(sums[:2], np.nan), where=sums[2] > 0)


def _interval(observed: NDArray[np.float64], drawn: NDArray[np.float64], n: int) -> Interval:
    """The figures of one column from observed[2] and drawn[2, resamples]."""
    value, base = (float(mean) for mean in observed)
    drawn = drawn[:, ~np.isnan(drawn[0])]  # a resample that missed all queries of a small slice says nothing
    deltas = drawn[0] - drawn[1]
    one_sided = min((deltas <= 0).sum(), (deltas >= 0).sum())
    sure = n >= 2
    ratio = n > 0 and base > 0
    low, high = _percentiles(deltas) if sure else (None, None)
    ratios = sure and ratio and bool((drawn[1] > 0).all())
    relative_low, relative_high = _percentiles(deltas / drawn[1]) if ratios else (None, None)
    return {
        "delta": value - base if n else None,
        "low": low,
        "high": high,
        "relative": (value - base) / base if ratio else None,
        "relative_low": relative_low,
        "relative_high": relative_high,
        "p": min(1.0, 2 * (1 + int(one_sided)) / (1 + len(deltas))) if sure else None,
        "n": n,
    }


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
