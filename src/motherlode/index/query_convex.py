"""The convex blend whose scale is the query's own lists: the plainest, and what an index does if told nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged
from motherlode.index.blend import convex, tune_alpha
from motherlode.index.candidates import Candidates
from motherlode.index.pool import Pool
from motherlode.index.rank_fusion import CUTOFF, ndcg

DENSE, LEXICAL = "dense", "lexical"


@dataclass(frozen=True)
class QueryConvex:
    """`blend.convex` of the dense and the lexical list, alpha the weight of the dense one."""

    kind: ClassVar[str] = "convex"
    words: ClassVar[bool] = False
    alpha: float

    @classmethod
    def fit(cls, pool: Pool, judged: Judged) -> Self:
        """The alpha of highest NDCG@10. Raises InputError without both legs."""
        dense, lexical = _both(pool)
        return cls(tune_alpha(dense, lexical, lambda found: ndcg(found, judged), CUTOFF)[0])

    def blend(self, pool: Pool, k: int) -> Candidates:
        """The k best candidates of each query."""
        return convex(*_both(pool), self.alpha, k)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values from which `from_json` makes it again."""
        return {"kind": self.kind, "alpha": self.alpha}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Of what `to_json` gave."""
        return cls(float(found["alpha"]))


def _both(pool: Pool) -> tuple[Candidates, Candidates]:
    if set(pool.legs) != {DENSE, LEXICAL}:
        raise InputError(f"This blend is of the legs dense and lexical, not of {', '.join(pool.legs)}.")
    return pool.found(DENSE), pool.found(LEXICAL)
