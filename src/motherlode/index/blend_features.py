"""What a learnt blend knows of a candidate: each leg's score and rank, shared words, and the query around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from motherlode.index.pool import Pool
from motherlode.index.word_matches import PAIR

TOP = 50  # a leg's best scores of the query, which its mean and spread are taken over
AGREED = 10  # ranks over which the agreement of two legs is counted
SOFT_RANK = 10  # 1 / (10 + rank)
LEG = ("score", "share of best", "standard score", "reciprocal rank", "log rank")
TINY = 1e-6


def names(legs: tuple[str, ...], words: bool) -> tuple[str, ...]:
    """The names of the columns of `features`."""
    own = [f"{leg} {name}" for leg in legs for name in LEG]
    query = ["agreement", *(f"{leg} spread" for leg in legs), *(("terms", "greatest idf") if words else ())]
    crossed = [f"{leg} share of best x {name}" for leg in legs for name in query]
    return (*own, *(PAIR if words else ()), *crossed)


def features(pool: Pool) -> NDArray[np.float32]:
    """float32[Q, M, F], columns as in `names`; 0 at pads.

    Of each leg: the score; the score over the query's best; (score - mean) / standard deviation of the query's 50
    best; 1 / (10 + rank) and ln rank, ranks by score over the pool, ties by the smaller row. A candidate a leg has
    no score for counts as the lowest the leg knows, and as ranked behind all. Of words: `Matches.pairs`. Of the query,
    each times every leg's share of the best (alone it would move all candidates alike): agreement = how many of the
    legs' 10 best are shared by all, over 10; spread = best less mean of the 50 best, over the best, the sharper the
    narrower the query; its terms; its greatest idf (rarity).
    """
    real = pool.real
    own, shares, query, tops = [], [], [], []
    for column in range(len(pool.legs)):
        known = pool.scores[:, :, column].astype(np.float64)
        known[~real] = np.nan
        scores, ranks = _filled(known, real)
        first = (ranks <= TOP) & real
        count = np.maximum(first.sum(axis=1, keepdims=True), 1)
        mean = np.where(first, scores, 0).sum(axis=1, keepdims=True) / count
        spread = np.sqrt(np.where(first, (scores - mean) ** 2, 0).sum(axis=1, keepdims=True) / count)
        top = np.where(real, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0.0)
        whole = np.maximum(np.abs(top), TINY)
        own += [scores, scores / whole, (scores - mean) / (spread + 1e-3), 1 / (SOFT_RANK + ranks), np.log(ranks)]
        shares.append(scores / whole)
        query.append((top - mean) / whole)
        tops.append((ranks <= AGREED) & real & np.isfinite(known))
    query.insert(0, np.logical_and.reduce(tops).sum(axis=1, keepdims=True) / AGREED)
    if pool.matches is not None:
        own += list(np.moveaxis(pool.matches.pairs, 2, 0))
        query += [pool.matches.queries[:, [0]], pool.matches.queries[:, [2]]]
    columns = own + [share * one for share in shares for one in query]
    return np.where(real[:, :, None], np.stack(columns, axis=2), 0).astype(np.float32)


def _filled(known: NDArray[np.float64], real: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores with the lowest known one where there is none, and ranks from 1: those without a score share the last."""
    has = np.isfinite(known)
    low = np.where(has, known, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    scores = np.where(has, known, np.where(np.isfinite(low), low, 0.0))
    order = np.argsort(np.where(has, -known, np.inf), axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(1, order.shape[1] + 1), order.shape), axis=1)
    return np.where(real, scores, 0.0), np.where(has, ranks, has.sum(axis=1, keepdims=True) + 1)
