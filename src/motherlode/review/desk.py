"""The desk: who gets which pair next, and the way of every verdict into the ledger."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.atomic import read_json, write_json
from motherlode.errors import InputError, MotherlodeError, SettingError
from motherlode.grading.grader import Graded
from motherlode.grading.ledger import Ledger
from motherlode.review.pace import Pace
from motherlode.review.people import PERSON, judge_of
from motherlode.review.queue import Entry, entries
from motherlode.tables.hashing import hash_ids, mix, uniform
from motherlode.tables.schema import GRADES

LEASE = 600.0  # seconds a pair is kept for the person who has it on the screen
NOT_BLIND = "judged again after the earlier verdicts were shown"


class Conflict(MotherlodeError):
    """The person has judged this pair already, otherwise."""


class Desk:
    """Hands out the pairs of a queue and keeps the verdicts, for several people and threads.

    A pair goes to one person; a share `double` of them, chosen by a hash of the ids and `seed`, goes to two. Who
    has judged what is read from the ledger (people's verdicts under this rubric version, whatever their source),
    so a restart goes on where it was; `skips`, where given, is the file that keeps what each person has put off.
    A pair on someone's screen is held for that person for LEASE seconds. One Desk a queue at a time: leases live in
    memory.
    """

    def __init__(
        self,
        queue: pl.DataFrame,
        ledger: Ledger,
        rubric: str,
        *,
        source: str = "review",
        double: float = 0.0,
        seed: int = 0,
        skips: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.entries = entries(queue)
        self.rubric, self.source = rubric, source
        self._ledger, self._skips, self._clock = ledger, skips, clock
        self._lock = RLock()
        self._at = {entry.key: row for row, entry in enumerate(self.entries)}
        self._wanted = _wanted(self.entries, double, seed)
        self._total = sum(self._wanted)
        self._judged: list[dict[str, int]] = []
        self._shared: defaultdict[tuple[str, str], NDArray[np.int64]]
        self._done = 0  # verdicts the queue has, of the _total it wants
        self._open = 0  # pairs that still want one
        self._first = 0  # no pair before this row does
        self._history: dict[str, list[int]] = {}  # rows in the order in which the person judged them
        self._skipped: dict[str, list[int]] = {}
        self._leases: dict[str, tuple[int, float]] = {}
        self._seen: set[tuple[str, int]] = set()  # verdicts taken back after the earlier ones were shown
        self._pace = Pace(clock)
        self._recall()

    def __len__(self) -> int:
        return len(self.entries)

    def entry(self, key: str) -> Entry:
        """The pair with this key. Raises InputError where the queue has none."""
        return self.entries[self._row(key)]

    def next(self, person: str) -> Entry | None:
        """The pair this person is to judge now, held for them; None where nothing is left for them at the moment.

        The one on their screen; else the first that still wants a verdict and that nobody else holds; else what they
        have skipped, in the order of skipping.
        """
        with self._lock:
            held = self._held_by_others(person)
            now, skipped = self._clock(), self._skipped.get(person, [])
            current = [self._leases[person][0]] if person in self._leases else []
            put_off = set(skipped)
            fresh = (row for row in range(self._first, len(self.entries)) if row not in put_off)
            for rows in (current, fresh, skipped):
                for row in rows:
                    if person not in self._judged[row] and len(self._judged[row]) + held[row] < self._wanted[row]:
                        self._leases[person] = (row, now + LEASE)
                        return self.entries[row]
            self._leases.pop(person, None)
            return None

    def judge(self, person: str, key: str, grade: int) -> Entry:
        """Put the person's verdict in the ledger; on return it is there.

        The same verdict twice is one verdict (an answer may be lost on its way). Raises Conflict where the person
        has judged the pair otherwise, InputError for an unknown key or a grade other than 0, 1, 2.
        """
        with self._lock:
            row = self._row(key)
            entry = self.entries[row]
            if grade not in GRADES:
                raise InputError(f"The grade {grade} does not exist: give 0, 1 or 2.")
            if self._judged[row].get(person) == grade:
                return entry
            reason = NOT_BLIND if (person, row) in self._seen else None
            answer = Graded(np.eye(3)[[grade]], reasons=[reason])
            judge = judge_of(person, self.rubric)
            if not self._ledger.record(judge, [entry.query_id], [entry.item_id], answer, source=self.source):
                self._recall()  # another process was here
                if self._judged[row].get(person) == grade:
                    return entry
                raise Conflict("You have judged this pair already, with another grade: take that back with undo first.")
            self._keep(person, row, grade)
            self._pace.tick(person)
            self._leases.pop(person, None)
            self._unskip(person, row)
            return entry

    def undo(self, person: str) -> Entry | None:
        """Take back the person's latest verdict and hold that pair for them again; None where there is none."""
        with self._lock:
            history = self._history.get(person, [])
            if not history:
                return None
            row = history[-1]
            entry = self.entries[row]
            self._ledger.withdraw(judge_of(person, self.rubric), entry.query_id, entry.item_id)
            history.pop()
            closed = not self._is_open(row)
            self._count_shared(person, row, -1)
            del self._judged[row][person]
            if self._is_open(row):
                self._done -= 1
                self._open += closed
            if entry.earlier:
                self._seen.add((person, row))
            self._first = min(self._first, row)
            self._leases[person] = (row, self._clock() + LEASE)
            return entry

    def skip(self, person: str, key: str) -> None:
        """Put the pair behind all others for this person; other people may be given it meanwhile."""
        with self._lock:
            row = self._row(key)
            if person in self._judged[row]:
                return
            self._unskip(person, row, write=False)
            self._skipped.setdefault(person, []).append(row)
            self._write_skips()
            if self._leases.get(person, (-1, 0.0))[0] == row:
                del self._leases[person]

    def shown(self, person: str, key: str) -> list[dict[str, Any]]:
        """The earlier verdicts on a pair, for a person who has judged it; empty for anyone else."""
        with self._lock:
            row = self._row(key)
            return [vars(one) for one in self.entries[row].earlier] if person in self._judged[row] else []

    def shared(self) -> dict[tuple[str, str], NDArray[np.int64]]:
        """Of each two people (a, b) with a < b who judged the same pairs: how often a gave i and b gave j, [3, 3]."""
        with self._lock:
            return {people: counts.copy() for people, counts in self._shared.items()}

    def counts(self) -> dict[str, int]:
        """Verdicts of each person on this queue."""
        with self._lock:
            return {name: len(rows) for name, rows in sorted(self._history.items()) if rows}

    def progress(self, person: str) -> dict[str, Any]:
        """How far this person and all are.

        mine: verdicts of this person. done of total: verdicts the queue has of those it wants. left: those this
        person may still give. skipped: of these, the ones put off. seconds_each and seconds_left: the person's pace
        and how long it takes still, None before that can be told.
        """
        with self._lock:
            history = self._history.get(person, [])
            waiting = sum(map(self._is_open, history))  # for a second person
            left = self._open - waiting
            skipped = sum(map(self._is_open, self._skipped.get(person, [])))
            return {
                "mine": len(history),
                "done": self._done,
                "total": self._total,
                "left": left,
                "skipped": skipped,
                "seconds_each": self._pace.seconds(person),
                "seconds_left": self._pace.left(person, left, self._total - self._done),
            }

    def _row(self, key: str) -> int:
        if key not in self._at:
            raise InputError("This pair is not in the queue that is served now: reload the page.")
        return self._at[key]

    def _is_open(self, row: int) -> bool:
        """Whether the pair still wants a verdict."""
        return len(self._judged[row]) < self._wanted[row]

    def _held_by_others(self, person: str) -> Counter[int]:
        """How many other people have each row on their screens."""
        now = self._clock()
        return Counter(row for name, (row, until) in self._leases.items() if name != person and until > now)

    def _keep(self, person: str, row: int, grade: int) -> None:
        """Note what the ledger holds."""
        if self._is_open(row):
            self._done += 1
            self._open -= len(self._judged[row]) + 1 == self._wanted[row]
        self._judged[row][person] = grade
        self._count_shared(person, row, 1)
        self._history.setdefault(person, []).append(row)
        while self._first < len(self.entries) and not self._is_open(self._first):
            self._first += 1

    def _count_shared(self, person: str, row: int, step: int) -> None:
        """Count the person's verdict on this row beside those of others, or no longer."""
        grades = self._judged[row]
        for other in grades.keys() - {person}:
            first, second = sorted((person, other))
            self._shared[first, second][grades[first], grades[second]] += step

    def _recall(self) -> None:
        """Take the verdicts of people under this rubric version from the ledger, and what they put off."""
        self._judged = [{} for _ in self.entries]
        self._shared = defaultdict(lambda: np.zeros((len(GRADES), len(GRADES)), dtype=np.int64))
        self._history, self._first, self._done, self._open = {}, 0, 0, len(self.entries)
        at = {(entry.query_id, entry.item_id): row for row, entry in enumerate(self.entries)}
        for judge in self._ledger.judges():
            name = judge.name.removeprefix(PERSON)
            if judge != judge_of(name, self.rubric):
                continue
            found = self._ledger.verdicts(judge).sort("time", maintain_order=True)
            for query_id, item_id, grade in found.select("query_id", "item_id", "grade").iter_rows():
                if (query_id, item_id) in at:
                    self._keep(name, at[query_id, item_id], grade)
        if self._skips and self._skips.exists():
            kept: dict[str, list[str]] = read_json(self._skips)
            self._skipped = {name: [self._at[key] for key in keys if key in self._at] for name, keys in kept.items()}

    def _unskip(self, person: str, row: int, *, write: bool = True) -> None:
        if row in self._skipped.get(person, []):
            self._skipped[person].remove(row)
            if write:
                self._write_skips()

    def _write_skips(self) -> None:
        if self._skips:
            kept = {name: [self.entries[row].key for row in rows] for name, rows in self._skipped.items()}
            write_json(self._skips, kept)


def _wanted(pairs: list[Entry], double: float, seed: int) -> list[int]:
    """How many people are to judge each pair: 2 where a hash of its ids lies below `double`, else 1."""
    if not 0 <= double <= 1:
        raise SettingError(f"The share of pairs judged twice is {double}: give a number from 0 to 1.")
    queries = hash_ids(pl.Series([pair.query_id for pair in pairs], dtype=pl.String), seed, "double judging")
    items = hash_ids(pl.Series([pair.item_id for pair in pairs], dtype=pl.String), seed, "double judging")
    return (1 + (uniform(mix(queries, items)) < double)).tolist()
