"""Grading many pairs: what the ledger knows is skipped, every block is recorded, a kill costs one block."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.grading.budget import BudgetSpent, Interrupted
from motherlode.grading.claims import Claims
from motherlode.grading.grader import Grader, Judge
from motherlode.grading.ledger import Ids, Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.progress import Advance, bar

if TYPE_CHECKING:
    import polars as pl

LOOK_UP = 65_536  # pairs asked of the ledger at once
EXAMPLES = 5  # unanswered pairs named in the report
POLL = 0.5  # seconds between looks at what another process is grading


@dataclass(frozen=True)
class GradeReport:
    """What a job did.

    asked = repeated + known + graded + elsewhere + unanswered + left.

    Attributes:
        judge: whose verdicts these are.
        asked: pairs handed in.
        repeated: of those, the second and later times of a pair.
        known: verdicts that were there at the start.
        graded: verdicts that this job added.
        elsewhere: verdicts that another process added meanwhile.
        unanswered: pairs for which the grader had no answer, twice; they are not in the ledger.
        cost: money spent, on unanswered pairs too.
        seconds: wall-clock time.
        stopped: why the job ended before its end; None where it did not.
        examples: the first few unanswered pairs (query_id, item_id).
    """

    judge: Judge
    asked: int
    repeated: int
    known: int
    graded: int
    elsewhere: int
    unanswered: int
    cost: float
    seconds: float
    stopped: str | None = None
    examples: tuple[tuple[str, str], ...] = ()

    @property
    def left(self) -> int:
        """Pairs not reached before the job was stopped."""
        return self.asked - self.repeated - self.known - self.graded - self.elsewhere - self.unanswered

    def __str__(self) -> str:
        parts = [f"{self.judge}: {self.graded:,} pairs graded in {self.seconds:,.0f} s", f"{self.known:,} known before"]
        counts = {"repeated": self.repeated, "graded elsewhere": self.elsewhere, "without an answer": self.unanswered}
        parts += [f"{count:,} {what}" for what, count in counts.items() if count]
        parts += [f"cost {self.cost:,.4f}"] if self.cost else []
        parts += [f"stopped with {self.left:,} left: {self.stopped}"] if self.stopped else []
        return ", ".join(parts)


def grade(
    query_ids: Ids, item_ids: Ids, texts: PairTexts, grader: Grader, ledger: Ledger, *, source: str = ""
) -> GradeReport:
    """Grade every pair on which the ledger holds no verdict of this grader yet.

    Blocks of `grader.block` pairs are claimed, graded and recorded one after the other, so memory holds the ids and
    one block of texts, several processes may work on one job, and a killed one goes on when run again. A pair
    without an answer is asked once more at the end, and never stored. A BudgetSpent ends the job with what was
    answered on record; any other error of the grader ends it too and is passed on, what was answered being kept.
    Raises InputError for an id that the tables do not have, before anything is graded.
    """
    began = time.monotonic()
    judge = grader.judge
    frame = _distinct(query_ids, item_ids)
    known = _known(frame, judge, ledger)
    rows = np.flatnonzero(~known)
    texts.require(frame["query_id"][rows], frame["item_id"][rows])
    with (
        bar(f"grading with {judge}", len(frame), "pairs", start=len(frame) - len(rows)) as advance,
        Claims(ledger, judge) as claims,
    ):
        job = _Job(frame, texts, grader, judge, ledger, source, claims, advance)
        job.work(rows)
        again, job.unanswered = job.unanswered, []
        job.work(_joined(again))
        while job.held and job.stopped is None:
            time.sleep(POLL)
            held, job.held = job.held, []
            job.work(_joined(held))
    unanswered = _joined(job.unanswered)
    examples = frame[unanswered[:EXAMPLES]].rows()
    return GradeReport(
        judge=judge,
        asked=len(query_ids),
        repeated=len(query_ids) - len(frame),
        known=int(known.sum()),
        graded=job.graded,
        elsewhere=job.elsewhere,
        unanswered=len(unanswered),
        cost=job.cost,
        seconds=time.monotonic() - began,
        stopped=job.stopped,
        examples=tuple((query, item) for query, item in examples),
    )


@dataclass
class _Job:
    """A job under way; rows are those of `frame`, the distinct pairs."""

    frame: pl.DataFrame
    texts: PairTexts
    grader: Grader
    judge: Judge
    ledger: Ledger
    source: str
    claims: Claims
    advance: Advance
    graded: int = 0
    elsewhere: int = 0
    cost: float = 0.0
    stopped: str | None = None
    unanswered: list[NDArray[np.int64]] = field(default_factory=list)
    held: list[NDArray[np.int64]] = field(default_factory=list)  # by another process

    def work(self, rows: NDArray[np.int64]) -> None:
        """Grade these rows, block by block, until they end or the budget does."""
        for start in range(0, len(rows), self.grader.block):
            if self.stopped is not None:
                return
            self._block(rows[start : start + self.grader.block])

    def _block(self, rows: NDArray[np.int64]) -> None:
        rows = self._claimed(rows)
        if not len(rows):
            return
        queries, items = self._ids(rows)
        pairs = self.texts.pairs(queries, items)
        try:
            graded = self.grader.grade(pairs)
        except BudgetSpent as spent:
            graded, self.stopped = spent.graded, str(spent)
        except Interrupted as error:
            if error.graded is not None:  # answers already paid for
                self.ledger.record(self.judge, queries, items, error.graded, source=self.source)
            raise
        new = self.ledger.record(self.judge, queries, items, graded, source=self.source)
        answered = graded.answered
        self.graded += new
        self.elsewhere += int(answered.sum()) - new
        self.cost += float(graded.cost.sum())
        if self.stopped is None and not answered.all():
            self.unanswered.append(rows[~answered])
        self._show(int(answered.sum()))

    def _claimed(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that are this process's to grade; of the rest, what has a verdict by now is counted."""
        mine = self.claims.take(*self._ids(rows))
        others = rows[~mine]
        if len(others):
            known = self.ledger.known(self.judge, *self._ids(others))
            self.elsewhere += int(known.sum())
            if not known.all():
                self.held.append(others[~known])
            self._show(int(known.sum()))
        return rows[mine]

    def _ids(self, rows: NDArray[np.int64]) -> tuple[pl.Series, pl.Series]:
        return self.frame["query_id"][rows], self.frame["item_id"][rows]

    def _show(self, amount: int) -> None:
        facts = {"cost": f"{self.cost:,.2f}"} if self.cost else {}
        if self.unanswered:
            facts["unanswered"] = f"{sum(map(len, self.unanswered)):,}"
        self.advance(amount, **facts)


def _distinct(query_ids: Ids, item_ids: Ids) -> pl.DataFrame:
    """The pairs in their order, each once."""
    import polars as pl

    columns = {}
    for name, ids in (("query_id", query_ids), ("item_id", item_ids)):
        try:
            columns[name] = pl.Series(name, ids, dtype=pl.String, strict=True)
        except (TypeError, pl.exceptions.PolarsError) as error:
            raise InputError(f"The column {name} of the pairs holds no texts: cast it to strings.") from error
        if columns[name].null_count():
            row = int(columns[name].is_null().arg_max() or 0)
            raise InputError(f"Pair {row} has no {name}: fill it in, or leave the pair out.")
    if len(columns["query_id"]) != len(columns["item_id"]):
        raise ValueError(f"There are {len(query_ids)} query ids and {len(item_ids)} item ids: give one of each a pair.")
    return pl.DataFrame(columns).unique(maintain_order=True)


def _known(frame: pl.DataFrame, judge: Judge, ledger: Ledger) -> NDArray[np.bool_]:
    parts = [ledger.known(judge, part["query_id"], part["item_id"]) for part in frame.iter_slices(LOOK_UP)]
    return np.concatenate([np.zeros(0, dtype=bool), *parts])


def _joined(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *rows])
