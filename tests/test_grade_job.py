"""The grading job: every pair once, through kills, rivals, budgets and graders that have no answer."""

import multiprocessing
import os
import signal
import time
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from motherlode.errors import InputError
from motherlode.grading.budget import BudgetSpent, Interrupted
from motherlode.grading.grader import Graded, Judge, Pair
from motherlode.grading.job import grade
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.tables.tables import Tables, TableWriter
from motherlode.text.judged_item import judged_item

JUDGE = Judge("overlap", "1", "1-aa")
WORDS = "oat soya rice drink milk bread vegan organic large small red blue pack bar cocoa nut".split()  # noqa: SIM905
QUERIES, ITEMS = 60, 150


def write_tables(folder: Path) -> Path:
    """A small shop with everything an item may have, and often has not."""
    rng = np.random.default_rng(0)

    def some(n: int) -> list[str]:
        return rng.choice(WORDS, n).tolist()

    rows = [
        {
            "item_id": f"i{number}",
            "title": " ".join(some(3)),
            "taxonomy": some(number % 4) or None,
            "brand": WORDS[number % 16] if number % 3 else None,
            "attributes": [{"name": name, "value": "yes"} for name in some(number % 3)] or None,
            "description": " ".join(some(number)) if number % 2 else None,
        }
        for number in range(ITEMS)
    ]
    with TableWriter(folder, "catalogue") as writer:
        writer.write({name: [row[name] for row in rows] for name in rows[0]})
    with TableWriter(folder, "queries") as writer:
        ids = [f"q{number}" for number in range(QUERIES)]
        writer.write({"query_id": ids, "text": [" ".join(some(2)) for _ in ids]})
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(write_tables(tmp_path_factory.mktemp("tables")))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def all_pairs(n: int) -> tuple[list[str], list[str]]:
    number = np.random.default_rng(5).permutation(QUERIES * ITEMS)[:n]
    return [f"q{one % QUERIES}" for one in number], [f"i{one // QUERIES}" for one in number]


def overlap(pair: Pair) -> list[float]:
    """Shares of the query's words found in the item, as a distribution."""
    hits = sum(word in pair.item for word in pair.query.split()) / len(pair.query.split())
    return [1 - hits, hits * (1 - hits), hits**2]


@dataclass
class Overlap:
    """A grader by words; it keeps what it was asked, and may fail in the ways that graders fail."""

    judge: Judge = JUDGE
    block: int = 64
    price: float = 0.0
    budget: float = np.inf
    silent: dict[tuple[str, str], int] = field(default_factory=dict)  # how often to have no answer on a pair
    log: Path | None = None
    slow: float = 0.0
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        told = np.array([overlap(pair) for pair in pairs])
        cost = np.full(len(pairs), self.price)
        for row, pair in enumerate(pairs):
            key = (pair.query_id, pair.item_id)
            if self.price and self.price * sum(self.asked.values()) >= self.budget:
                told[row:], cost[row:] = np.nan, 0.0
                raise BudgetSpent(f"the budget of {self.budget:g} is spent", Graded(told, cost))
            self.asked[key] += 1
            if self.silent.get(key, 0) > 0:
                self.silent[key] -= 1
                told[row] = np.nan
        if self.log:
            time.sleep(self.slow * len(pairs))
            with self.log.open("a") as file:
                file.writelines(f"{pair.query_id} {pair.item_id}\n" for pair in pairs)
        return Graded(told, cost, [f"{pair.query} in {pair.item}" for pair in pairs])


def require_all(ledger: Ledger, tables: Tables, queries: list[str], items: list[str]) -> None:
    """Exactly these pairs are on record, each with the verdict on its own texts."""
    texts = dict(tables.frame("queries", ["query_id", "text"]).iter_rows())
    columns = ["item_id", "title", "taxonomy", "brand", "attributes", "description"]
    facts = {
        row["item_id"]: judged_item(*list(row.values())[1:]) for row in tables.frame("catalogue", columns).to_dicts()
    }
    frame = ledger.verdicts(JUDGE)
    found = frame.select("query_id", "item_id").rows()
    assert len(found) == len(set(found)) and set(found) == set(zip(queries, items, strict=True))
    told = frame.select("p0", "p1", "p2").to_numpy()
    expected = [overlap(Pair(query, item, texts[query], facts[item])) for query, item in found]
    np.testing.assert_array_equal(told, expected)


def test_every_pair_is_graded_once(tables: Tables, ledger: Ledger) -> None:
    queries, items = all_pairs(1000)
    grader = Overlap(price=0.5)
    texts = PairTexts(tables)
    first = grade(queries[:300], items[:300], texts, grader, ledger, source="grade:1")
    assert (first.graded, first.known, first.repeated, first.left) == (300, 0, 0, 0)
    whole = grade(
        pl.Series(queries + queries[:50]), np.array(items + items[:50]), texts, grader, ledger, source="grade:2"
    )
    assert (whole.asked, whole.repeated, whole.known, whole.graded) == (1050, 50, 300, 700)
    assert (whole.unanswered, whole.elsewhere, whole.left, whole.cost) == (0, 0, 0, 350.0)
    assert max(grader.asked.values()) == 1
    require_all(ledger, tables, queries, items)
    assert ledger.verdicts(source="grade:2").height == 700
    assert grade(queries, items, texts, grader, ledger).graded == 0 and sum(grader.asked.values()) == 1000
    assert "700 pairs graded" in str(whole) and "cost 350" in str(whole)


def test_a_pair_without_an_answer_is_asked_twice_and_never_stored(tables: Tables, ledger: Ledger) -> None:
    queries, items = all_pairs(500)
    keys = list(zip(queries, items, strict=True))
    slow, dumb = keys[10:17], keys[100:112]  # an answer at the second time; none ever
    grader = Overlap(silent=dict.fromkeys(slow, 1) | dict.fromkeys(dumb, 99), price=1.0)
    told = grade(queries, items, PairTexts(tables), grader, ledger)
    assert (told.graded, told.unanswered, told.left, told.cost) == (488, 12, 0, 519.0)
    assert set(told.examples) <= set(dumb) and len(told.examples) == 5
    assert {key for key, times in grader.asked.items() if times == 2} == {*slow, *dumb}
    assert max(grader.asked.values()) == 2
    answered = [key for key in keys if key not in set(dumb)]
    require_all(ledger, tables, *map(list, zip(*answered, strict=True)))
    grader.silent.clear()
    assert grade(queries, items, PairTexts(tables), grader, ledger).graded == 12


def test_a_spent_budget_ends_the_job_with_what_was_paid_for(tables: Tables, ledger: Ledger) -> None:
    queries, items = all_pairs(500)
    grader = Overlap(price=0.01, budget=2.0)
    told = grade(queries, items, PairTexts(tables), grader, ledger)
    assert (told.graded, told.left, told.unanswered) == (200, 300, 0)  # 200 is inside the fourth block
    assert told.cost == pytest.approx(2.0) and told.stopped == "the budget of 2 is spent"
    assert "stopped with 300 left: the budget of 2 is spent" in str(told)
    require_all(ledger, tables, queries[:200], items[:200])
    grader.budget = 100.0
    assert grade(queries, items, PairTexts(tables), grader, ledger).graded == 300
    require_all(ledger, tables, queries, items)
    assert max(grader.asked.values()) == 1


def test_an_error_leaves_the_blocks_before_it_and_no_claim(tables: Tables, ledger: Ledger) -> None:
    queries, items = all_pairs(300)

    class Breaks(Overlap):
        def grade(self, pairs: Sequence[Pair]) -> Graded:
            if sum(self.asked.values()) >= 128:
                raise RuntimeError("out of memory")
            return super().grade(pairs)

    with pytest.raises(RuntimeError, match="out of memory"):
        grade(queries, items, PairTexts(tables), Breaks(), ledger)
    require_all(ledger, tables, queries[:128], items[:128])
    began = time.monotonic()
    assert grade(queries, items, PairTexts(tables), Overlap(), ledger).graded == 172
    assert time.monotonic() - began < 30  # no lease to wait for


def test_an_id_that_is_nowhere_is_told_before_the_work(tables: Tables, ledger: Ledger) -> None:
    queries, items = all_pairs(200)
    grader = Overlap()
    with pytest.raises(InputError, match=r"catalogue\.parquet has no item_id 'nowhere'"):
        grade(queries, [*items[:-1], "nowhere"], PairTexts(tables), grader, ledger)
    with pytest.raises(InputError, match=r"queries\.parquet has no query_id ''"):
        grade(["", *queries[1:]], items, PairTexts(tables), grader, ledger)
    with pytest.raises(InputError, match="Pair 1 has no item_id"):
        grade(queries[:2], ["i1", None], PairTexts(tables), grader, ledger)
    with pytest.raises(InputError, match="holds no texts"):
        grade([1, 2], items[:2], PairTexts(tables), grader, ledger)
    with pytest.raises(ValueError, match="2 query ids and 3 item ids"):
        grade(queries[:2], items[:3], PairTexts(tables), grader, ledger)
    assert not grader.asked
    assert grade([], [], PairTexts(tables), grader, ledger).asked == 0


def test_texts_are_held_for_one_block_alone(tables: Tables, ledger: Ledger) -> None:
    queries, items = all_pairs(2000)
    alive: list[weakref.ref[Pair]] = []
    most = 0

    class Watches(Overlap):
        def grade(self, pairs: Sequence[Pair]) -> Graded:
            nonlocal most
            alive.extend(weakref.ref(pair) for pair in pairs)
            most = max(most, sum(one() is not None for one in alive))
            return super().grade(pairs)

    assert grade(queries, items, PairTexts(tables), Watches(block=100), ledger).graded == 2000
    assert len(alive) == 2000 and most <= 200


def run_job(folder: Path, ledger: Path, log: Path, slow: float) -> None:
    queries, items = all_pairs(2000)
    with Ledger(ledger) as opened:
        grade(queries, items, PairTexts(Tables(folder)), Overlap(log=log, slow=slow, block=50), opened)


def test_a_killed_job_goes_on(tables: Tables, ledger: Ledger, tmp_path: Path) -> None:
    queries, items = all_pairs(2000)
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    job = context.Process(target=run_job, args=(tables.folder, ledger.path, log, 0.001))
    job.start()
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().count("\n") >= 500) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert job.pid is not None
    os.kill(job.pid, signal.SIGKILL)
    job.join()
    kept, paid = ledger.count(), Counter(log.read_text().splitlines())
    assert 450 <= kept <= sum(paid.values()) < 2000
    grader = Overlap()
    began = time.monotonic()
    told = grade(queries, items, PairTexts(tables), grader, ledger)
    assert time.monotonic() - began < 30  # the claims of a process that is gone fall at once
    assert (told.known, told.graded) == (kept, 2000 - kept)
    twice = sum(times + grader.asked[tuple(line.split())] - 1 for line, times in paid.items())  # type: ignore[index]
    assert twice <= 50  # a kill costs a block at most
    require_all(ledger, tables, queries, items)


def test_two_processes_share_one_job(tables: Tables, ledger: Ledger, tmp_path: Path) -> None:
    queries, items = all_pairs(2000)
    context = multiprocessing.get_context("spawn")
    logs = [tmp_path / "one", tmp_path / "two"]
    jobs = [context.Process(target=run_job, args=(tables.folder, ledger.path, log, 0.0005)) for log in logs]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
        assert job.exitcode == 0
    graded = [log.read_text().splitlines() for log in logs]
    assert all(len(lines) >= 100 for lines in graded)  # both had a share
    assert len(graded[0]) + len(graded[1]) == 2000 == len({*graded[0], *graded[1]})  # no pair was paid for twice
    require_all(ledger, tables, queries, items)


def test_what_another_holds_is_waited_for(tables: Tables, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker holds a block; it answers half of it and goes: the job takes the rest."""
    from motherlode.grading import job
    from motherlode.grading.claims import Claims

    queries, items = all_pairs(300)
    texts = PairTexts(tables)
    with Ledger(ledger.path) as other:
        claims = Claims(other, JUDGE)
        assert claims.take(queries[:60], items[:60]).all()

        def sleep(_: float) -> None:
            answers = Overlap().grade(texts.pairs(queries[:30], items[:30]))
            assert other.record(JUDGE, queries[:30], items[:30], answers) == 30
            claims.close()

        monkeypatch.setattr(job.time, "sleep", sleep)
        grader = Overlap(block=40)
        told = grade(queries, items, texts, grader, ledger)
    assert (told.graded, told.elsewhere, told.left) == (270, 30, 0)
    assert set(grader.asked) == set(zip(queries[30:], items[30:], strict=True))
    require_all(ledger, tables, queries, items)


def test_texts_are_those_of_the_tables(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motherlode.grading.pairs.ROWS", 7)  # many batches
    queries, items = all_pairs(400)
    texts = {row["query_id"]: row["text"] for row in tables.frame("queries").to_dicts()}
    facts = {row.pop("item_id"): row for row in tables.frame("catalogue").drop("image").to_dicts()}
    pairs = PairTexts(tables).pairs(queries, items)
    assert [(pair.query_id, pair.item_id) for pair in pairs] == list(zip(queries, items, strict=True))
    assert [pair.query for pair in pairs] == [texts[query] for query in queries]
    assert [pair.item for pair in pairs] == [judged_item(**facts[item]) for item in items]
    assert PairTexts(tables).pairs([], []) == []
    with pytest.raises(InputError, match="has no item_id 'i999'"):
        PairTexts(tables).pairs(["q1"], ["i999"])


def test_two_ids_of_one_hash_are_never_mixed_up(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown id that hashes like a known one does not get its text."""
    texts = PairTexts(tables)
    known = texts.pairs(["q1"], ["i1"])[0]
    real = pl.Series.hash
    monkeypatch.setattr(
        pl.Series,
        "hash",
        lambda ids, seed: real(ids.replace("other", "i1"), seed=seed),  # type: ignore[no-any-return]
    )
    assert texts.pairs(["q1"], ["i1"]) == [known]
    with pytest.raises(InputError, match="has no item_id 'other'"):
        texts.pairs(["q1", "q1"], ["i2", "other"])


def test_what_was_answered_before_an_interruption_is_kept(tables: Tables, ledger: Ledger) -> None:
    class Breaks:
        judge, block = Judge("breaks", "1", "r"), 4

        def grade(self, pairs: Sequence[Pair]) -> Graded:
            p = np.full((len(pairs), 3), np.nan)
            p[:2] = [0.1, 0.2, 0.7]
            raise Interrupted("The server went away.", Graded(p))

    with pytest.raises(Interrupted, match="went away"):
        grade(*all_pairs(4), PairTexts(tables), Breaks(), ledger)
    assert ledger.count() == 2
