"""The rule of the paper: which graded neighbours become hard negatives and which hard positives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import SettingError

TOP = 10


@dataclass(frozen=True)
class Rule:
    """What is kept of a query's neighbours; the caps are ours, the paper gives none.

    Attributes:
        top_10: whether grade 0 among the ten nearest is kept too: it helped, says the paper.
        grade_1: whether grade 1 is a hard positive: it helps narrow queries, says the paper.
        negatives: most hard negatives a query, the nearest kept; None: all.
        positives: most hard positives a query, the farthest kept; None: all.
    """

    top_10: bool = True
    grade_1: bool = True
    negatives: int | None = 10
    positives: int | None = 5

    def __post_init__(self) -> None:
        for name in ("negatives", "positives"):
            cap = getattr(self, name)
            if cap is not None and cap < 0:
                raise SettingError(f"{name} = {cap}: a cap is at least 0; leave it out for none.")


def select(grades: NDArray[np.int8], rule: Rule) -> NDArray[np.bool_]:
    """Which neighbours are kept: bool [Q, k].

    Hard negative: grade 0 and rank <= k/2. Hard positive: grade 1 or 2 and k/2 < rank <= k. Ranks count from 1: the
    neighbour in column r has rank r + 1. Source: Mine and Refine (arXiv 2602.17654) §4.4.

    Args:
        grades: int8 [Q, k]; -1 where a neighbour has no grade, or is not to be mined, and then is never kept.
        rule: switches and caps.
    """
    ranks = np.arange(1, grades.shape[1] + 1)
    near = 2 * ranks <= grades.shape[1]
    negative = (grades == 0) & near & (rule.top_10 | (ranks > TOP))
    positive = (grades >= (1 if rule.grade_1 else 2)) & ~near
    if rule.negatives is not None:
        negative &= np.cumsum(negative, axis=1) <= rule.negatives
    if rule.positives is not None:
        from_last = np.cumsum(positive[:, ::-1], axis=1)[:, ::-1]
        positive &= from_last <= rule.positives
    return negative | positive
