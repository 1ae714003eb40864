"""The ledger: every verdict on record, each pair judged once, ever, by one version of a judge."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.grading.grader import Graded, Judge, decide
from motherlode.grading.ledger_file import connect, explained

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

Ids = Sequence[str] | NDArray[Any] | Any  # also a polars Series or an arrow array of strings

# CROSS JOIN keeps the order of the tables: a look-up in `verdicts` for every wanted pair, never a scan of it
FIND = """
FROM temp.wanted w CROSS JOIN verdicts v
ON v.judge = ? AND v.query_id = w.query_id AND v.item_id = w.item_id
"""


class Ledger:
    """Verdicts in one SQLite file, keyed by (query, item, grader, version, rubric).

    Made where there is none. Several processes may write, and several threads may share one Ledger; a child made
    by fork opens its own. Not for network file systems, on which SQLite's write-ahead log does not work.
    Raises InputError where the file is not a ledger, is damaged, or stays locked.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.connection = connect(self.path)
        self._lock = RLock()
        self._numbers: dict[Judge, int] = {}

    def record(self, judge: Judge, query_ids: Ids, item_ids: Ids, graded: Graded, *, source: str = "") -> int:
        """Keep the answers, in one transaction; the number of new verdicts.

        A pair this judge has answered before keeps its first verdict; a row of NaN is no answer and is not stored.
        Raises ValueError where probabilities are outside [0, 1] or do not sum to 1 (within 0.001).
        """
        queries, items = _columns(query_ids, item_ids)
        probabilities = np.asarray(graded.probabilities, dtype=np.float64)
        if probabilities.shape != (len(queries), 3):
            raise ValueError(f"There are {len(queries)} pairs, but answers of shape {probabilities.shape}.")
        answered = graded.answered
        told = probabilities[answered]
        if len(told) and (told.min() < 0 or told.max() > 1 or np.abs(told.sum(axis=1) - 1).max() > 1e-3):
            raise ValueError(f"{judge} gave probabilities that are not: they must lie in [0, 1] and sum to 1.")
        rows = np.flatnonzero(answered).tolist()
        if not rows:
            return 0
        now = _now()
        with self.writing() as connection:
            number = self.number(judge)
            origin = self._origin(number, source)
            columns = zip(rows, told.tolist(), decide(told).tolist(), graded.cost[answered].tolist(), strict=True)
            cursor = connection.executemany(
                "INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (number, queries[row], items[row], *p, grade, cost, now, origin, graded.reasons[row])
                    for row, p, grade, cost in columns
                ),
            )
            return int(cursor.rowcount)

    def known(self, judge: Judge, query_ids: Ids, item_ids: Ids) -> NDArray[np.bool_]:
        """Which of these pairs this judge has answered; bool [n]."""
        known = np.zeros(len(query_ids), dtype=bool)
        with self.wanted(query_ids, item_ids) as connection:
            rows = connection.execute(f"SELECT w.at {FIND}", (self._number_of(judge),)).fetchall()
        known[[row for (row,) in rows]] = True
        return known

    def lookup(self, judge: Judge, query_ids: Ids, item_ids: Ids) -> Graded:
        """This judge's answers to these pairs, a row of NaN where there is none."""
        count = len(query_ids)
        probabilities, cost = np.full((count, 3), np.nan), np.zeros(count)
        reasons: list[str | None] = [None] * count
        with self.wanted(query_ids, item_ids) as connection:
            found = connection.execute(
                f"SELECT w.at, v.p0, v.p1, v.p2, v.cost, v.reason {FIND}", (self._number_of(judge),)
            ).fetchall()
        if found:
            at, p0, p1, p2, paid, why = zip(*found, strict=True)
            rows = np.array(at)
            probabilities[rows] = np.stack([p0, p1, p2], axis=1)
            cost[rows] = paid
            for row, reason in zip(at, why, strict=True):
                reasons[row] = reason
        return Graded(probabilities, cost, reasons)

    def withdraw(self, judge: Judge, query_id: str, item_id: str) -> bool:
        """Take a verdict back: it moves to the table `withdrawn`, and the pair may be judged again.

        False where there is none.
        """
        key = (self._number_of(judge), query_id, item_id)
        where = "WHERE judge = ? AND query_id = ? AND item_id = ?"
        with self.writing() as connection:
            connection.execute(f"INSERT INTO withdrawn SELECT *, ? FROM verdicts {where}", (_now(), *key))
            return connection.execute(f"DELETE FROM verdicts {where}", key).rowcount > 0

    def judges(self) -> list[Judge]:
        """Everyone who has given a verdict, or begun to, in the order in which they came."""
        with self._lock, explained(self.path):
            rows = self.connection.execute("SELECT name, version, rubric FROM judges ORDER BY number").fetchall()
        return [Judge(*row) for row in rows]

    def count(self, judge: Judge | None = None) -> int:
        """Number of verdicts, of this judge or of all."""
        where, values = ("", ()) if judge is None else ("WHERE judge = ?", (self._number_of(judge),))
        with self._lock, explained(self.path):
            return int(self.connection.execute(f"SELECT count(*) FROM verdicts {where}", values).fetchone()[0])

    def verdicts(self, judge: Judge | None = None, *, source: str | None = None) -> pl.DataFrame:
        """The verdicts of this judge (default: all) that came from this source (default: any), as a table.

        Columns query_id, item_id, grader, version, rubric, p0, p1, p2, grade, cost, reason, source, time; rows in
        the order of judge, query and item. All in memory: `export` for very many.
        """
        import polars as pl

        from motherlode.grading.ledger_export import SCHEMA, batches

        batched: list[pa.RecordBatch] = list(batches(self, judge, source))
        if not batched:
            return pl.DataFrame(schema=pl.from_arrow(SCHEMA.empty_table()).schema)  # type: ignore[union-attr]
        frame = pl.from_arrow(batched)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def export(self, path: Path | str, judge: Judge | None = None, *, source: str | None = None) -> int:
        """Write what `verdicts` returns to one parquet file, in flat memory, whole or not at all; rows written."""
        from motherlode.grading.ledger_export import export

        return export(self, Path(path), judge, source)

    def export_judgements(self, path: Path | str, judge: Judge) -> int:
        """Write this judge's verdicts as a table of judgements (`tables.schema.JUDGEMENTS`); rows written.

        confidence = max(p0, p1, p2); source is "human" for a person, S for the judge "label/S", else "grader".
        """
        from motherlode.grading.ledger_export import export_judgements

        return export_judgements(self, Path(path), judge)

    def close(self) -> None:
        """Close the file; the Ledger cannot be used after."""
        with self._lock:
            self.connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def writing(self, *, lasting: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction that has the right to write from its beginning, so that it never has to be tried again.

        Where `lasting`, it outlives a power cut too, not only the end of the process.
        """
        with self._lock, explained(self.path):
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                self._numbers.clear()
                raise

    @contextmanager
    def wanted(self, query_ids: Ids, item_ids: Ids) -> Iterator[sqlite3.Connection]:
        """The pairs as the temporary table `wanted` (query_id, item_id, at), this thread's alone in the block."""
        queries, items = _columns(query_ids, item_ids)
        with self._lock, explained(self.path):
            connection = self.connection
            connection.execute("BEGIN")
            try:
                connection.execute("DELETE FROM temp.wanted")
                # in the order of the key: neighbours lie on one page of the file
                rows = sorted(zip(queries, items, range(len(queries)), strict=True))
                connection.executemany("INSERT INTO temp.wanted VALUES (?, ?, ?)", rows)
            finally:
                connection.execute("COMMIT")
            yield connection

    def _number_of(self, judge: Judge) -> int:
        """The judge's number, -1 for one that is not known: it has no verdicts."""
        with self._lock, explained(self.path):
            if judge not in self._numbers:
                found = self.connection.execute(
                    "SELECT number FROM judges WHERE (name, version, rubric) = (?, ?, ?)",
                    (judge.name, judge.version, judge.rubric),
                ).fetchone()
                if not found:
                    return -1
                self._numbers[judge] = int(found[0])
            return self._numbers[judge]

    def number(self, judge: Judge) -> int:
        """The judge's number, given now where it has none; inside `writing`."""
        if self._number_of(judge) < 0:
            self.connection.execute(
                "INSERT INTO judges (name, version, rubric) VALUES (?, ?, ?)", (judge.name, judge.version, judge.rubric)
            )
        return self._number_of(judge)

    def _origin(self, judge: int, source: str) -> int:
        """The number of (judge, source), given now where it has none; inside `writing`."""
        self.connection.execute("INSERT OR IGNORE INTO origins (judge, source) VALUES (?, ?)", (judge, source))
        found = self.connection.execute(
            "SELECT number FROM origins WHERE judge = ? AND source = ?", (judge, source)
        ).fetchone()
        return int(found[0])


def _columns(query_ids: Ids, item_ids: Ids) -> tuple[list[str], list[str]]:
    queries, items = _strings(query_ids, "query_id"), _strings(item_ids, "item_id")
    if len(queries) != len(items):
        raise ValueError(f"There are {len(queries)} query ids and {len(items)} item ids: give one of each a pair.")
    return queries, items


def _strings(ids: Ids, name: str) -> list[str]:
    """The ids as a list of str, whatever holds them."""
    for method in ("to_pylist", "to_list", "tolist"):  # arrow, polars, numpy
        if hasattr(ids, method):
            ids = getattr(ids, method)()
            break
    listed = list(ids)
    for row, one in enumerate(listed):
        if not isinstance(one, str):
            raise InputError(f"{name} of pair {row} is {one!r}: ids are texts, cast the column to strings.")
    return listed


def _now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000
