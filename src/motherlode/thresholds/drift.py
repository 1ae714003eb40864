"""Drift: scores of one version against another's, and a threshold whose precision has left its band."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from motherlode.errors import InputError
from motherlode.thresholds.boundary import wilson

BINS = 20
WATCH, ALARM = 0.1, 0.25  # PSI: the usual reading, below 0.1 stable, above 0.25 shifted
KS_LEVEL = 0.001  # chance of a false alarm where nothing has moved
SMOOTH = 0.5  # scores added to every bin, so that an empty one is no infinity


def histogram(scores: ArrayLike, version: str, edges: ArrayLike | None = None) -> dict[str, Any]:
    """How a version scores what it shows: {version, edges, counts, n}, JSON-able.

    edges: those of the version to compare with; without them the 20-quantiles of these scores, so that each bin holds
    as many. The outer bins are open. Raises InputError without a finite score.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise InputError(f"Version '{version}' has no scores, or one that is not finite: nothing can be compared.")
    if edges is None:
        inner = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    else:
        inner = np.asarray(edges, dtype=np.float64)
    counts = np.bincount(np.searchsorted(inner, values, side="right"), minlength=len(inner) + 1)
    return {"version": version, "edges": inner.tolist(), "counts": counts.tolist(), "n": len(values)}


def compare(reference: dict[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
    """PSI and Kolmogorov-Smirnov distance of two histograms over the same edges, and what they say.

    PSI = sum_b (f_b - r_b) ln(f_b / r_b) with shares smoothed by half a score a bin; D = greatest distance of the
    cumulated shares, over the edges alone and so never more than the true one; its limit is
    sqrt(-ln(level / 2) / 2) sqrt((n + m) / (n m)), level 0.001. state: "alarm" where PSI > 0.25, or D is beyond its
    limit and PSI > 0.1 (of many scores any difference is certain, however small); "watch" where either is beyond its
    first mark; else "stable". Raises InputError where the edges differ.
    """
    if reference["edges"] != fresh["edges"]:
        raise InputError(
            f"The histograms of '{reference['version']}' and '{fresh['version']}' have different edges: count the "
            "second over the edges of the first."
        )
    first, second = (np.array(one["counts"], dtype=np.float64) for one in (reference, fresh))
    r, f = ((counts + SMOOTH) / (counts + SMOOTH).sum() for counts in (first, second))
    psi = float(((f - r) * np.log(f / r)).sum())
    n, m = reference["n"], fresh["n"]
    distance = float(np.abs(np.cumsum(first) / n - np.cumsum(second) / m).max())
    limit = float(np.sqrt(-np.log(KS_LEVEL / 2) / 2 * (n + m) / (n * m)))
    state = "stable"
    if psi > WATCH or distance > limit:
        state = "alarm" if psi > ALARM or (psi > WATCH and distance > limit) else "watch"
    return {
        "reference": reference["version"],
        "fresh": fresh["version"],
        "psi": psi,
        "ks": distance,
        "ks limit": limit,
        "state": state,
    }


def precision_alarm(stated: float, good: ArrayLike, *, width: float = 0.02) -> dict[str, Any]:
    """Whether fresh grades of shown results still bear out the precision stated for a threshold.

    good bool[n]: whether each freshly graded result, drawn at random from those shown, reached the grade. state:
    "alarm" where the whole 95 % Wilson interval lies outside stated - width .. stated + width, "watch" where the share
    itself does, "unknown" without grades, else "stable".
    """
    hits = np.asarray(good, dtype=bool)
    low, high = wilson(int(hits.sum()), len(hits))
    if low is None or high is None:
        return {"stated": stated, "share": None, "low": None, "high": None, "n": 0, "state": "unknown"}
    share = float(hits.mean())
    outside = high < stated - width or low > stated + width
    state = "alarm" if outside else "watch" if abs(share - stated) > width else "stable"
    return {"stated": stated, "share": share, "low": low, "high": high, "n": len(hits), "state": state}
