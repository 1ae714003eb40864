"""How far a system's scores hold the grades apart: margins, AUC between grades, occupancy of score bands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.evaluation.judged import Judged

PAIRS = ((2, 1), (1, 0), (2, 0))  # higher grade, lower grade
Bands = Mapping[int, tuple[float | None, float | None]]
BANDS: Bands = {
    2: (0.75, None),
    1: (0.40, 0.60),
    0: (None, 0.25),
}  # grade -> least and greatest score, both included


def separation_by_query(judged: Judged, scores: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Margins and AUCs of scores[J], query by query: name -> float64[Q], NaN where a grade has no score.

    margin_a_b = mean score of grade a - mean score of grade b. worst_margin_2_0 = least score of grade 2 -
    greatest score of grade 0. auc_a_b = share of (a, b) item pairs of the query in which a scores higher,
    ties count 1/2. Pairs whose score is NaN are left out.
    """
    if len(scores) != len(judged.items):
        raise ValueError(f"There are {len(scores)} scores for {len(judged.items)} judged pairs.")
    values = scores.astype(np.float64)
    scored = ~np.isnan(values)
    of_grade = {grade: scored & (judged.grades == grade) for grade in (0, 1, 2)}
    means = {grade: judged.means(values, where) for grade, where in of_grade.items()}
    measures = {f"margin_{a}_{b}": means[a] - means[b] for a, b in PAIRS}
    measures["worst_margin_2_0"] = _least(judged, values, of_grade[2]) + _least(judged, -values, of_grade[0])
    for a, b in PAIRS:
        either = of_grade[a] | of_grade[b]
        measures[f"auc_{a}_{b}"] = _auc(
            judged.query_rows[either], values[either], of_grade[a][either], judged.n_queries
        )
    return measures


def separation(judged: Judged, scores: NDArray[np.float32], bands: Bands = BANDS) -> dict[str, dict[str, Any]]:
    """Summary of scores[J] over all queries.

    margin_a_b and worst_margin_2_0: {mean, n} over queries. auc_a_b: {pooled, within, n}: over all pairs of
    the set, and the mean over the n queries that hold both grades. band_g: {share, n} of the n scored pairs
    of grade g whose score lies in its band. None stands where nothing can be measured.
    """
    summary: dict[str, dict[str, Any]] = {}
    for name, by_query in separation_by_query(judged, scores).items():
        if name.startswith("auc"):
            high, low = (int(grade) for grade in name.split("_")[1:])
            mean = mean_of(by_query)
            summary[name] = {
                "pooled": auc(scores[judged.grades == high], scores[judged.grades == low]),
                "within": mean["mean"],
                "n": mean["n"],
            }
        else:
            summary[name] = mean_of(by_query)
    for grade, (least, greatest) in bands.items():
        values = scores[(judged.grades == grade) & ~np.isnan(scores)]
        inside = np.ones(len(values), dtype=bool)
        if least is not None:
            inside &= values >= least
        if greatest is not None:
            inside &= values <= greatest
        summary[f"band_{grade}"] = {"share": float(inside.mean()) if len(values) else None, "n": len(values)}
    return summary


def auc(high: NDArray[np.floating], low: NDArray[np.floating]) -> float | None:
    """Share of all (high, low) pairs in which high is greater; ties count 1/2, NaN is left out.

    By ranks (Mann-Whitney): (sum of the ranks of high - n(n + 1)/2) / (n m), in O((n + m) log(n + m)). None
    without a pair.
    """
    high, low = high[~np.isnan(high)], low[~np.isnan(low)]
    values = np.concatenate([high, low]).astype(np.float64)
    one_group = np.zeros(len(values), dtype=np.int64)
    share = _auc(one_group, values, np.arange(len(values)) < len(high), 1)[0]
    return None if np.isnan(share) else float(share)


def mean_of(values: NDArray[np.float64]) -> dict[str, Any]:
    """{mean, n} over the values that are not NaN; the mean of none is None."""
    known = values[~np.isnan(values)]
    return {"mean": float(known.mean()) if len(known) else None, "n": len(known)}


def _auc(
    groups: NDArray[np.int64], values: NDArray[np.float64], positive: NDArray[np.bool_], n_groups: int
) -> NDArray[np.float64]:
    """AUC of positive against other values within every group: float64[n_groups]."""
    order = np.lexsort((values, groups))
    groups, values, positive = groups[order], values[order], positive[order]
    fresh = np.ones(len(values), dtype=bool)  # where a new group or a new value begins
    fresh[1:] = (groups[1:] != groups[:-1]) | (values[1:] != values[:-1])
    starts = np.flatnonzero(fresh)
    sizes = np.diff(np.append(starts, len(values)))
    ranks = np.repeat(starts + (sizes + 1) / 2, sizes)  # tied values share the mean of their ranks, from 1
    counts = np.bincount(groups, minlength=n_groups)
    ranks -= (np.cumsum(counts) - counts)[groups]
    positives = np.bincount(groups[positive], minlength=n_groups)
    rank_sums = np.bincount(groups[positive], weights=ranks[positive], minlength=n_groups)
    wins = rank_sums - positives * (positives + 1) / 2
    pairs = positives * (counts - positives)
    return np.divide(wins, pairs, out=np.full(n_groups, np.nan), where=pairs > 0)


def _least(judged: Judged, values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    least = np.full(judged.n_queries, np.inf)
    np.minimum.at(least, judged.query_rows[where], values[where])
    return np.where(np.isinf(least), np.nan, least)
