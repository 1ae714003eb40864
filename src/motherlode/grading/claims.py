"""Who is grading what just now, so that two processes with one ledger do not both pay for a pair."""

from __future__ import annotations

import os
import socket
import time
from threading import Event, Thread
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import MotherlodeError
from motherlode.grading.grader import Judge
from motherlode.grading.ledger import Ids, Ledger

LEASE = 60.0  # seconds after which a worker that is not heard of has died


class Claims:
    """One worker's claims for one judge: a block of pairs at a time, kept alive by a thread while it is graded.

    The claims of a worker end with its next block, with `close`, when its process is gone from this machine, or
    `lease` seconds after it was last heard of.
    """

    def __init__(self, ledger: Ledger, judge: Judge, lease: float = LEASE) -> None:
        self._ledger, self._judge, self._lease = ledger, judge, lease
        self._host = socket.gethostname()
        with ledger.writing(lasting=False) as connection:
            self._worker = connection.execute(
                "INSERT INTO workers (host, process, until) VALUES (?, ?, ?)",
                (self._host, os.getpid(), time.time() + lease),
            ).lastrowid
        self._ended = Event()
        self._thread = Thread(target=self._stay, name="claims", daemon=True)
        self._thread.start()

    def take(self, query_ids: Ids, item_ids: Ids) -> NDArray[np.bool_]:
        """Give up the block before and claim these pairs; bool [n], true where this worker should grade.

        False where the judge's verdict is there already, or where another worker is at it.
        """
        mine = np.zeros(len(query_ids), dtype=bool)
        with self._ledger.wanted(query_ids, item_ids), self._ledger.writing(lasting=False) as connection:
            self._bury()
            self._renew()
            number = self._ledger.number(self._judge)
            connection.execute("DELETE FROM claims WHERE worker = ?", (self._worker,))
            connection.execute(
                """
                INSERT OR IGNORE INTO claims
                SELECT ?, query_id, item_id, ? FROM temp.wanted w WHERE NOT EXISTS (
                    SELECT 1 FROM verdicts v WHERE v.judge = ? AND v.query_id = w.query_id AND v.item_id = w.item_id
                )
                """,
                (number, self._worker, number),
            )
            rows = connection.execute(
                """
                SELECT w.at FROM temp.wanted w CROSS JOIN claims c
                ON c.judge = ? AND c.query_id = w.query_id AND c.item_id = w.item_id WHERE c.worker = ?
                """,
                (number, self._worker),
            ).fetchall()
        mine[[row for (row,) in rows]] = True
        return mine

    def close(self) -> None:
        """Give up everything."""
        self._ended.set()
        self._thread.join()
        with self._ledger.writing(lasting=False) as connection:
            for table, column in (("claims", "worker"), ("workers", "number")):
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (self._worker,))

    def __enter__(self) -> Claims:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stay(self) -> None:
        while not self._ended.wait(self._lease / 4):
            try:
                with self._ledger.writing(lasting=False):
                    self._renew()
            except MotherlodeError:  # a ledger that is locked for long: the job itself will say so
                continue

    def _renew(self) -> None:
        """Be heard of; a worker that others have buried meanwhile rises again, without its claims."""
        self._ledger.connection.execute(
            "INSERT OR REPLACE INTO workers (number, host, process, until) VALUES (?, ?, ?, ?)",
            (self._worker, self._host, os.getpid(), time.time() + self._lease),
        )

    def _bury(self) -> None:
        """Remove workers that have died, and their claims."""
        connection = self._ledger.connection
        for number, host, process, until in connection.execute("SELECT * FROM workers").fetchall():
            if until < time.time() or (host == self._host and not _alive(process)):
                connection.execute("DELETE FROM claims WHERE worker = ?", (number,))
                connection.execute("DELETE FROM workers WHERE number = ?", (number,))


def _alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is no question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
