"""What one system returned: its best items for every query, and its scores of the judged pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Run:
    """A system's answers to Q queries.

    items int64[Q, K], best first, each at most once a query, -1 pads the end; scores float32[Q, K], never
    rising; judged_scores float32[J] aligned with `Judged`, NaN where the system gives no score, or None
    where it cannot score a given pair at all. Raises ValueError where the arrays break this form.
    """

    name: str
    items: NDArray[np.int64]
    scores: NDArray[np.float32]
    judged_scores: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.items.ndim != 2 or self.items.shape != self.scores.shape:
            raise ValueError(
                f"Run '{self.name}': items {list(self.items.shape)} and scores {list(self.scores.shape)} "
                "must share one shape [Q, K]."
            )
        real = self.items >= 0
        if (real[:, 1:] & ~real[:, :-1]).any():
            raise ValueError(f"Run '{self.name}': a pad (-1) stands before an item; pads belong at the end.")
        if np.isnan(self.scores[real]).any():
            raise ValueError(f"Run '{self.name}': a returned item has the score NaN.")
        if ((self.scores[:, 1:] > self.scores[:, :-1]) & real[:, 1:]).any():
            raise ValueError(f"Run '{self.name}': scores rise within a query; items must come best first.")
        ordered = np.sort(self.items, axis=1)
        if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
            raise ValueError(f"Run '{self.name}': an item is returned twice for one query.")


def top_k(scores: ArrayLike, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best items of every query, best first, the smaller item row first among equal scores.

    scores [Q, N] -> items int64[Q, k], scores float32[Q, k]. A score of NaN or -inf means "not returned":
    pads (item -1, score -inf) fill the places left. Linear in N, and exact at the boundary: of the items
    that tie with the k-th, those with the smallest rows stay.
    """
    values = np.asarray(scores, dtype=np.float32)
    if values.ndim != 2 or k < 1:
        raise ValueError(f"top_k takes scores [Q, N] and k >= 1, not {list(values.shape)} and {k}.")
    values = np.where(np.isnan(values), np.float32(-np.inf), values)
    n_queries, n_items = values.shape
    taken = min(k, n_items)
    items = np.full((n_queries, k), -1, dtype=np.int64)
    best = np.full((n_queries, k), -np.inf, dtype=np.float32)
    if taken == 0:
        return items, best
    if taken < n_items:
        last = np.partition(values, n_items - taken, axis=1)[:, n_items - taken, None]
        above = values > last
        ties = values == last
        room = taken - above.sum(axis=1, keepdims=True)
        rows = np.nonzero(above | (ties & (np.cumsum(ties, axis=1) <= room)))[1].reshape(n_queries, taken)
    else:
        rows = np.broadcast_to(np.arange(n_items), values.shape)
    found = np.take_along_axis(values, rows, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")  # rows rise, so stable means smaller row first
    best[:, :taken] = np.take_along_axis(found, order, axis=1)
    items[:, :taken] = np.take_along_axis(rows, order, axis=1)
    items[best == -np.inf] = -1
    return items, best
