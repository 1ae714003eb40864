"""Blends of any number of legs behind one protocol: fitted on validation queries, kept as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import read_json, write_json
from motherlode.errors import InputError, MissingError
from motherlode.evaluation.judged import Judged
from motherlode.index.blend import simplex
from motherlode.index.candidates import Candidates, best
from motherlode.index.pool import Pool
from motherlode.index.rank_fusion import CUTOFF, RankFusion, ndcg

FLOORS = (0.0, 0.01, 0.05, 0.1)  # shares of the relevant candidates that a floor may cost
DENSE = "dense"


class Blend(Protocol):
    """Makes one list of a pool's candidates."""

    kind: ClassVar[str]

    @property
    def words(self) -> bool:
        """Whether it reads `Pool.matches`."""
        ...

    @classmethod
    def fit(cls, pool: Pool, judged: Judged) -> Self:
        """Choose everything on these queries: validation ones, never those reported on."""
        ...

    def blend(self, pool: Pool, k: int) -> Candidates:
        """The k best candidates of each query."""
        ...

    def to_json(self) -> dict[str, Any]:
        """JSON-able values, `kind` among them."""
        ...

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Of what `to_json` gave."""
        ...


@dataclass(frozen=True)
class CalibratedConvex:
    """score(d) = sum_l w_l p_l(s_l(d)) [s_l(d) >= floor_l], with p_l(s) = 1 / (1 + exp(-(a_l s + b_l))).

    p_l is the share of candidates at a leg's score whose grade is 1 or more (an un-judged candidate counts as 0, as in
    the metric), so that legs meet on one scale that no other candidate of the query can shift. Floors are absolute
    scores: below one, a leg does not speak; an item for which none speaks is not returned. Ours, after the theoretical
    minimum of Bruch, Gai & Ingber, An Analysis of Fusion Functions for Hybrid Retrieval (2023), and Platt (1999).
    """

    kind: ClassVar[str] = "calibrated convex"
    words: ClassVar[bool] = False
    legs: tuple[str, ...]
    slopes: tuple[float, ...]
    offsets: tuple[float, ...]
    floors: tuple[float, ...]
    weights: tuple[float, ...]

    @classmethod
    def fit(cls, pool: Pool, judged: Judged) -> Self:
        """Slopes and offsets by logistic regression; weights of `simplex` and floors by NDCG@10.

        A floor is the score below which a leg has the same share of its relevant candidates, one of `FLOORS` for all
        legs; of equals the smallest wins. Raises InputError where a leg scored no candidate or all are of one kind.
        """
        good = judged.grades_of(pool.rows) >= 1
        curves = [_logistic(pool.scores[:, :, at], good, name) for at, name in enumerate(pool.legs)]
        slopes, offsets = (tuple(column) for column in zip(*curves, strict=True))
        relevant = [values[good & np.isfinite(values)] for values in np.moveaxis(pool.scores, 2, 0)]
        tried = []
        for share in FLOORS:
            floors = tuple(float(np.quantile(values, share)) if share else -np.inf for values in relevant)
            for weights in simplex(len(pool.legs)):
                one = cls(pool.legs, slopes, offsets, floors, weights)
                tried.append((ndcg(one.blend(pool, CUTOFF), judged), one))
        return max(tried, key=lambda pair: pair[0])[1]

    def blend(self, pool: Pool, k: int) -> Candidates:
        """The k best candidates of each query; fewer where no leg speaks for more."""
        scores = pool.scores[:, :, [pool.leg(name) for name in self.legs]].astype(np.float64)
        speaks = scores >= np.array(self.floors)  # never where a leg knows no score
        shares = 1 / (1 + np.exp(-(np.nan_to_num(scores) * self.slopes + self.offsets)))
        parts = np.where(speaks, shares * self.weights, 0.0).sum(axis=2)
        heard = (speaks & (np.array(self.weights) > 0)).any(axis=2)
        return best(parts, np.where(heard, pool.rows, -1), k)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values from which `from_json` makes it again; a floor of None holds nothing back."""
        floors = [None if floor == -np.inf else floor for floor in self.floors]
        rest = {name: list(getattr(self, name)) for name in ("legs", "slopes", "offsets", "weights")}
        return {"kind": self.kind, **rest, "floors": floors}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Of what `to_json` gave."""
        slopes, offsets, weights = (
            tuple(float(value) for value in found[name]) for name in ("slopes", "offsets", "weights")
        )
        floors = tuple(-np.inf if floor is None else float(floor) for floor in found["floors"])
        return cls(tuple(found["legs"]), slopes, offsets, floors, weights)


@dataclass(frozen=True)
class DenseGate:
    """Drops what the dense leg scores below a floor unless it returned it itself; `inner` blends the rest."""

    kind: ClassVar[str] = "dense gate"
    words: ClassVar[bool] = False
    floor: float | None
    inner: RankFusion | CalibratedConvex

    @classmethod
    def fit(cls, pool: Pool, judged: Judged) -> Self:
        """The inner blend and the floor of highest NDCG@10; floors cost the relevant candidates `FLOORS` at most.

        Needs exact dense scores of the other legs' candidates: a candidate whose dense score is not known is dropped
        wherever there is a floor. Raises InputError without a leg named "dense".
        """
        dense = pool.scores[:, :, pool.leg(DENSE)]
        relevant = dense[(judged.grades_of(pool.rows) >= 1) & np.isfinite(dense)]
        floors = [float(np.quantile(relevant, share)) if share and len(relevant) else None for share in FLOORS]
        inner = (RankFusion.fit(pool, judged), CalibratedConvex.fit(pool, judged))
        gates = [cls(floor, blend) for blend in inner for floor in floors]
        return max(gates, key=lambda gate: ndcg(gate.blend(pool, CUTOFF), judged))

    def blend(self, pool: Pool, k: int) -> Candidates:
        """The k best candidates of each query that pass the gate."""
        if self.floor is None:
            return self.inner.blend(pool, k)
        column = pool.leg(DENSE)
        passes = (pool.ranks[:, :, column] > 0) | (pool.scores[:, :, column] >= self.floor)
        kept = Pool(
            pool.legs,
            np.where(passes, pool.rows, -1),
            np.where(passes[:, :, None], pool.scores, np.float32(np.nan)),
            np.where(passes[:, :, None], pool.ranks, 0),
            pool.matches,
        )
        return self.inner.blend(kept, k)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values from which `from_json` makes it again."""
        return {"kind": self.kind, "floor": self.floor, "inner": self.inner.to_json()}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Of what `to_json` gave."""
        inner = from_json(found["inner"])
        if not isinstance(inner, RankFusion | CalibratedConvex):
            raise ValueError("a gate holds another blend than it can")
        return cls(found["floor"], inner)


def save(blend: Blend, path: Path | str) -> None:
    """Write a fitted blend as JSON."""
    write_json(path, blend.to_json())


def load(path: Path | str) -> Blend:
    """Read what `save` wrote. Raises MissingError without the file, InputError where it is something else."""
    if not Path(path).exists():
        raise MissingError(f"{path} is not there: fit the blend on validation queries first.")
    try:
        return from_json(read_json(path))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no blend: fit it again on validation queries.") from error


def from_json(found: dict[str, Any]) -> Blend:
    """The blend of what its `to_json` gave, by `kind`; KeyError for an unknown one."""
    from motherlode.index.learnt_blend import LearntBlend
    from motherlode.index.query_convex import QueryConvex

    every: tuple[type[Blend], ...] = (QueryConvex, RankFusion, CalibratedConvex, DenseGate, LearntBlend)
    kinds = {kind.kind: kind for kind in every}
    return kinds[found["kind"]].from_json(found)


def _logistic(scores: NDArray[np.float32], good: NDArray[np.bool_], name: str) -> tuple[float, float]:
    """Slope and offset of P(good | score) over the candidates that have a score."""
    from sklearn.linear_model import LogisticRegression

    known = np.isfinite(scores)
    values, hits = scores[known].astype(np.float64), good[known]
    if not len(values) or hits.all() or not hits.any():
        raise InputError(
            f"The leg '{name}' has {int(hits.sum())} relevant candidates of {len(hits)}: a blend needs validation "
            "queries with relevant and with other candidates in each leg."
        )
    mean, spread = values.mean(), values.std() or 1.0
    fitted = LogisticRegression(C=1e6).fit(((values - mean) / spread)[:, None], hits)
    slope = float(fitted.coef_[0, 0] / spread)
    return slope, float(fitted.intercept_[0] - slope * mean)
