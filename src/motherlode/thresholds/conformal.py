"""Thresholds with a guarantee: of what is shown, a stated share is of grade g or more.

Units are queries, taken as exchangeable (calibration queries and those to come are drawn alike, and so are their
judgements). For query i and threshold t let G_i(t) and N_i(t) be the good and all results of score >= t, the K best of
them at most, and X_i(t) = G_i(t) - share N_i(t), which lies in [-share K, (1 - share) K]. Since
E[X(t)] >= 0 is E[G(t)] / E[N(t)] >= share, the share is that among all results shown, not a mean over queries, and
queries that show nothing cost nothing.

* `learn_then_test`: with probability at least 1 - delta over the calibration queries, the threshold returned has
  E[G] / E[N] >= share. Exact in finite samples, whatever the distribution. Source: Angelopoulos, Bates, Candès, Jordan
  & Lei, Learn then Test (2021), fixed-sequence testing; p-values by betting, Waudby-Smith & Ramdas (2024).
* `risk_control`: E[X_new(t)] >= 0 where the loss is monotone in t, on average over calibration sets; X is not monotone
  in general, so the threshold is the lowest from which *every* higher one passes, and the promise is then one for large
  samples. It lies closer to what was stated. Source: Angelopoulos, Bates, Fisch, Lei & Schuster, Conformal Risk
  Control (2024), whose section on general losses says the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import InputError, SettingError

LEVELS = 200  # thresholds tried: quantiles of the scores
SLACK = 0.02
STARTS = 5
DESIGN = 5  # one query in so many chooses the thresholds that the others test
METHODS = ("learn then test", "risk control")


@dataclass(frozen=True)
class Guaranteed:
    """A threshold and what is promised of it; threshold None where nothing could be promised: show nothing.

    observed: good over shown on the calibration queries; shown: results there; queries: their number. delta is None
    where the promise is one on average.
    """

    grade: int
    share: float
    method: str
    threshold: float | None
    delta: float | None
    most: int
    queries: int
    shown: int
    observed: float | None

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def learn_then_test(
    scores: ArrayLike,
    grades: ArrayLike,
    queries: ArrayLike,
    *,
    grade: int,
    share: float,
    delta: float = 0.1,
    most: int = 10,
    n_queries: int | None = None,
) -> Guaranteed:
    """The lowest threshold that a test in sequence reaches.

    scores, grades, queries: one value a result (n of each); only the `most` best of a query count. n_queries: where
    some queries have no result, their number. H(t): E[G] / E[N] < share is rejected where the betting p-value is at
    most delta / 5; from five starts, evenly spaced, tests go down to lower thresholds until the first that fails, so
    that the chance of any false rejection is delta at most. A fifth of the queries, drawn by chance, says which
    thresholds are tried and which is the strictest (one that shows a result of one query in ten: where almost nothing
    is shown nothing can be proven); the others alone are tested on, since tests in a sequence that they had a say in
    would promise nothing.
    """
    if not 0 < delta < 1:
        raise SettingError(f"delta is {delta}: the chance to be wrong must lie between 0 and 1.")
    own = np.asarray(queries, dtype=np.int64)
    count = int(own.max(initial=-1)) + 1 if n_queries is None else n_queries
    order = np.random.default_rng([0, count]).permutation(count)
    design, tested = order[: count // DESIGN], order[count // DESIGN :]
    part = np.isin(own, design)
    values = np.asarray(scores, dtype=np.float64)
    levels, _, first = _table(values[part], np.asarray(grades)[part], own[part], grade, share, most, count)
    levels, gains, table = _table(scores, grades, queries, grade, share, most, count, levels)
    at = None
    strictest = np.flatnonzero((first[1] > 0).sum(axis=0) >= 0.1 * len(design))
    starts = strictest[np.linspace(0, len(strictest) - 1, STARTS).astype(int)] if len(strictest) else strictest
    for start in starts:
        if at is not None and at >= start:
            continue  # an earlier walk came past here, and ended where this one would
        for column in range(int(start), len(levels)):
            if betting_p_value((gains[tested, column] + share * most) / most, share) > delta / STARTS:
                break
            at = column
    return _guaranteed(grade, share, METHODS[0], delta, most, levels, table, at)


def risk_control(
    scores: ArrayLike,
    grades: ArrayLike,
    queries: ArrayLike,
    *,
    grade: int,
    share: float,
    most: int = 10,
    n_queries: int | None = None,
) -> Guaranteed:
    """The lowest t with sum_i X_i(t') - share K >= 0 for all levels t' >= t that show enough.

    -share K is the worst the next query can add: (n/(n+1)) mean(-X) + share K / (n+1) <= 0. Enough is where this worst
    case costs no more than 2 points of the share, share K / sum_i N_i(t') <= 0.02. Arguments as in `learn_then_test`.
    """
    levels, gains, table = _table(scores, grades, queries, grade, share, most, n_queries)
    worst = share * most
    enough = worst <= SLACK * table[1].sum(axis=0)
    failed = np.flatnonzero(enough & (gains.sum(axis=0) < worst))
    end = int(failed[0]) if len(failed) else len(levels)
    at = end - 1 if enough[:end].any() else None
    return _guaranteed(grade, share, METHODS[1], None, most, levels, table, at)


def betting_p_value(values: ArrayLike, mean: float) -> float:
    """P-value of "the mean of these independent values in 0..1 is at most `mean`", valid for any number of them.

    1 / max over t of prod_{s <= t} (1 + b_s (x_s - mean)), a martingale under the hypothesis (Ville's inequality), with
    bets b_s = clip(gain / variance, 0, 1 / (2 mean)) set by what was seen before s alone (approximate Kelly). Values
    are taken in the order given. Source: Waudby-Smith & Ramdas, Estimating Means of Bounded Random Variables by
    Betting (JRSS B 2024).
    """
    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        return 1.0
    before = np.arange(len(x))
    seen_mean = (0.5 * mean + 0.5 + np.concatenate([[0], np.cumsum(x)[:-1]])) / (before + 1)
    # half a unit of mass a prior on mean and square keeps the first bets small
    deviations = (x - mean) ** 2
    seen_square = (0.25 + np.concatenate([[0], np.cumsum(deviations)[:-1]])) / (before + 1)
    bets = np.clip((seen_mean - mean) / seen_square, 0, 0.5 / mean)
    wealth = np.cumsum(np.log1p(bets * (x - mean)))
    return float(np.exp(-max(wealth.max(), 0.0)))


def _table(
    scores: ArrayLike,
    grades: ArrayLike,
    queries: ArrayLike,
    grade: int,
    share: float,
    most: int,
    n_queries: int | None,
    levels: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Levels [T], falling, quantiles of the scores where none are given; X [Q, T]; good and shown results [2, Q, T]."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(grades) >= grade
    own = np.asarray(queries, dtype=np.int64)
    if not (values.shape == truth.shape == own.shape) or not np.isfinite(values).all():
        raise InputError("A guarantee needs one finite score, one grade and one query a result.")
    if not 0 < share < 1 or most < 1:
        raise SettingError(f"share is {share} and most is {most}: give a share between 0 and 1 of at least one result.")
    count = int(own.max(initial=-1)) + 1 if n_queries is None else n_queries
    order = np.lexsort((-values, own))
    values, truth, own = values[order], truth[order], own[order]
    rank = np.arange(len(own)) - np.searchsorted(own, own)
    values, truth, own = values[rank < most], truth[rank < most], own[rank < most]
    if levels is None:
        levels = values[:0]
        if len(values):
            levels = np.unique(np.quantile(values, np.linspace(0, 1, LEVELS), method="nearest"))[::-1]
    table = np.zeros((2, count, len(levels)))
    if len(values):
        first = np.searchsorted(-levels, -values)  # the strictest level that still shows it
        inside = first < len(levels)
        np.add.at(table[1], (own[inside], first[inside]), 1)
        np.add.at(table[0], (own[inside & truth], first[inside & truth]), 1)
        table = np.cumsum(table, axis=2)
    return levels, table[0] - share * table[1], table


def _guaranteed(
    grade: int,
    share: float,
    method: str,
    delta: float | None,
    most: int,
    levels: NDArray[np.float64],
    table: NDArray[np.float64],
    at: int | None,
) -> Guaranteed:
    if at is None:
        return Guaranteed(grade, share, method, None, delta, most, table.shape[1], 0, None)
    good, shown = table[:, :, at].sum(axis=1)
    observed = float(good / shown) if shown else None
    return Guaranteed(grade, share, method, float(levels[at]), delta, most, table.shape[1], int(shown), observed)
