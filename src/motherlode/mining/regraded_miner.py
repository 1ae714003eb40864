"""Our own mining seen as a miner of negatives, so that it stands on the rivals' leaderboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from motherlode.evaluation.judged import Judged
from motherlode.mining.miner import Mined, keep, pool
from motherlode.mining.selection import Rule, select

Grades = Callable[
    [NDArray[np.int64], NDArray[np.int64]], NDArray[np.int8]
]  # of pairs (query rows, item rows); -1 unknown


@dataclass(frozen=True)
class RegradedMiner:
    """The nearest items that a grader gives grade 0, in the nearer half of the k (`selection.select`).

    Pairs that are known to have grade 0 cost no verdict. The facts tell the verdicts bought. A training round is
    `round.mine_round`, which finds the hard positives too, keeps a ledger and can be resumed.

    Attributes:
        grade: the grader's verdicts.
        k: neighbours to have graded.
        rule: of which the negatives' part counts.
    """

    grade: Grades
    k: int = 100
    rule: Rule = field(default_factory=lambda: Rule(negatives=None))
    name: str = "re-graded"

    def mine(self, queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, n: int) -> Mined:
        """See `Miner.mine`."""
        near = pool(queries, items, known, self.k)
        grades = known.grades_of(near.rows)
        query, column = np.nonzero((near.rows >= 0) & (grades < 0))
        grades[query, column] = self.grade(query, near.rows[query, column])
        found = keep(near, select(grades, self.rule) & (grades == 0), n)
        return Mined(found.rows, found.scores, {"verdicts": float(len(query))})
