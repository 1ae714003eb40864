"""Which pairs deserve a human: uncertainty times effect on the metric, spread over clusters."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.evaluation.ranking import GAINS
from motherlode.grading.grader import decide

CUTOFF = 10
FADE = 0.9  # what another verdict of one cluster is worth beside the one before it
NEEDED = ("query_id", "item_id", "p0", "p1", "p2", "rank")
_DISCOUNT = np.concatenate([[0.0], 1 / np.log2(np.arange(2, CUTOFF + 2))])  # of rank r at [r], 0 for no rank
_IDEAL = np.cumsum(_DISCOUNT)  # sum of the discounts of the first k ranks at [k]


def choose(pairs: pl.DataFrame, budget: int) -> pl.DataFrame:
    """The `budget` pairs whose human verdicts matter most, best first.

    pairs: query_id, item_id, p0, p1, p2 (calibrated; null or NaN where no grader answered: all three grades are then
    as likely), rank (1 is first; null where the system measured does not show the item), and where known `cluster`
    (topic, category ...; else the query). All judged pairs of a query belong in it, since its ideal order counts.

    effect_i = sum over grades g of p_g |NDCG@10 of the query with grade g for i - NDCG@10 with the grades as they
    are|: the expected change a verdict makes, so uncertainty and effect in one. The n-th best of a cluster counts
    0.9^(n - 1) of it. Adds grade, uncertainty (1 - greatest probability), effect, score; ties go by query_id and
    item_id. Raises InputError for a missing column, a rank below 1 or a pair given twice.
    """
    absent = [name for name in NEEDED if name not in pairs.columns]
    if absent:
        raise InputError(f"The pairs to choose from lack the column {', '.join(absent)}: add it.")
    if pairs.filter(pl.col("rank") < 1).height:
        raise InputError("The pairs to choose from hold a rank below 1: ranks count from 1, null is not shown.")
    if pairs.select("query_id", "item_id").is_duplicated().any():
        raise InputError("The pairs to choose from hold a pair twice: keep one row of each query_id and item_id.")
    pairs = pairs.sort("query_id", "item_id")  # sums of floats, and so ties, must not hang on the order of rows
    probabilities = pairs.select("p0", "p1", "p2").cast(pl.Float64).to_numpy()
    probabilities = np.where(np.isfinite(probabilities).all(axis=1, keepdims=True), probabilities, 1 / 3)
    grades = decide(probabilities)
    _, query = np.unique(pairs["query_id"].to_numpy(), return_inverse=True)
    ranks = pairs["rank"].cast(pl.Float64).fill_null(0).to_numpy()
    places = np.where(ranks <= CUTOFF, ranks, 0).astype(np.int64)
    scored = pairs.with_columns(
        grade=pl.Series(grades),
        uncertainty=pl.Series(1 - probabilities.max(axis=1)),
        effect=pl.Series(expected_change(query, places, grades, probabilities)),
    ).sort(["effect", "query_id", "item_id"], descending=[True, False, False])
    # within a cluster the order by effect is the order of picks, so greedy picking is one sort
    cluster = "cluster" if "cluster" in pairs.columns else "query_id"
    nth = pl.int_range(pl.len()).over(cluster)
    scored = scored.with_columns(score=pl.col("effect") * FADE**nth)
    return scored.sort(["score", "query_id", "item_id"], descending=[True, False, False]).head(budget)


def expected_change(
    query: NDArray[np.int64],
    places: NDArray[np.int64],
    grades: NDArray[np.int8],
    probabilities: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Expected |change of the query's NDCG@10| by a verdict on each pair, float64 [n].

    query int [n]; places int [n] is the rank, 0 where it is beyond 10 or not shown; grades int [n] as they stand;
    probabilities [n, 3] of what the verdict will be. With n_g pairs of grade g in the query and D(k) the sum of the
    first k discounts (k at most 10), the ideal DCG is 1/2 D(n_2) + 1/2 D(n_2 + n_1) for gains 0, 1/2, 1, so each
    flip is known in closed form. A query with nothing relevant counts as NDCG 0.
    """
    gains = np.array(GAINS["linear"])
    count = int(query.max(initial=-1)) + 1
    dcg = np.bincount(query, weights=gains[grades] * _DISCOUNT[places], minlength=count)
    at_least = np.stack([np.bincount(query, weights=grades >= least, minlength=count) for least in (1, 2)], axis=1)
    now = _ndcg(dcg[query], at_least[query])
    change = np.zeros(len(query))
    for grade in range(3):
        flipped = dcg[query] + (gains[grade] - gains[grades]) * _DISCOUNT[places]
        held = at_least[query] + np.array([grade >= 1, grade >= 2]) - np.stack([grades >= 1, grades >= 2], axis=1)
        change += probabilities[:, grade] * np.abs(_ndcg(flipped, held) - now)
    return change


def _ndcg(dcg: NDArray[np.number], at_least: NDArray[np.number]) -> NDArray[np.float64]:
    ideal = _IDEAL[np.minimum(at_least, CUTOFF).astype(np.int64)].mean(axis=1)
    return np.divide(dcg, ideal, out=np.zeros(len(dcg)), where=ideal > 0)
