"""A grader that looks in the ledger before it is asked."""

from collections.abc import Sequence

import numpy as np

from motherlode.grading.budget import Interrupted
from motherlode.grading.grader import Graded, Grader, Judge, Pair
from motherlode.grading.ledger import Ledger


class Remembered:
    """A grader inside another (a cascade): its own verdicts are kept too, and none is asked for or paid twice."""

    def __init__(self, grader: Grader, ledger: Ledger, source: str) -> None:
        self.grader, self.ledger, self.source = grader, ledger, source

    @property
    def judge(self) -> Judge:
        """The grader's own."""
        return self.grader.judge

    @property
    def block(self) -> int:
        """The grader's own."""
        return self.grader.block

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        """Verdicts on record as they are, at no cost; the others from the grader, recorded at once."""
        queries, items = [pair.query_id for pair in pairs], [pair.item_id for pair in pairs]
        found = self.ledger.lookup(self.judge, queries, items)
        rows = np.flatnonzero(~found.answered)
        probabilities, cost, reasons = found.probabilities.copy(), np.zeros(len(pairs)), list(found.reasons)
        if len(rows):
            stop = None
            try:
                fresh = self.grader.grade([pairs[row] for row in rows.tolist()])
            except Interrupted as error:
                if error.graded is None:
                    raise
                fresh, stop = error.graded, error
            asked = ([queries[row] for row in rows], [items[row] for row in rows])
            self.ledger.record(self.judge, *asked, fresh, source=self.source)
            probabilities[rows], cost[rows] = fresh.probabilities, fresh.cost
            for row, reason in zip(rows, fresh.reasons, strict=True):
                reasons[row] = reason
            if stop is not None:
                stop.graded = Graded(probabilities, cost, reasons)  # now of the whole block
                raise stop
        return Graded(probabilities, cost, reasons)
