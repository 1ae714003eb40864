"""Confident learning: labels that a model, not trained on them, confidently takes for others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.tables.split import folds

NEVER = 2.0  # a threshold that no probability reaches
EQUAL = 1e-6  # probabilities this close to a threshold reach it, whatever the rounding
Predict = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Confident:
    """What confident learning finds in n labels.

    Attributes:
        joint: int64 [3, 3], counts of (given label, confidently true grade).
        thresholds: what a probability must reach to be confident; float64 [3] of P(grade), or [2, 2] of
            P(grade >= 1), P(grade >= 2) in the first row and P(grade < 1), P(grade < 2) in the second.
        true: the grade a model is confident of, int8 [n], -1 where it is of none.
        doubt: float64 [n], greater where the label is more doubtful.
    """

    joint: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    true: NDArray[np.int8]
    doubt: NDArray[np.float64]


def confident(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> Confident:
    """Plain confident learning from out-of-sample probabilities [n, 3] and labels int [n].

    t_j = mean P(j) over the pairs labelled j. A pair is confidently j where P(j) >= t_j, the most probable such j;
    the joint counts labels against these. Doubt = 1 - P(label) (self-confidence). Source: Northcutt, Jiang and
    Chuang, Confident Learning, JAIR 2021, Eqs. 1-2.
    """
    thresholds = np.array([_mean(probabilities[labels == grade, grade]) for grade in range(3)])
    sure = probabilities >= thresholds - EQUAL
    true = np.where(sure.any(axis=1), np.argmax(np.where(sure, probabilities, -1.0), axis=1), -1).astype(np.int8)
    doubt = 1.0 - probabilities[np.arange(len(labels)), labels]
    return Confident(_joint(labels, true), thresholds, true, doubt)


def ordinal_confident(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> Confident:
    """Confident learning on the two questions that order the grades: at least 1? at least 2?

    For each cut c in 1, 2: u_c = mean P(>= c) over the pairs labelled >= c, and d_c = mean P(< c) over those labelled
    below. A label moves up over a cut where P(>= c) >= u_c, down where P(< c) >= d_c, cut after cut until one does
    not yield. A probability split between 1 and 2 thus speaks against a label 0, though neither grade is sure. Doubt =
    expected distance from the label, sum_j P(j) |j - label|. Ours, after Northcutt et al. 2021 and the cumulative
    reduction of Frank and Hall 2001.
    """
    reach = np.stack([probabilities[:, 1:].sum(axis=1), probabilities[:, 2]], axis=1)  # P(>= 1), P(>= 2)
    cuts = np.array([1, 2])
    above = labels[:, None] >= cuts
    up = np.array([_mean(reach[above[:, cut], cut]) for cut in range(2)])
    down = np.array([_mean(1.0 - reach[~above[:, cut], cut]) for cut in range(2)])
    rises, falls = reach >= up - EQUAL, 1.0 - reach >= down - EQUAL
    likely = reach >= 0.5  # decides where low thresholds make both sides sure
    rises, falls = rises & (likely | ~falls), falls & (~likely | ~rises)
    # below its label no cut bars the way up, above it none bars the way down
    highest = np.cumprod(above | rises, axis=1).sum(axis=1)
    lowest = 2 - np.cumprod((~above | falls)[:, ::-1], axis=1).sum(axis=1)
    moved_up, moved_down = highest > labels, lowest < labels
    # only a label 1 can be drawn both ways: the more probable side has it
    upward = moved_up & (~moved_down | (probabilities[:, 2] >= probabilities[:, 0]))
    held = np.where(above, rises, falls).all(axis=1)  # sure of the label itself, on both sides of every cut
    true = np.where(upward, highest, np.where(moved_down, lowest, np.where(held, labels, -1))).astype(np.int8)
    doubt = (probabilities * np.abs(np.arange(3) - labels[:, None])).sum(axis=1)
    return Confident(_joint(labels, true), np.stack([up, down]), true, doubt)


def out_of_fold(
    query_ids: Sequence[str] | pl.Series, predict: Predict, k: int = 5, seed: int = 0
) -> NDArray[np.float64]:
    """Probabilities float64 [n, 3] of pairs by models that never saw a pair of the same query.

    `predict(train_rows, rows)` fits on the first rows and returns probabilities [len(rows), 3] of the second. Folds
    are by a hash of the query's id. Raises SettingError for k < 2.
    """
    fold = folds(query_ids, k, seed)
    found = np.full((len(fold), 3), np.nan)
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        found[rows] = predict(np.flatnonzero(fold != number), rows)
    return found


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else NEVER


def _joint(labels: NDArray[np.integer], true: NDArray[np.int8]) -> NDArray[np.int64]:
    joint = np.zeros((3, 3), dtype=np.int64)
    np.add.at(joint, (labels[true >= 0], true[true >= 0]), 1)
    return joint
