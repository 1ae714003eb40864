"""Thresholds between grades: the middles of the training bands, or tuned for a precision on validation pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import InputError, SettingError
from motherlode.evaluation.separation import BANDS

Z = 1.959963984540054  # of a two-sided 95 % interval


@dataclass(frozen=True)
class Boundary:
    """Shown where score >= threshold, as being of this grade at least.

    precision: share of the shown validation pairs that are, with a 95 % interval low..high; recall: share of
    those pairs that are shown; shown: how many. None where nothing was measured or shown.
    """

    grade: int
    threshold: float
    how: str
    precision: float | None = None
    low: float | None = None
    high: float | None = None
    recall: float | None = None
    shown: int = 0

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Of what `to_json` gave."""
        return cls(**found)


def middles() -> dict[int, float]:
    """Middle of the gap below each grade's band: {1: 0.325, 2: 0.675} for the bands of the multi-level circle loss."""
    found = {}
    for grade in (1, 2):
        least, most = BANDS[grade][0], BANDS[grade - 1][1]
        assert least is not None and most is not None
        found[grade] = (least + most) / 2
    return found


def measured(grade: int, threshold: float, how: str, scores: ArrayLike, grades: ArrayLike) -> Boundary:
    """A threshold with its precision and recall on pairs scores[n], grades[n]."""
    values, good = _checked(scores, grades, grade)
    shown = values >= threshold
    hits, count, wanted = int((shown & good).sum()), int(shown.sum()), int(good.sum())
    low, high = wilson(hits, count)
    precision = hits / count if count else None
    return Boundary(grade, float(threshold), how, precision, low, high, hits / wanted if wanted else None, count)


def tuned(grade: int, target: float, scores: ArrayLike, grades: ArrayLike) -> Boundary:
    """The lowest threshold among the scores from which the precision on these pairs is at least the target.

    Nothing is promised beyond these pairs (the threshold is chosen where the figure happens to be high:
    `conformal` promises something). Raises SettingError for a target outside 0..1, InputError where no threshold
    reaches it.
    """
    if not 0 < target < 1:
        raise SettingError(f"A precision of {target} cannot be asked for: choose one between 0 and 1.")
    values, good = _checked(scores, grades, grade)
    levels, hits, shown = cumulated(values, good)
    reached = np.flatnonzero(hits >= target * shown)
    if not len(reached):
        raise InputError(
            f"No threshold shows pairs of which {target:.0%} are of grade {grade} or more: lower the target, or give "
            f"more than these {len(values)} pairs."
        )
    return measured(grade, float(levels[reached[-1]]), f"precision {target:g}", values, grades)


def cumulated(
    values: NDArray[np.float64], good: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Distinct scores, falling; the good pairs and all pairs at or above each."""
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True)) if len(order) else order
    return values[order][ends], np.cumsum(good[order], dtype=np.int64)[ends], ends + 1


def wilson(hits: int, count: int) -> tuple[float | None, float | None]:
    """95 % interval of a share: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). Wilson 1927; None of none."""
    if not count:
        return None, None
    share, spread = hits / count, Z**2 / count
    middle, half = share + spread / 2, Z * ((share * (1 - share) + spread / 4) / count) ** 0.5
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def _checked(scores: ArrayLike, grades: ArrayLike, grade: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(grades)
    if grade not in (1, 2):
        raise SettingError(f"There is no boundary below grade {grade}: choose 1 or 2.")
    if values.shape != truth.shape or values.ndim != 1 or not np.isfinite(values).all():
        raise InputError("A threshold needs one finite score and one grade a pair.")
    return values, truth >= grade
