"""Which blend to use: the simplest that cross-validation cannot tell from the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.index.blends import Blend, CalibratedConvex, DenseGate
from motherlode.index.learnt_blend import LearntBlend
from motherlode.index.pool import Pool
from motherlode.index.query_convex import QueryConvex
from motherlode.index.rank_fusion import CUTOFF, RankFusion

FOLDS = 5
KINDS: tuple[type[Blend], ...] = (QueryConvex, RankFusion, CalibratedConvex, DenseGate, LearntBlend)  # simplest first


@dataclass(frozen=True)
class Choice:
    """The blend chosen, fitted on all queries, and all blends fitted so.

    tried: kind -> {"ndcg@10": out of fold, "behind": mean paired difference to the best, "error": its standard
    error} or {"cannot": why}. why: a sentence.
    """

    blend: Blend
    fitted: dict[str, Blend]
    tried: dict[str, dict[str, Any]]
    why: str


def choose(pool: Pool, judged: Judged) -> Choice:
    """Five-fold cross-validation over queries; the simplest whose NDCG@10 is within one standard error of the best.

    The difference and its standard error are paired, over queries that have a relevant item. The rule is that of
    Breiman, Friedman, Olshen & Stone, Classification and Regression Trees (1984). The legs must not have been trained
    on these queries. Raises InputError where no blend can be fitted.
    """
    folds = np.random.default_rng([0, judged.n_queries]).permutation(judged.n_queries) % FOLDS
    values: dict[str, NDArray[np.float64]] = {}
    tried: dict[str, dict[str, Any]] = {}
    fitted: dict[str, Blend] = {}
    for kind in KINDS:
        try:
            values[kind.kind] = _out_of_fold(kind, pool, judged, folds)
            fitted[kind.kind] = kind.fit(pool, judged)
        except InputError as error:
            tried[kind.kind] = {"cannot": str(error)}
    if not fitted:
        raise InputError(f"No blend can be fitted: {tried[QueryConvex.kind]['cannot']}")
    kept = {name: values[name] for name in fitted}
    known = np.isfinite(next(iter(kept.values())))
    means = {name: float(one[known].mean()) if known.any() else 0.0 for name, one in kept.items()}
    best = max(means, key=lambda name: means[name])
    chosen = None
    for name, one in kept.items():
        behind = (kept[best] - one)[known]
        spread = float(behind.std(ddof=1) / len(behind) ** 0.5) if len(behind) > 1 else np.inf
        gap = means[best] - means[name]
        tried[name] = {"ndcg@10": means[name], "behind": gap, "error": spread if np.isfinite(spread) else None}
        if chosen is None and gap <= spread:
            chosen = name
    assert chosen is not None  # the best is not behind itself
    return Choice(fitted[chosen], fitted, tried, _why(chosen, best, tried, int(known.sum())))


def _out_of_fold(kind: type[Blend], pool: Pool, judged: Judged, folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """NDCG@10 of every query by a blend that was fitted without its fold: float64[Q], NaN as in the metric."""
    values = np.full(judged.n_queries, np.nan)
    for fold in range(FOLDS):
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(held):
            found = kind.fit(pool.part(rest), judged.part(rest)).blend(pool.part(held), CUTOFF)
            values[held] = ranking_metrics(judged.part(held), found.rows, (CUTOFF,))[f"ndcg@{CUTOFF}"]
    return values


def _why(chosen: str, best: str, tried: dict[str, dict[str, Any]], queries: int) -> str:
    won = f"NDCG@10 {tried[chosen]['ndcg@10']:.4f} in cross-validation on {queries} validation queries"
    if chosen == best:
        return f"{chosen}: {won}, the best of all, and no simpler blend is within one standard error of it."
    gap, error = tried[chosen]["behind"], tried[chosen]["error"]
    return (
        f"{chosen}: {won}, {gap:.4f} behind {best}, which is within one standard error"
        f"{f' ({error:.4f})' if error is not None else ''}, and it is the simplest that is."
    )
