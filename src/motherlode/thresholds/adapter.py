"""A cosine made comparable across queries: a rising map of it whose place depends on the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import InputError


@dataclass(frozen=True, eq=False)
class Adapter:
    """P(grade >= g | cosine s, query x) = iso(s + u . (x - mean) / scale): one threshold on it serves all queries.

    Within a query it rises with the cosine (not strictly: isotonic curves have levels), so order is never turned round.
    The query moves where the curve begins; u comes from a logistic regression on s and x together, its weights over
    that of s. Ours, after Walmart's cosine adapter (2024), where a network on the query embedding gives the parameters
    of a linear, root or power map.
    """

    grade: int
    offsets: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    @classmethod
    def fit(cls, scores: ArrayLike, grades: ArrayLike, features: ArrayLike, *, grade: int) -> Self:
        """From pairs: scores [n], grades [n] and features of the pair's query [n, F].

        Raises InputError where all pairs are of one kind, or the score does not rise with the grade.
        """
        from sklearn.isotonic import IsotonicRegression
        from sklearn.linear_model import LogisticRegression

        values, good = np.asarray(scores, dtype=np.float64), np.asarray(grades) >= grade
        query = np.asarray(features, dtype=np.float64)
        if not len(values) or good.all() or not good.any():
            raise InputError(f"An adapter needs pairs of grade {grade} or more and pairs below it: give more pairs.")
        mean, spread = query.mean(axis=0), query.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        width = values.std() or 1.0
        columns = np.column_stack([values / width, (query - mean) / scale])
        found = LogisticRegression(C=1.0, max_iter=1000).fit(columns, good).coef_[0]
        if found[0] <= 0:
            raise InputError(
                "The score does not rise with the grade, so no threshold on it can help: check the encoder."
            )
        offsets = found[1:] / found[0] * width
        moved = values + (query - mean) / scale @ offsets
        curve = IsotonicRegression(out_of_bounds="clip").fit(moved, good)
        return cls(grade, offsets, mean, scale, curve.X_thresholds_, curve.y_thresholds_)

    def __call__(self, scores: ArrayLike, features: ArrayLike) -> NDArray[np.float64]:
        """Probabilities [n] of pairs with scores [n] and query features [n, F] (or [F] of one query)."""
        query = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        return np.interp(np.asarray(scores, dtype=np.float64) + query @ self.offsets, self.x, self.y)

    def cosine(self, probability: float, features: ArrayLike) -> NDArray[np.float64]:
        """The least cosine that reaches a probability, query by query [Q]; infinity where none does."""
        query = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        reached = np.flatnonzero(self.y >= probability)
        if not len(reached):
            return np.full(query.shape[:-1], np.inf)
        at = int(reached[0])
        edge = self.x[at]
        if at and self.y[at] > self.y[at - 1]:
            part = (probability - self.y[at - 1]) / (self.y[at] - self.y[at - 1])
            edge = self.x[at - 1] + part * (self.x[at] - self.x[at - 1])
        elif not at:
            edge = -np.inf
        return np.asarray(edge - query @ self.offsets)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        arrays = {name: getattr(self, name).tolist() for name in ("offsets", "mean", "scale", "x", "y")}
        return {"grade": self.grade, **arrays}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Of what `to_json` gave."""
        arrays = [np.array(found[name], dtype=np.float64) for name in ("offsets", "mean", "scale", "x", "y")]
        return cls(int(found["grade"]), *arrays)
