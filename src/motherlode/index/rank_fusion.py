"""Reciprocal rank fusion whose constant is chosen on validation queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.index.candidates import Candidates, best
from motherlode.index.pool import Pool

CONSTANTS = (1, 2, 5, 10, 20, 40, 60, 100)
CUTOFF = 10  # blends are chosen by NDCG here


@dataclass(frozen=True)
class RankFusion:
    """score(d) = sum over the legs that hold d of 1 / (constant + rank of d), ranks from 1.

    Source: Cormack, Clarke & Buettcher, Reciprocal Rank Fusion (SIGIR 2009), where the constant is 60.
    """

    kind: ClassVar[str] = "rank fusion"
    words: ClassVar[bool] = False
    constant: int = 60

    @classmethod
    def fit(cls, pool: Pool, judged: Judged) -> Self:
        """The constant of `CONSTANTS` of highest NDCG@10 on these queries; of equals the first."""
        return max((cls(constant) for constant in CONSTANTS), key=lambda one: ndcg(one.blend(pool, CUTOFF), judged))

    def blend(self, pool: Pool, k: int) -> Candidates:
        """The k best candidates of each query."""
        parts = np.where(pool.ranks > 0, 1 / (self.constant + pool.ranks), 0.0).sum(axis=2)
        return best(parts, np.where((pool.ranks > 0).any(axis=2), pool.rows, -1), k)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values from which `from_json` makes it again."""
        return {"kind": self.kind, "constant": self.constant}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Of what `to_json` gave."""
        return cls(int(found["constant"]))


def ndcg(found: Candidates, judged: Judged) -> float:
    """Mean NDCG@10 over the queries that have a relevant item; an item that is not judged has gain 0."""
    values = ranking_metrics(judged, found.rows, (CUTOFF,))[f"ndcg@{CUTOFF}"]
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
