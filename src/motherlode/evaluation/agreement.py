"""How far two gradings of the same pairs agree: accuracy, within one grade, F1, quadratic kappa, intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2_000
LEVEL = 0.95
MEASURES = ("accuracy", "within_1", "macro_f1", "quadratic_kappa")
_CHUNK_CELLS = 4_000_000  # resampled query counts held at once: 32 MB


def agreement(truth: ArrayLike, predicted: ArrayLike, classes: int = 3) -> dict[str, Any]:
    """Every figure of one grading against another, from grades [n] of 0..classes-1.

    A predicted -1 is "no answer": such a pair is counted in `unanswered` and left out of all figures. Keys:
    n pairs answered; accuracy = share with equal grades; within_1 = share at most one grade apart; macro_f1 =
    mean of 2 tp / (2 tp + fp + fn) over the grades that either side uses; quadratic_kappa = 1 - sum w C / sum w E
    with w_ij = (i - j)^2, C the confusion counts and E their expectation under independence (Cohen 1968);
    confusion int[classes][classes] with truth in rows; grades: for each one precision, recall, f1, truth and
    predicted counts. None stands where a figure has no meaning. Raises ValueError for lengths that differ or a
    grade out of range.
    """
    counts, unanswered = _confusion(truth, predicted, classes)
    of_rows, of_columns, hits = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    return {
        "n": int(counts.sum()),
        "unanswered": unanswered,
        **{name: _number(value) for name, value in _measures(counts).items()},
        "confusion": counts.tolist(),
        "grades": [
            {
                "grade": grade,
                "precision": _number(_ratio(hits[grade], of_columns[grade])),
                "recall": _number(_ratio(hits[grade], of_rows[grade])),
                "f1": _number(_ratio(2 * hits[grade], of_rows[grade] + of_columns[grade])),
                "truth": int(of_rows[grade]),
                "predicted": int(of_columns[grade]),
            }
            for grade in range(classes)
        ],
    }


def quadratic_kappa(first: ArrayLike, second: ArrayLike, classes: int = 3) -> float | None:
    """Quadratic weighted kappa of two gradings [n]; None where neither ever varies, or without a pair."""
    return _number(_measures(_confusion(first, second, classes)[0])["quadratic_kappa"])


def agreement_interval(
    truth: ArrayLike,
    predicted: ArrayLike,
    *,
    query_ids: ArrayLike | None = None,
    classes: int = 3,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Bootstrap intervals: {measure: {value, low, high}} for accuracy, within_1, macro_f1, quadratic_kappa.

    With query_ids [n], whole queries are drawn with replacement, because the pairs of one query share what makes
    them easy or hard (cluster bootstrap; Davison and Hinkley 1997, 3.8); without, single pairs are. low and high
    are the 2.5 and 97.5 percentiles, None with fewer than two clusters.
    """
    observed, drawn = _bootstrap(truth, [predicted], query_ids, classes, resamples, seed)
    return {name: _interval(observed[name][0], drawn[name][0]) for name in MEASURES}


def agreement_gain(
    truth: ArrayLike,
    predicted: ArrayLike,
    baseline: ArrayLike,
    *,
    query_ids: ArrayLike | None = None,
    classes: int = 3,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """By how much `predicted` agrees better than `baseline`, as `agreement_interval`; both share each draw."""
    observed, drawn = _bootstrap(truth, [predicted, baseline], query_ids, classes, resamples, seed)
    return {
        name: _interval(observed[name][0] - observed[name][1], drawn[name][0] - drawn[name][1]) for name in MEASURES
    }


def _bootstrap(
    truth: ArrayLike,
    gradings: list[ArrayLike],
    query_ids: ArrayLike | None,
    classes: int,
    resamples: int,
    seed: int,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Measures [G] as observed and [G, resamples] as drawn, from one confusion matrix a cluster and grading."""
    true, known = np.asarray(truth), [np.asarray(one) for one in gradings]
    for one in known:
        _check(true, one, classes)
    if resamples < 1:
        raise ValueError(f"resamples must be positive, not {resamples}.")
    names = np.arange(len(true)) if query_ids is None else np.asarray(query_ids)
    if len(names) != len(true):
        raise ValueError(f"There are {len(names)} query ids for {len(true)} pairs.")
    _, cluster = np.unique(names, return_inverse=True)
    n_clusters = int(cluster.max(initial=-1)) + 1
    cells = len(known) * classes * classes
    table = np.zeros((n_clusters, cells))
    for at, one in enumerate(known):
        answered = one >= 0
        cell = (at * classes + true[answered].astype(np.int64)) * classes + one[answered]
        np.add.at(table, (cluster[answered], cell), 1.0)
    shape = (-1, len(known), classes, classes)
    observed = _measures(table.sum(axis=0).reshape(shape)[0])
    if n_clusters < 2:
        return observed, {name: np.full((len(known), resamples), np.nan) for name in MEASURES}
    # clusters with one confusion matrix are one kind: drawing kinds is the same bootstrap, and far smaller
    kinds, sizes = np.unique(table, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_CELLS // len(kinds))
    drawn = [
        rng.multinomial(n_clusters, sizes / n_clusters, size=min(chunk, resamples - start)) @ kinds
        for start in range(0, resamples, chunk)
    ]
    measures = _measures(np.concatenate(drawn).reshape(shape))
    return observed, {name: measures[name].T for name in MEASURES}


def _confusion(truth: ArrayLike, predicted: ArrayLike, classes: int) -> tuple[NDArray[np.int64], int]:
    """Counts [classes, classes], truth in rows, and how many pairs have no answer."""
    true, other = np.asarray(truth), np.asarray(predicted)
    _check(true, other, classes)
    answered = other >= 0
    cells = true[answered].astype(np.int64) * classes + other[answered]
    counts = np.bincount(cells.astype(np.int64), minlength=classes * classes).reshape(classes, classes)
    return counts, int((~answered).sum())


def _check(truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> None:
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise ValueError(f"truth {list(truth.shape)} and predicted {list(predicted.shape)} must share one shape [n].")
    if not np.isin(truth, range(classes)).all():
        raise ValueError(f"truth must hold the grades 0 to {classes - 1}.")
    if not np.isin(predicted, range(-1, classes)).all():
        raise ValueError(f"predicted must hold the grades 0 to {classes - 1}, or -1 for no answer.")


def _measures(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """The four measures of confusion counts [..., C, C]: name -> float64 [...], NaN where they mean nothing."""
    counts = counts.astype(np.float64)
    classes = counts.shape[-1]
    apart = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes)))
    total = counts.sum(axis=(-2, -1))
    of_rows, of_columns = counts.sum(axis=-1), counts.sum(axis=-2)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    used = of_rows + of_columns
    f1 = np.divide(2 * hits, used, out=np.zeros_like(used), where=used > 0)
    expected = of_rows[..., :, None] * of_columns[..., None, :]
    return {
        "accuracy": _ratio(hits.sum(axis=-1), total),
        "within_1": _ratio((counts * (apart <= 1)).sum(axis=(-2, -1)), total),
        "macro_f1": _ratio(f1.sum(axis=-1), (used > 0).sum(axis=-1)),
        "quadratic_kappa": 1
        - _ratio((counts * apart**2).sum(axis=(-2, -1)) * total, (expected * apart**2).sum(axis=(-2, -1))),
    }


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _interval(value: np.float64, drawn: NDArray[np.float64]) -> dict[str, Any]:
    drawn = drawn[~np.isnan(drawn)]  # a resample in which a measure has no meaning says nothing
    tail = 100 * (1 - LEVEL) / 2
    low, high = (float(end) for end in np.percentile(drawn, [tail, 100 - tail])) if len(drawn) else (None, None)
    return {"value": _number(value), "low": low, "high": high}


def _number(value: ArrayLike) -> float | None:
    number = float(np.asarray(value))
    return None if np.isnan(number) else number
