"""What the ledger holds: verdicts and cost by judge, agreement between judges, drift between versions of one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.evaluation.agreement import agreement
from motherlode.grading.grader import Judge
from motherlode.grading.ledger import Ledger
from motherlode.grading.ledger_file import connect, explained

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Counts:
    """The verdicts of one judge: how many, of each grade, at what cost, when, and how many were taken back."""

    judge: Judge
    verdicts: int
    grades: tuple[int, int, int]
    mean_grade: float  # of p1 + 2 p2
    cost: float
    withdrawn: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Comparison:
    """Two judges on the pairs that both have graded.

    Attributes:
        first, second: the judges, in the order in which they came.
        shared: pairs both have graded.
        changed: share of these with another grade from the second.
        within_1: share with grades at most one apart.
        quadratic_kappa: see `evaluation.agreement`; None where neither varies.
        mean_shift: mean of (p1 + 2 p2) of the second minus that of the first.
        confusion: counts, the first judge's grades in rows.
    """

    first: Judge
    second: Judge
    shared: int
    changed: float
    within_1: float
    quadratic_kappa: float | None
    mean_shift: float
    confusion: list[list[int]]


@dataclass(frozen=True)
class LedgerReport:
    """The whole: `agreement` compares different graders, `drift` the versions of one grader (or of its rubric)."""

    path: str
    size: int  # bytes
    judges: list[Counts]
    agreement: list[Comparison]
    drift: list[Comparison]

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON-able values, times in ISO 8601."""
        facts = asdict(self)
        for one in facts["judges"]:
            one.update(first=one["first"].isoformat(), last=one["last"].isoformat())
        return facts

    def print(self, console: Console) -> None:
        """Three tables; the last two only where there is something in them."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=f"{escape(self.path)}: {self.size / 2**20:,.1f} MiB", title_justify="left")
        for name in ("judge", "rubric", "verdicts", "grade 0", "1", "2", "mean", "cost", "taken back", "last"):
            table.add_column(name, justify="left" if name in ("judge", "rubric") else "right", overflow="fold")
        for one in self.judges:
            cells = [
                escape(str(one.judge)),
                escape(one.judge.rubric),
                f"{one.verdicts:,}",
                *(f"{count:,}" for count in one.grades),
            ]
            cells += [f"{one.mean_grade:.3f}", f"{one.cost:,.4f}", f"{one.withdrawn:,}", f"{one.last:%Y-%m-%d %H:%M}"]
            table.add_row(*cells)
        console.print(table)
        for title, compared in (("agreement between judges", self.agreement), ("drift", self.drift)):
            if compared:
                console.print(_table(title, compared))


def report(ledger: Ledger) -> LedgerReport:
    """Read the whole ledger once for the counts, and once for each two judges, in flat memory."""
    # a connection of its own: a long reading holds up no thread that records
    with explained(ledger.path), closing(connect(ledger.path)) as connection:
        connection.execute("BEGIN")  # one state of the ledger for all figures
        judges = _counts(connection)
        compared = []
        for (first, counts), (second, others) in combinations(judges.items(), 2):
            found = _compare(connection, (first, counts), (second, others))
            if found:
                compared.append(found)
        connection.execute("COMMIT")
    return LedgerReport(
        path=str(ledger.path),
        size=ledger.path.stat().st_size,
        judges=list(judges.values()),
        agreement=[one for one in compared if one.first.name != one.second.name],
        drift=[one for one in compared if one.first.name == one.second.name],
    )


def _counts(connection: sqlite3.Connection) -> dict[int, Counts]:
    """By the judge's number; judges without a verdict on record are left out."""
    rows = connection.execute(
        """
        SELECT j.number, j.name, j.version, j.rubric, count(*), sum(grade = 0), sum(grade = 1), sum(grade = 2),
            avg(p1 + 2 * p2), sum(cost), (SELECT count(*) FROM withdrawn w WHERE w.judge = j.number),
            min(time), max(time)
        FROM judges j CROSS JOIN verdicts v ON v.judge = j.number GROUP BY j.number ORDER BY j.number
        """
    )
    return {
        number: Counts(Judge(*judge), count, (zero, one, two), mean, cost, withdrawn, _time(first), _time(last))
        for number, *judge, count, zero, one, two, mean, cost, withdrawn, first, last in rows
    }


def _compare(
    connection: sqlite3.Connection, first: tuple[int, Counts], second: tuple[int, Counts]
) -> Comparison | None:
    """None where no pair is shared."""
    turned = second[1].verdicts < first[1].verdicts  # look up from the shorter list in the longer
    few, many = (second, first) if turned else (first, second)
    rows = connection.execute(
        """
        SELECT a.grade, b.grade, count(*), sum(b.p1 + 2 * b.p2 - a.p1 - 2 * a.p2)
        FROM verdicts a CROSS JOIN verdicts b
        ON b.judge = ? AND b.query_id = a.query_id AND b.item_id = a.item_id
        WHERE a.judge = ? GROUP BY a.grade, b.grade
        """,
        (many[0], few[0]),
    ).fetchall()
    if not rows:
        return None
    of_few, of_many, count, shift = (np.array(column) for column in zip(*rows, strict=True))
    grades = np.repeat(of_few, count), np.repeat(of_many, count)
    measured = agreement(*(reversed(grades) if turned else grades))
    return Comparison(
        first=first[1].judge,
        second=second[1].judge,
        shared=int(count.sum()),
        changed=1 - measured["accuracy"],
        within_1=measured["within_1"],
        quadratic_kappa=measured["quadratic_kappa"],
        mean_shift=float(shift.sum() / count.sum()) * (-1 if turned else 1),
        confusion=measured["confusion"],
    )


def _table(title: str, compared: list[Comparison]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("first", "second", "shared", "changed", "within 1", "quadratic kappa", "mean shift"):
        table.add_column(name, justify="left" if name in ("first", "second") else "right", overflow="fold")
    for one in compared:
        kappa = "-" if one.quadratic_kappa is None else f"{one.quadratic_kappa:.3f}"
        names = (escape(f"{judge} ({judge.rubric})") for judge in (one.first, one.second))
        shares = f"{one.changed:.1%}", f"{one.within_1:.1%}"
        table.add_row(*names, f"{one.shared:,}", *shares, kappa, f"{one.mean_shift:+.3f}")
    return table


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
