""" "Nothing relevant" as an answer: a query is refused when its best score stays below a threshold."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from motherlode.errors import InputError
from motherlode.evaluation.separation import auc


@dataclass(frozen=True)
class Rejection:
    """How well refusing works: AUC of the best score, queries with something relevant against those with nothing.

    precision: share of the refused that had nothing; recall: share of those with nothing that were refused; lost:
    share of those with something that were refused. None where there is nothing to measure on.
    """

    threshold: float
    auc: float | None
    precision: float | None
    recall: float | None
    lost: float | None
    queries: int
    empty: int

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def rejection(best: ArrayLike, has: ArrayLike, threshold: float) -> Rejection:
    """Measure refusing where best < threshold. best float[Q]: -inf for an empty list; has bool[Q]: something there."""
    values, something = np.asarray(best, dtype=np.float64), np.asarray(has, dtype=bool)
    refused = ~(values >= threshold)
    empty = ~something

    def share(part: Any, whole: Any) -> float | None:
        return float((part & whole).sum() / whole.sum()) if whole.any() else None

    return Rejection(
        float(threshold),
        auc(values[something], values[empty]),
        share(empty, refused),
        share(refused, empty),
        share(refused, something),
        len(values),
        int(empty.sum()),
    )


def refuse_below(best: ArrayLike, has: ArrayLike, lost: float) -> float:
    """The highest threshold that refuses at most the share `lost` of the validation queries with something relevant.

    Raises InputError where there is no such query.
    """
    values = np.sort(np.asarray(best, dtype=np.float64)[np.asarray(has, dtype=bool)])
    if not len(values):
        raise InputError(
            "No query has anything relevant, so no threshold can be chosen: give other validation queries."
        )
    return float(values[min(int(lost * len(values)), len(values) - 1)])
