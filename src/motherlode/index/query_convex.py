"""The convex blend whose scale is the query's own lists: the plainest, and what an index does if told nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from motherlode.evaluation.judged import Judged
from motherlode.index.blend import simplex, weighted
from motherlode.index.blend_one import weighted_one
from motherlode.index.candidates import Candidates
from motherlode.index.pool import Pool
from motherlode.index.rank_fusion import CUTOFF, ndcg


@dataclass(frozen=True)
class QueryConvex:
    """`blend.weighted` of the legs' lists."""

    kind: ClassVar[str] = "convex"
    words: ClassVar[bool] = False
    legs: tuple[str, ...]
    weights: tuple[float, ...]

    @classmethod
    def fit(cls, pool: Pool, judged: Judged) -> Self:
        """The weights of `simplex` of highest NDCG@10; of equals the first."""
        lists = [pool.found(leg) for leg in pool.legs]
        tried = {weights: ndcg(weighted(lists, weights, CUTOFF), judged) for weights in simplex(len(lists))}
        return cls(pool.legs, max(tried, key=lambda weights: tried[weights]))

    @property
    def alpha(self) -> float:
        """The weight of the dense leg."""
        return dict(zip(self.legs, self.weights, strict=True))["dense"]

    def blend(self, pool: Pool, k: int) -> Candidates:
        """The k best candidates of each query. Raises InputError for a pool without one of the legs."""
        return self.mix({leg: pool.found(leg) for leg in self.legs}, k)

    def mix(self, lists: Mapping[str, Candidates], k: int) -> Candidates:
        """The same of the legs' lists as they are."""
        found = [lists[leg] for leg in self.legs]
        return (weighted_one if len(found[0].rows) == 1 else weighted)(found, self.weights, k)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values from which `from_json` makes it again."""
        return {"kind": self.kind, "legs": list(self.legs), "weights": list(self.weights)}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Of what `to_json` gave, or alpha alone: the weight of the dense leg beside the lexical one."""
        if "alpha" in found:
            alpha = float(found["alpha"])
            return cls(("dense", "lexical"), (alpha, 1 - alpha))
        return cls(tuple(found["legs"]), tuple(float(weight) for weight in found["weights"]))
