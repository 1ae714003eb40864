"""Recall and NDCG over the whole catalogue, user by user, exact, with the history left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.evaluation.run import top_k
from motherlode.recommend.examples import last_of
from motherlode.recommend.holdout import Holdout
from motherlode.recommend.sequences import Rows
from motherlode.recommend.towers import UserItemTwoTower

CUTOFFS = (50, 200)
NDCG = 50
CELLS = 8_000_000  # scores in memory at once: 32 MB
USERS = 8_192  # histories in memory at once

Scorer = Callable[[int, int], NDArray[np.float32]]  # users from start to end of a holdout -> scores [end - start, N]


@dataclass(frozen=True, eq=False)
class UserMetrics:
    """`per_user[metric]` float64 [Q], NaN where a user has no target of that slice; `means` over the others."""

    per_user: dict[str, NDArray[np.float64]]

    @property
    def means(self) -> dict[str, float | None]:
        """Mean of every metric over the users that have it; None where nobody has."""
        return {
            name: None if np.isnan(values).all() else float(np.nanmean(values))
            for name, values in self.per_user.items()
        }


def target_ranks(holdout: Holdout, scorer: Scorer) -> Rows:
    """The rank of every target among the items its user has not had, best 1: int64 [T].

    rank = 1 + #{j not in the history: s_j > s_t, or s_j = s_t and j < t}. Exact, and no sorting: a target needs one
    comparison an item.

    Raises:
        InputError: a score is NaN, which has no rank.
    """
    history, targets, n_items = holdout.history, holdout.targets, holdout.targets.n_items
    ranks = np.empty(len(targets.items), dtype=np.int64)
    start = 0
    while start < len(holdout):
        # as many users as their rows of scores, one for each user and one for each target, leave room for
        limit = targets.indptr[start] + max(1, CELLS // n_items)
        end = max(start + 1, int(np.searchsorted(targets.indptr, limit, side="right")) - 1)
        scores = np.array(scorer(start, end), dtype=np.float32)
        if np.isnan(scores).any():
            raise InputError("A score is NaN: the model cannot rank. Train it again at a lower rate.")
        owner = np.repeat(np.arange(end - start), np.diff(history.indptr[start : end + 1]))
        scores[owner, history.items[history.indptr[start] : history.indptr[end]]] = -np.inf
        part = slice(targets.indptr[start], targets.indptr[end])
        owner = np.repeat(np.arange(end - start), np.diff(targets.indptr[start : end + 1]))
        wanted = targets.items[part]
        own = scores[owner, wanted][:, None]
        rows = scores if len(owner) == end - start else scores[owner]
        above = np.count_nonzero(rows > own, axis=1)
        level = np.flatnonzero(np.count_nonzero(rows == own, axis=1) > 1)
        for place in level:  # ties are rare outside of untrained models
            above[place] += np.count_nonzero(rows[place, : wanted[place]] == own[place])
        ranks[part] = above + 1
        start = end
    return ranks


def metrics_of(
    holdout: Holdout,
    ranks: Rows,
    *,
    cutoffs: Sequence[int] = CUTOFFS,
    slices: Mapping[str, NDArray[np.bool_]] | None = None,
) -> UserMetrics:
    """Per-user metrics from the targets' ranks.

        recall@K = #{targets with rank <= K} / #targets
        ndcg@50 = Σ_{rank <= 50} 1 / log2(1 + rank)  /  Σ_{r <= min(50, #targets)} 1 / log2(1 + r)

    slices: name -> bool [N] of items; recall@K/name counts the targets in the slice alone, among all items.
    """
    owner, q = holdout.targets.users, len(holdout)
    counts = np.bincount(owner, minlength=q).astype(np.float64)
    found = {f"recall@{k}": _share(owner, ranks <= k, np.ones(len(owner), bool), q) for k in cutoffs}
    gains = np.where(ranks <= NDCG, 1 / np.log2(1 + ranks), 0.0)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(2 + np.arange(NDCG)))])
    found[f"ndcg@{NDCG}"] = np.bincount(owner, gains, minlength=q) / ideal[np.minimum(counts, NDCG).astype(int)]
    for name, items in (slices or {}).items():
        inside = items[holdout.targets.items]
        for k in cutoffs:
            found[f"recall@{k}/{name}"] = _share(owner, ranks <= k, inside, q)
    return UserMetrics(found)


def evaluate(
    holdout: Holdout,
    scorer: Scorer,
    *,
    cutoffs: Sequence[int] = CUTOFFS,
    slices: Mapping[str, NDArray[np.bool_]] | None = None,
) -> UserMetrics:
    """Rank the whole catalogue for every user of the holdout: see `target_ranks` and `metrics_of`."""
    return metrics_of(holdout, target_ranks(holdout, scorer), cutoffs=cutoffs, slices=slices)


def model_scorer(model: UserItemTwoTower, holdout: Holdout) -> Scorer:
    """Cosines of the users of a holdout, told by the end of their history, with all items."""
    history, items = holdout.history, model.encode_items()
    parts = [(start, min(start + USERS, len(holdout))) for start in range(0, len(holdout), USERS)]
    users = np.concatenate([model.encode_users(last_of(history, model.settings.window, *part)) for part in parts])
    return lambda start, end: users[start:end] @ items.T


def recommend(holdout: Holdout, scorer: Scorer, k: int) -> tuple[Rows, NDArray[np.float32]]:
    """The k best items for every user, best first, none of the history: rows int64 [Q, k] and scores float32 [Q, k].

    Exact; the smaller row goes first among equal scores; -1 pads where a user has fewer items left.
    """
    history, found = holdout.history, []
    step = max(1, CELLS // history.n_items)
    for start in range(0, len(holdout), step):
        end = min(start + step, len(holdout))
        scores = np.array(scorer(start, end), dtype=np.float32)
        owner = np.repeat(np.arange(end - start), np.diff(history.indptr[start : end + 1]))
        scores[owner, history.items[history.indptr[start] : history.indptr[end]]] = -np.inf
        found.append(top_k(scores, k))
    return np.concatenate([rows for rows, _ in found]), np.concatenate([scores for _, scores in found])


def _share(owner: Rows, hit: NDArray[np.bool_], inside: NDArray[np.bool_], q: int) -> NDArray[np.float64]:
    """Share of each user's targets inside that were hit, NaN for users without one."""
    total = np.bincount(owner[inside], minlength=q).astype(np.float64)
    hits = np.bincount(owner[inside & hit], minlength=q)
    return np.divide(hits, total, out=np.full(q, np.nan), where=total > 0)
