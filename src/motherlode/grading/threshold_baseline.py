"""What a grader must beat: the commonest grade, and the best thresholds on a blend of search scores."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

STEPS = 20  # weights of a blend are multiples of 1/20


def majority_baseline(grades_train: ArrayLike, count: int) -> NDArray[np.int8]:
    """The commonest grade of the training pairs, `count` times; int8 [count]."""
    return np.full(count, np.bincount(np.asarray(grades_train), minlength=3).argmax(), dtype=np.int8)


def threshold_baseline(scores_train: ArrayLike, grades_train: ArrayLike, scores_test: ArrayLike) -> NDArray[np.int8]:
    """Grades of test pairs by the blend and the two thresholds that are most accurate on the training pairs.

    scores [n] or [n, k] such as BM25 and cosine, finite; grades [n] of 0, 1, 2. Columns are divided by their
    standard deviation over the training pairs; weights lie on a grid of the simplex in steps of 1/20; for each
    blend `fit_thresholds` is exact. Returns int8 [m]. Raises ValueError where a score is not finite.
    """
    train, test = _columns(scores_train), _columns(scores_test)
    grades = np.asarray(grades_train)
    scale = train.std(axis=0)
    scale[scale == 0] = 1.0
    best = (-1.0, np.zeros(train.shape[1]), (np.inf, np.inf))
    for weights in _weights(train.shape[1]):
        low, high, accuracy = fit_thresholds((train / scale) @ weights, grades)
        if accuracy > best[0]:
            best = (accuracy, weights, (low, high))
    blended = (test / scale) @ best[1]
    return ((blended >= best[2][0]).astype(np.int8) + (blended >= best[2][1])).astype(np.int8)


def fit_thresholds(scores: NDArray[np.float64], grades: NDArray[np.integer]) -> tuple[float, float, float]:
    """The thresholds low <= high of greatest accuracy, and that accuracy.

    Grade = [score >= low] + [score >= high]. With scores sorted and n_g(i) the pairs of grade g among the first i,
    the hits of cuts i <= j are n_0(i) - n_1(i) + n_1(j) - n_2(j) + n_2(n): for each j the best i is a running
    maximum, so the search over all pairs of cuts is exact in O(n log n). Cuts fall between distinct scores.
    """
    order = np.argsort(scores, kind="stable")
    values, sorted_grades = scores[order], grades[order]
    below = np.zeros((3, len(values) + 1))
    for grade in range(3):
        below[grade, 1:] = np.cumsum(sorted_grades == grade)
    cuts = np.flatnonzero(np.concatenate([[True], values[1:] > values[:-1], [True]]))
    first, second = (below[a, cuts] - below[a + 1, cuts] for a in (0, 1))
    best_first = np.maximum.accumulate(first)
    at = int(np.argmax(best_first + second))
    earlier = int(np.argmax(first[: at + 1]))
    edges = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    hits = first[earlier] + second[at] + below[2, -1]
    return float(edges[cuts[earlier]]), float(edges[cuts[at]]), float(hits / len(values))


def _weights(columns: int) -> list[NDArray[np.float64]]:
    return [np.array(parts) / STEPS for parts in product(range(STEPS + 1), repeat=columns) if sum(parts) == STEPS]


def _columns(scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if not np.isfinite(values).all():
        raise ValueError("Scores must be finite: give pairs that a system did not score its least score.")
    return values
