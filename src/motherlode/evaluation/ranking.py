"""NDCG, recall and precision with grades, over the whole catalogue or over the judged items alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from motherlode.evaluation.judged import Judged

CUTOFFS = (10, 50, 100)
GAINS = {"linear": (0.0, 0.5, 1.0), "exponential": (0.0, 1.0, 3.0)}  # of grades 0, 1, 2: g/2 and 2^g - 1
RELEVANT = {"": 1, "_grade2": 2}  # suffix of recall and precision -> least grade that counts as relevant


def ranking_metrics(
    judged: Judged, items: NDArray[np.int64], cutoffs: Sequence[int] = CUTOFFS, gains: str = "linear"
) -> dict[str, NDArray[np.float64]]:
    """Metrics of items[Q, K] ranked out of the whole catalogue: name -> float64[Q].

    DCG@k = sum over ranks r <= k of gain(grade at r) / log2(r + 1); NDCG@k = DCG@k / DCG@k of the ideal
    order of all judged items of the query. recall@k = relevant items in the first k / all relevant items;
    precision@k = relevant items in the first k / k; relevant is grade >= 1, and grade 2 alone in
    `recall_grade2@k`, `precision_grade2@k`. An item that is not judged has gain 0. A query without a
    relevant item has no value: NaN. Gains: Järvelin and Kekäläinen 2002 (linear), Burges et al. 2005
    (exponential). Raises ValueError where K is below a cutoff.
    """
    if not cutoffs or min(cutoffs) < 1:
        raise ValueError(f"Cutoffs must be ranks from 1, not {list(cutoffs)}.")
    if gains not in GAINS:
        raise ValueError(f"gains must be one of {', '.join(GAINS)}, not '{gains}'.")
    if items.shape[1] < max(cutoffs):
        raise ValueError(
            f"{items.shape[1]} results a query cannot be measured at rank {max(cutoffs)}: "
            "retrieve more, or pad with -1."
        )
    places = max(cutoffs)
    grades = judged.grades_of(items[:, :places])
    ideal = judged.grades_of(rank_judged(judged, judged.grades, places))
    gain = np.array([*GAINS[gains], 0.0])  # an item not judged has grade -1: the last
    discount = 1 / np.log2(np.arange(2, places + 2))
    dcg, ideal_dcg = (np.cumsum(gain[ranked] * discount, axis=1) for ranked in (grades, ideal))
    metrics = {f"ndcg@{k}": _ratio(dcg[:, k - 1], ideal_dcg[:, k - 1]) for k in cutoffs}
    for suffix, least in RELEVANT.items():
        hits = np.cumsum(grades >= least, axis=1, dtype=np.int64)
        relevant = judged.count(least)
        for k in cutoffs:
            metrics[f"recall{suffix}@{k}"] = _ratio(hits[:, k - 1], relevant)
            metrics[f"precision{suffix}@{k}"] = _ratio(hits[:, k - 1], k * (relevant > 0))
    return metrics


def judged_metrics(
    judged: Judged, scores: NDArray[np.float32], cutoffs: Sequence[int] = CUTOFFS, gains: str = "linear"
) -> dict[str, NDArray[np.float64]]:
    """The same metrics when only the judged items of each query are ranked, by scores[J].

    Equal scores are ordered by the smaller item row; pairs without a score (NaN) come last.
    """
    return ranking_metrics(judged, rank_judged(judged, scores, max(cutoffs, default=0)), cutoffs, gains)


def rank_judged(judged: Judged, scores: NDArray[np.floating] | NDArray[np.int8], k: int) -> NDArray[np.int64]:
    """The k best judged items of every query by scores[J]: int64[Q, k], -1 pads."""
    if len(scores) != len(judged.items):
        raise ValueError(f"There are {len(scores)} scores for {len(judged.items)} judged pairs.")
    queries = judged.query_rows
    # lexsort puts NaN last, also after negation
    order = np.lexsort((judged.items, -scores.astype(np.float64), queries))
    ranks = np.arange(len(order)) - judged.indptr[queries]  # queries rise, so they are unchanged by the sort
    ranked = np.full((judged.n_queries, k), -1, dtype=np.int64)
    kept = ranks < k
    ranked[queries[kept], ranks[kept]] = judged.items[order[kept]]
    return ranked


def _ratio(part: NDArray[np.number], whole: NDArray[np.number]) -> NDArray[np.float64]:
    """part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
