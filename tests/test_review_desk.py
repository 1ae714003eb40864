"""Whatever people do in whatever order, the ledger has exactly their verdicts and nobody gets another's pair."""

import random
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from motherlode.errors import InputError, SettingError
from motherlode.grading.grader import Graded, Judge
from motherlode.grading.ledger import Ledger
from motherlode.review.desk import LEASE, NOT_BLIND, Conflict, Desk
from motherlode.review.people import agreements
from motherlode.review.queue import check_queue
from review_case import SECRET, make_queue

PEOPLE = ("anna", "ben", "chloé")
STEPS = ["next", "judge", "judge", "judge", "judge", "undo", "undo", "skip", "restart", "wait"]


def rows(ledger: Ledger) -> dict[tuple[str, str, str], int]:
    """(person, query, item) -> grade of all that lies in the ledger."""
    found = ledger.verdicts().select("grader", "query_id", "item_id", "grade").iter_rows()
    return {(grader.removeprefix("person/"), query, item): grade for grader, query, item, grade in found}


class Model:
    """The desk written again without care for speed: lists, and loops over all of them."""

    def __init__(self, pairs: int, wanted: int) -> None:
        self.pairs, self.wanted, self.now = pairs, wanted, 0.0
        self.judged: list[dict[str, int]] = [{} for _ in range(pairs)]
        self.history: dict[str, list[int]] = {name: [] for name in PEOPLE}
        self.skipped: dict[str, list[int]] = {name: [] for name in PEOPLE}
        self.screen: dict[str, tuple[int, float]] = {}

    def free(self, person: str, row: int) -> bool:
        others = [
            name for name, (at, until) in self.screen.items() if name != person and at == row and until > self.now
        ]
        return person not in self.judged[row] and len(self.judged[row]) + len(others) < self.wanted

    def next(self, person: str) -> int | None:
        fresh = [row for row in range(self.pairs) if row not in self.skipped[person]]
        current = [self.screen[person][0]] if person in self.screen else []
        free = [row for row in [*current, *fresh, *self.skipped[person]] if self.free(person, row)]
        self.screen.pop(person, None)
        if free:
            self.screen[person] = (free[0], self.now + LEASE)
        return free[0] if free else None

    def shared(self) -> dict[tuple[str, str], list[list[int]]]:
        found = {}
        for first, second in combinations(PEOPLE, 2):
            both = [(grades[first], grades[second]) for grades in self.judged if {first, second} <= grades.keys()]
            if both:
                found[first, second] = [[both.count((i, j)) for j in range(3)] for i in range(3)]
        return found

    def left(self, person: str) -> int:
        return sum(len(grades) < self.wanted and person not in grades for grades in self.judged)


@pytest.mark.parametrize("double", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_random_course_of_events_equals_the_slow_model(seed: int, double: float) -> None:
    pairs, rng = 6, random.Random(seed)
    steps = [(rng.choice(STEPS), rng.choice(PEOPLE), rng.randrange(3)) for _ in range(120)]
    queue = check_queue(make_queue(pairs))
    model = Model(pairs, 1 + int(double))
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        skips = Path(folder) / "skips.json"

        def open_desk() -> Desk:
            return Desk(queue, ledger, "r1", double=double, skips=skips, clock=lambda: model.now)

        desk = open_desk()
        keys = [entry.key for entry in desk.entries]
        for what, person, grade in steps:
            if what == "restart":
                desk = open_desk()
                model.screen.clear()
            elif what == "wait":
                model.now += LEASE * 0.6
            elif what == "undo":
                entry = desk.undo(person)
                if model.history[person]:
                    row = model.history[person].pop()
                    del model.judged[row][person]
                    model.screen[person] = (row, model.now + LEASE)
                    assert entry and entry.key == keys[row]
                else:
                    assert entry is None
            else:
                entry, row = desk.next(person), model.next(person)
                assert (entry.key if entry else None) == (keys[row] if row is not None else None)
                if entry and row is not None and what != "next":
                    model.screen.pop(person)
                    if row in model.skipped[person]:
                        model.skipped[person].remove(row)
                if entry and row is not None and what == "judge":
                    desk.judge(person, entry.key, grade)
                    model.judged[row][person] = grade
                    model.history[person].append(row)
                if entry and row is not None and what == "skip":
                    desk.skip(person, entry.key)
                    model.skipped[person].append(row)
            assert rows(ledger) == {
                (name, f"q{row}", f"i{row}"): grade
                for row, grades in enumerate(model.judged)
                for name, grade in grades.items()
            }
            told = {people: counts.tolist() for people, counts in desk.shared().items() if counts.any()}
            assert told == model.shared()
            for name in PEOPLE:
                progress = desk.progress(name)
                assert progress["mine"] == len(model.history[name])
                assert progress["done"] == sum(map(len, model.judged))
                assert progress["total"] == pairs * model.wanted
                assert progress["left"] == model.left(name)
                open_skips = [row for row in model.skipped[name] if len(model.judged[row]) < model.wanted]
                assert progress["skipped"] == len(open_skips)


@pytest.fixture
def ledger(tmp_path: Path):  # type: ignore[no-untyped-def]
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def test_a_verdict_is_on_disk_when_judge_returns_with_its_source(ledger: Ledger) -> None:
    desk = Desk(check_queue(make_queue(3)), ledger, "r1", source="audit:7")
    entry = desk.next("anna")
    assert entry and desk.shown("anna", entry.key) == []
    desk.judge("anna", entry.key, 2)
    with sqlite3.connect(ledger.path) as other:  # as any other process sees it
        found = other.execute("SELECT query_id, item_id, grade, p0, p1, p2, reason FROM verdicts").fetchall()
    other.close()
    assert found == [("q0", "i0", 2, 0, 0, 1, None)]
    frame = ledger.verdicts(Judge("person/anna", "1", "r1"), source="audit:7")
    assert frame.height == 1
    assert [(one["role"], one["who"], one["grade"], one["reason"]) for one in desk.shown("anna", entry.key)] == [
        ("label", "crowd", 0, None),
        ("judge", "judge-x@1", 1, SECRET),
    ]
    assert desk.shown("ben", entry.key) == []


def test_judging_again_after_the_reveal_is_marked(ledger: Ledger) -> None:
    desk = Desk(check_queue(make_queue(2)), ledger, "r1")
    entry = desk.next("anna")
    assert entry
    desk.judge("anna", entry.key, 0)
    again = desk.undo("anna")
    assert again == entry and rows(ledger) == {}
    desk.judge("anna", entry.key, 1)
    assert ledger.verdicts().select("grade", "reason").rows() == [(1, NOT_BLIND)]
    second = desk.next("anna")
    assert second
    desk.judge("anna", second.key, 1)
    assert ledger.verdicts().sort("query_id")["reason"].to_list() == [NOT_BLIND, None]


def test_the_same_verdict_twice_is_one_and_another_is_a_conflict(ledger: Ledger) -> None:
    desk = Desk(check_queue(make_queue(2)), ledger, "r1")
    key = desk.entries[0].key
    desk.judge("anna", key, 1)
    desk.judge("anna", key, 1)
    with pytest.raises(Conflict, match="judged this pair already"):
        desk.judge("anna", key, 2)
    assert rows(ledger) == {("anna", "q0", "i0"): 1}
    for wrong in (-1, 3):
        with pytest.raises(InputError, match="does not exist"):
            desk.judge("anna", desk.entries[1].key, wrong)
    with pytest.raises(InputError, match="not in the queue"):
        desk.judge("anna", "0" * 16, 1)
    assert desk.progress("anna")["done"] == 1


def test_a_verdict_from_another_process_is_respected(ledger: Ledger) -> None:
    desk = Desk(check_queue(make_queue(2)), ledger, "r1")
    with Ledger(ledger.path) as other:
        Desk(check_queue(make_queue(2)), other, "r1").judge("anna", desk.entries[0].key, 2)
    with pytest.raises(Conflict):
        desk.judge("anna", desk.entries[0].key, 0)
    following = desk.next("anna")
    assert following and following.query_id == "q1"  # it has taken note


def test_only_people_under_this_rubric_count(ledger: Ledger) -> None:
    answer = Graded(np.eye(3)[[1]])
    for judge in (
        Judge("person/anna", "1", "an older rubric"),
        Judge("cross-encoder", "1", "r1"),
        Judge("person/anna", "2", "r1"),
    ):
        ledger.record(judge, ["q0"], ["i0"], answer)
    ledger.record(Judge("person/ben", "1", "r1"), ["q1", "gone"], ["i1", "gone"], Graded(np.eye(3)[[1, 1]]))
    desk = Desk(check_queue(make_queue(2)), ledger, "r1")
    assert desk.counts() == {"ben": 1}
    first = desk.next("anna")
    assert first and first.query_id == "q0"


def test_the_share_judged_twice_is_as_asked_and_stays(ledger: Ledger) -> None:
    queue = check_queue(make_queue(2000))

    def doubled(double: float, seed: int) -> set[str]:
        desk = Desk(queue.sample(fraction=1, shuffle=True, seed=seed), ledger, "r1", double=double, seed=5)
        assert desk.progress("anna")["total"] == sum(desk._wanted)
        return {entry.key for entry, wanted in zip(desk.entries, desk._wanted, strict=True) if wanted == 2}

    tenth = doubled(0.1, 1)
    assert abs(len(tenth) - 200) < 60  # 4.5 standard deviations
    assert tenth == doubled(0.1, 2)  # by the ids, not by the rows
    assert tenth < doubled(0.3, 1)  # raising the share keeps what was doubled
    assert doubled(0, 1) == set() and len(doubled(1, 1)) == 2000
    with pytest.raises(SettingError, match="from 0 to 1"):
        Desk(queue, ledger, "r1", double=1.5)


def test_people_at_once_judge_every_pair_as_often_as_wanted(ledger: Ledger) -> None:
    desk = Desk(check_queue(make_queue(60)), ledger, "r1", double=0.3)
    people = [f"p{number}" for number in range(6)]

    def work(person: str) -> int:
        rng, given = random.Random(person), 0
        while entry := desk.next(person):
            if rng.random() < 0.1:
                desk.skip(person, entry.key)
                continue
            desk.judge(person, entry.key, rng.randrange(3))
            given += 1
            if rng.random() < 0.1:
                desk.undo(person)
                given -= 1
        return given

    with ThreadPoolExecutor(len(people)) as pool:
        counts = dict(zip(people, pool.map(work, people), strict=True))
    for person in people:  # who found nothing while others held the last pairs looks again
        counts[person] += work(person)
    written = rows(ledger)
    times = [sum(query == entry.query_id for _, query, _ in written) for entry in desk.entries]
    assert times == desk._wanted
    assert {name: count for name, count in counts.items() if count} == desk.counts()
    assert desk.progress("p0")["done"] == desk.progress("p0")["total"] == len(written)
    shared = agreements(desk.shared())
    assert sum(one["n"] for one in shared) == sum(wanted == 2 for wanted in desk._wanted)


def test_an_empty_queue_is_done(ledger: Ledger) -> None:
    desk = Desk(check_queue(make_queue(1).clear()), ledger, "r1", double=0.5)
    assert desk.next("anna") is None and desk.undo("anna") is None
    assert desk.progress("anna")["left"] == 0


def test_a_ledger_that_cannot_write_changes_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(check_queue(make_queue(2)), ledger, "r1")
    entry = desk.next("anna")
    assert entry
    desk.judge("anna", entry.key, 1)
    for method in ("record", "withdraw"):
        monkeypatch.setattr(ledger, method, lambda *_, **__: (_ for _ in ()).throw(InputError("The disk is full.")))
    before = desk.progress("anna")
    following = desk.next("anna")
    assert following
    with pytest.raises(InputError, match="full"):
        desk.judge("anna", following.key, 1)
    with pytest.raises(InputError, match="full"):
        desk.undo("anna")
    assert desk.progress("anna") == before and desk.next("anna") == following
