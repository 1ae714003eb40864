"""Grade strata of scores: where the boundaries between grades lie for one encoder, and what they come to.

They are kept as `thresholds.json` in an index's folder, beside `current`:

    {"format": 1, "weights": "<fingerprint of the encoder the scores are from>", "pairs": 1234,
     "boundaries": [{"grade": 1, "threshold": ..., "how": ..., "precision": ..., "low": ..., "high": ..., "recall": ...,
                     "shown": ...}, {"grade": 2, ...}],
     "knots": [[score, share of grade 1 or more], ...],
     "curve": [[threshold, share of grade 1 or more at or above it, share of grade 2, share of the pairs shown], ...]}

A score is the cosine of query and item: the one figure that means the same for every query.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.atomic import read_json, write_json
from motherlode.errors import InputError
from motherlode.grading.isotonic import isotonic
from motherlode.thresholds.boundary import Boundary, cumulated, measured, middles, tuned
from motherlode.thresholds.conformal import learn_then_test

FILE = "thresholds.json"
FORMAT = 1
PRECISION = 0.8  # of what is shown as of a grade, the share that is to be of it
POINTS = 101  # thresholds of the curve


@dataclass(frozen=True)
class Strata:
    """The boundaries below grade 1 and grade 2, and the precision to be expected at a score and from it on.

    boundaries: grade -> Boundary, that of grade 2 never below that of grade 1; knots: (x, y) of the rising curve
    P(grade >= 1 | score), linear between knots and level beyond; curve: rows (threshold, share of grade >= 1, share of
    grade 2, share shown), thresholds rising; pairs: how many it was measured on; weights: fingerprint of the encoder,
    None where it holds for any.
    """

    boundaries: dict[int, Boundary]
    knots: tuple[tuple[float, float], ...]
    curve: tuple[tuple[float, float, float, float], ...]
    pairs: int
    weights: str | None = None

    def threshold(self, grade: int) -> float:
        """The least score that is shown as of this grade, 1 or 2; minus infinity for grade 0."""
        return self.boundaries[grade].threshold if grade else float("-inf")

    def grade(self, score: float) -> int:
        """The stratum of a score: 2, 1 or 0."""
        return next((grade for grade in (2, 1) if score >= self.boundaries[grade].threshold), 0)

    def expected_precision(self, score: float) -> float:
        """P(grade >= 1 | score): the share of items with such a score that are of grade 1 or 2."""
        after = bisect_right(self.knots, (score, float("inf")))
        if after in (0, len(self.knots)):
            return self.knots[max(after - 1, 0)][1]
        (x, y), (next_x, next_y) = self.knots[after - 1 : after + 1]
        return y + (next_y - y) * (score - x) / (next_x - x)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values, as described above."""
        return {
            "format": FORMAT,
            "weights": self.weights,
            "pairs": self.pairs,
            "boundaries": [self.boundaries[grade].to_json() for grade in (1, 2)],
            "knots": [list(knot) for knot in self.knots],
            "curve": [list(point) for point in self.curve],
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Of what `to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
        if found["format"] != FORMAT:
            raise ValueError("it was written by another motherlode")
        boundaries = {one.grade: one for one in map(Boundary.from_json, found["boundaries"])}
        knots = tuple((float(x), float(y)) for x, y in found["knots"])
        curve = tuple((float(t), float(one), float(two), float(share)) for t, one, two, share in found["curve"])
        numbers = [*knots, *curve, *((boundary.threshold,) for boundary in boundaries.values())]
        if set(boundaries) != {1, 2} or boundaries[1].threshold > boundaries[2].threshold:
            raise ValueError("it needs a boundary below grade 1, and one not below it for grade 2")
        if not knots or not np.isfinite(np.concatenate([np.array(row) for row in numbers])).all():
            raise ValueError("it needs knots, and finite numbers")
        if any(later[0] <= before[0] or later[1] < before[1] for before, later in pairwise(knots)):
            raise ValueError("its knots do not rise")
        weights = found["weights"]
        if weights is not None and not isinstance(weights, str):
            raise TypeError("weights must be a text")
        return cls(boundaries, knots, curve, int(found["pairs"]), weights)

    def save(self, folder: Path | str) -> Path:
        """Write `thresholds.json` into the folder of an index; its path."""
        path = Path(folder) / FILE
        write_json(path, self.to_json())
        return path

    @classmethod
    def load(cls, folder: Path | str) -> Self | None:
        """The strata of an index's folder, None where there are none. Raises InputError where the file is damaged."""
        path = Path(folder) / FILE
        try:
            return cls.from_json(read_json(path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} holds no thresholds ({error}): fit them again or remove the file.") from error


def fit_strata(
    scores: ArrayLike,
    grades: ArrayLike,
    queries: ArrayLike | None = None,
    *,
    precision: float = PRECISION,
    weights: str | None = None,
) -> Strata:
    """Boundaries, precision curve and calibration from validation pairs: cosines [n], grades [n] of 0, 1, 2.

    A boundary is the lowest score from which the share `precision` of what is shown is of the grade. With `queries`
    [n], the query number of each pair (pairs being what is shown for it), it is the one that `learn_then_test` can
    promise; where it can promise none, or without queries, the one `tuned` on the pairs; where none reaches the share,
    the middle of the training bands. `how` of each boundary says which. Raises InputError where scores and grades do
    not match or there are none.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(grades)
    if not len(values):
        raise InputError("There are no graded pairs to take thresholds from: give validation pairs.")
    first, second = (_boundary(grade, values, truth, queries, precision) for grade in (1, 2))
    if second.threshold < first.threshold:
        second = measured(2, first.threshold, "as grade 1", values, truth)
    x, y = isotonic(values, (truth >= 1).astype(np.float64))
    knots = tuple(zip(x.tolist(), y.tolist(), strict=True))
    return Strata({1: first, 2: second}, knots, _curve(values, truth), len(values), weights)


def _boundary(
    grade: int, scores: NDArray[np.float64], grades: NDArray[Any], queries: ArrayLike | None, precision: float
) -> Boundary:
    if queries is not None:
        found = learn_then_test(scores, grades, queries, grade=grade, share=precision)
        if found.threshold is not None:
            return measured(grade, found.threshold, f"{found.method} {precision:g}", scores, grades)
    try:
        return tuned(grade, precision, scores, grades)
    except InputError:
        if len(scores) != len(grades) or not np.isfinite(scores).all():
            raise
        return measured(grade, middles()[grade], "band middle", scores, grades)


def _curve(scores: NDArray[np.float64], grades: NDArray[Any]) -> tuple[tuple[float, float, float, float], ...]:
    """Up to `POINTS` thresholds, spread evenly over the pairs, and what is at or above each."""
    levels, relevant, shown = cumulated(scores, grades >= 1)
    _, best, _ = cumulated(scores, grades >= 2)
    wanted = np.unique(np.searchsorted(shown, np.linspace(1, len(scores), POINTS)))
    columns = (levels, relevant / shown, best / shown, shown / len(scores))
    rows = np.column_stack([column[wanted] for column in columns])[::-1].tolist()
    return tuple((threshold, one, two, share) for threshold, one, two, share in rows)
