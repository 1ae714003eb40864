"""Several judges with a vote."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import fingerprint
from motherlode.errors import SettingError
from motherlode.grading.budget import BudgetSpent
from motherlode.grading.grader import Graded, Grader, Judge, Pair, decide

if TYPE_CHECKING:
    from motherlode.grading.ledger import Ledger

Rule = Literal["mean", "majority"]


class VoteGrader:
    """A grader whose verdict is that of several, by the mean of their probabilities or by majority.

    With a ledger every judge's own verdict is recorded there, and one that is there is not asked for again, so that
    a vote can be taken anew, by another rule, for nothing. Without, each one's grade and reason stand in the reason.
    """

    def __init__(
        self,
        graders: Sequence[Grader],
        rule: Rule = "mean",
        *,
        least: int | None = None,
        ledger: Ledger | None = None,
        source: str = "vote",
    ) -> None:
        """`least` judges must answer for a verdict; default: more than half of them.

        Raises SettingError for fewer than two judges, one that votes twice, rubrics that differ, or a `least` that
        cannot be.
        """
        judges = [grader.judge for grader in graders]
        if len(judges) < 2:
            raise SettingError("A vote needs two judges or more: name another one.")
        if len(set(judges)) < len(judges):
            raise SettingError("A judge is named twice in one vote: leave one out.")
        if len({judge.rubric for judge in judges}) > 1:
            raise SettingError("The judges of a vote go by different rubrics: give them all the same one.")
        self.least = len(judges) // 2 + 1 if least is None else least
        if not 1 <= self.least <= len(judges):
            raise SettingError(f"A vote of {len(judges)} judges cannot need {least}: give 1 to {len(judges)}.")
        self.graders, self.rule, self.ledger, self.source = list(graders), rule, ledger, source
        names = " + ".join(judge.name for judge in judges)
        version = fingerprint(sorted((judge.name, judge.version) for judge in judges), rule, self.least)
        self._judge = Judge(f"{rule} of {names}", version, judges[0].rubric)

    @property
    def judge(self) -> Judge:
        """Its version covers those of all its judges, the rule and how many must answer."""
        return self._judge

    @property
    def block(self) -> int:
        """The largest of its judges' blocks."""
        return max(grader.block for grader in self.graders)

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        """The vote on each pair; NaN where too few answered.

        Raises BudgetSpent when a judge's budget ends; then no pair has a verdict on which that judge is missing.
        """
        ballots: list[Graded] = []
        missing = np.zeros(len(pairs), dtype=bool)
        spent: BudgetSpent | None = None
        for grader in self.graders:
            try:
                ballot = self._ballot(grader, pairs)
            except BudgetSpent as error:
                spent, ballot = error, error.graded
                missing |= ~ballot.answered
            ballots.append(ballot)
        voted = combine(ballots, [grader.judge.name for grader in self.graders], self.rule, self.least)
        if spent is None:
            return voted
        probabilities = np.where(missing[:, None], np.nan, voted.probabilities)
        raise BudgetSpent(str(spent), Graded(probabilities, voted.cost, voted.reasons))

    def _ballot(self, grader: Grader, pairs: Sequence[Pair]) -> Graded:
        """One judge's answers: those on record, and new ones for the rest."""
        if self.ledger is None or not pairs:
            return grader.grade(pairs)
        queries, items = [pair.query_id for pair in pairs], [pair.item_id for pair in pairs]
        before = self.ledger.lookup(grader.judge, queries, items)
        rows = np.flatnonzero(~before.answered).tolist()
        before = Graded(before.probabilities, np.zeros(len(pairs)), list(before.reasons))  # paid for before
        if not rows:
            return before
        error: Exception | None = None
        try:
            new = grader.grade([pairs[row] for row in rows])
        except Exception as raised:
            graded = getattr(raised, "graded", None)
            if not isinstance(graded, Graded):
                raise
            error, new = raised, graded
        self.ledger.record(
            grader.judge, [queries[row] for row in rows], [items[row] for row in rows], new, source=self.source
        )
        both = _filled(before, rows, new)
        if isinstance(error, BudgetSpent):
            raise BudgetSpent(str(error), both) from None
        if error is not None:
            raise error
        return both


def combine(ballots: Sequence[Graded], names: Sequence[str], rule: Rule, least: int) -> Graded:
    """The vote of k judges on n pairs.

    mean: p = the mean of the answered judges' probabilities. majority: p = the share of them that decided for each
    grade; of equal shares the lower grade has it (`decide`). NaN where fewer than `least` answered. Costs add up;
    the reason says how each one voted, and why.
    """
    stacked = np.stack([ballot.probabilities for ballot in ballots])
    answered = np.stack([ballot.answered for ballot in ballots])
    votes = np.stack([decide(ballot.probabilities) for ballot in ballots])
    if rule == "majority":
        stacked = np.eye(3)[votes]  # the row of a -1 is not looked at
    counted = answered.sum(axis=0)
    total = np.where(answered[:, :, None], stacked, 0.0).sum(axis=0)
    probabilities = np.where(counted[:, None] >= least, total / np.maximum(counted, 1)[:, None], np.nan)
    reasons = [
        " | ".join(
            f"{name}: {vote}" + (f" ({ballot.reasons[row]})" if ballot.reasons[row] else "")
            for name, vote, ballot in zip(names, votes[:, row].tolist(), ballots, strict=True)
            if vote >= 0
        )
        or None
        for row in range(votes.shape[1])
    ]
    return Graded(probabilities, np.sum([ballot.cost for ballot in ballots], axis=0), reasons)


def disagreement(ballots: Sequence[Graded]) -> NDArray[np.float64]:
    """How far apart the judges are on each pair: mean of |grade_a - grade_b| over the pairs of judges that answered.

    float64[n]: 0 where they are unanimous, 2 where two hold 0 and 2; NaN where fewer than two answered.
    """
    votes = np.stack([decide(ballot.probabilities) for ballot in ballots]).astype(np.float64)
    votes[votes < 0] = np.nan
    apart = np.stack([np.abs(first - second) for first, second in combinations(votes, 2)])
    known = ~np.isnan(apart)
    total, count = np.where(known, apart, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _filled(old: Graded, rows: list[int], new: Graded) -> Graded:
    """`old` with these rows from `new`."""
    probabilities, cost, reasons = old.probabilities.copy(), old.cost.copy(), list(old.reasons)
    probabilities[rows], cost[rows] = new.probabilities, new.cost
    for row, reason in zip(rows, new.reasons, strict=True):
        reasons[row] = reason
    return Graded(probabilities, cost, reasons)
