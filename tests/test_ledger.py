"""The ledger against a dictionary, against other processes, and against files that are none."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from rich.console import Console

from motherlode.errors import InputError
from motherlode.grading import ledger_file
from motherlode.grading.claims import Claims
from motherlode.grading.grader import Graded, Judge, decide
from motherlode.grading.ledger import Ledger
from motherlode.grading.ledger_report import report
from motherlode.tables.schema import JUDGEMENTS

CROSS = Judge("cross-encoder", "a1", "1-aa")
CROSS_2 = Judge("cross-encoder", "a2", "1-aa")
ANNA = Judge("person/anna", "1", "1-aa")
JUDGES = (CROSS, CROSS_2, ANNA)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def rows_of(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.dirichlet([1.0, 1.0, 1.0], n)


def test_an_answer_comes_back_as_it_was_given(path: Path) -> None:
    told = np.array([[0.1, 0.2, 0.7], [np.nan] * 3, [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    graded = Graded(told, np.array([0.25, 9.0, 0.5, 0.0]), ["fits", "?", None, "näher"])
    with Ledger(path) as ledger:
        assert ledger.record(CROSS, ["q", "q", "r", "q"], ["1", "2", "1", "4"], graded, source="grade:1") == 3
    with Ledger(path) as ledger:
        found = ledger.lookup(CROSS, ["r", "q", "q", "x", "q"], ["1", "1", "2", "1", "4"])
        np.testing.assert_array_equal(found.probabilities, told[[2, 0, 1, 1, 3]])
        np.testing.assert_array_equal(found.cost, [0.5, 0.25, 0.0, 0.0, 0.0])
        assert list(found.reasons) == [None, "fits", None, None, "näher"]
        assert ledger.known(CROSS, ["r", "q", "q"], ["1", "1", "2"]).tolist() == [True, True, False]
        assert not ledger.known(CROSS_2, ["r"], ["1"]).any()
        frame = ledger.verdicts()
    assert " ".join(frame.columns) == "query_id item_id grader version rubric p0 p1 p2 grade cost reason source time"
    assert frame["grade"].to_list() == [2, 1, 0]  # the lower of equals
    assert (pl.Series([time.time()]) - frame["time"].dt.epoch("us") / 1e6).abs().max() < 60  # type: ignore[operator]


def test_a_pair_is_judged_once(path: Path) -> None:
    first, second = np.array([[1.0, 0, 0]]), np.array([[0, 0, 1.0]])
    with Ledger(path) as ledger:
        assert ledger.record(CROSS, ["q"], ["1"], Graded(first), source="one") == 1
        assert ledger.record(CROSS, ["q"], ["1"], Graded(second), source="two") == 0
        assert ledger.record(CROSS, ["q", "q"], ["2", "2"], Graded(np.vstack([second, first]))) == 1
        np.testing.assert_array_equal(
            ledger.lookup(CROSS, ["q", "q"], ["1", "2"]).probabilities, [[1, 0, 0], [0, 0, 1]]
        )
        assert ledger.verdicts(source="two").height == 0
        assert ledger.record(CROSS_2, ["q"], ["1"], Graded(second)) == 1  # another version judges anew


def test_what_is_no_distribution_is_refused_whole(path: Path) -> None:
    good = [0.2, 0.3, 0.5]
    with Ledger(path) as ledger:
        for bad in ([0.5, 0.5, 0.5], [-0.1, 0.6, 0.5], [1.2, -0.1, -0.1]):
            with pytest.raises(ValueError, match="sum to 1"):
                ledger.record(CROSS, ["q", "r"], ["1", "1"], Graded(np.array([good, bad])))
        with pytest.raises(ValueError, match="shape"):
            ledger.record(CROSS, ["q"], ["1"], Graded(np.array([good, good])))
        with pytest.raises(ValueError, match="1 query ids and 2 item ids"):
            ledger.known(CROSS, ["q"], ["1", "2"])
        with pytest.raises(InputError, match="query_id of pair 0 is 7"):
            ledger.known(CROSS, [7], ["1"])
        assert ledger.count() == 0 and ledger.judges() == []
        assert ledger.record(CROSS, ["q"], ["1"], Graded(np.full((1, 3), np.nan))) == 0
        assert ledger.count() == 0


def test_ids_may_come_as_numpy_polars_or_arrow(path: Path) -> None:
    ids = [f"i{number}" for number in range(50)]
    with Ledger(path) as ledger:
        ledger.record(CROSS, np.array(ids), pl.Series(ids).to_arrow(), Graded(rows_of(np.random.default_rng(1), 50)))
        assert ledger.known(CROSS, pl.Series(ids), np.array(ids, dtype=object)).all()


ids = st.sampled_from(["", "a", "b", "A", "a ", "ä", "a\0b", "a\0c", "'; --", "%", "豆", "1", "01"])
pairs = st.lists(st.tuples(ids, ids), max_size=6)


class AgainstADictionary(RuleBasedStateMachine):
    """Whatever the order of recording, taking back, closing and asking: the ledger is a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.sqlite"
        self.ledger = Ledger(self.path)
        self.model: dict[tuple[Judge, str, str], tuple[tuple[float, ...], str]] = {}
        self.taken_back = 0

    @rule(
        judge=st.sampled_from(JUDGES),
        rows=st.lists(st.tuples(ids, ids, st.sampled_from([None, 0, 1, 2, 3])), max_size=6),
        source=st.sampled_from(["", "review", "audit:1"]),
    )
    def record(self, judge: Judge, rows: list[tuple[str, str, int | None]], source: str) -> None:
        told = np.array([[np.nan] * 3 if grade is None else np.eye(4)[grade][:3] for *_, grade in rows]).reshape(-1, 3)
        told[[grade == 3 for *_, grade in rows]] = [0.25, 0.5, 0.25]
        new = 0
        for (query, item, grade), probabilities in zip(rows, told.tolist(), strict=True):
            if grade is not None and (judge, query, item) not in self.model:
                self.model[judge, query, item] = (tuple(probabilities), source)
                new += 1
        queries, items = [row[0] for row in rows], [row[1] for row in rows]
        assert self.ledger.record(judge, queries, items, Graded(told), source=source) == new

    @rule(judge=st.sampled_from(JUDGES), query=ids, item=ids)
    def withdraw(self, judge: Judge, query: str, item: str) -> None:
        there = self.model.pop((judge, query, item), None) is not None
        self.taken_back += there
        assert self.ledger.withdraw(judge, query, item) == there

    @rule(judge=st.sampled_from(JUDGES), asked=pairs)
    def ask(self, judge: Judge, asked: list[tuple[str, str]]) -> None:
        queries, items = [query for query, _ in asked], [item for _, item in asked]
        keys = [(judge, query, item) for query, item in asked]
        assert self.ledger.known(judge, queries, items).tolist() == [key in self.model for key in keys]
        expected = np.array([self.model.get(key, ((np.nan,) * 3, ""))[0] for key in keys]).reshape(-1, 3)
        np.testing.assert_array_equal(self.ledger.lookup(judge, queries, items).probabilities, expected)

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.path)

    @invariant()
    def all_verdicts(self) -> None:
        for judge in (None, *JUDGES):
            for source in (None, "review", "audit:1"):
                expected = {
                    (key[0].name, key[0].version, key[1], key[2], *told, given)
                    for key, (told, given) in self.model.items()
                    if judge in (None, key[0]) and source in (None, given)
                }
                frame = self.ledger.verdicts(judge, source=source)
                found = frame.select("grader", "version", "query_id", "item_id", "p0", "p1", "p2", "source").rows()
                assert len(found) == len(expected) and set(found) == expected
        assert self.ledger.count() == len(self.model)

    def teardown(self) -> None:
        self.ledger.close()
        kept = sqlite3.connect(self.path)
        assert kept.execute("SELECT count(*) FROM withdrawn").fetchone()[0] == self.taken_back
        kept.close()
        self.folder.cleanup()


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


def write_half(path: Path, worker: int, results: Any) -> None:
    """Record 40 blocks of 50 pairs; half of them are the other worker's too."""
    rng = np.random.default_rng(worker)
    new = 0
    with Ledger(path) as ledger:
        for block in range(40):
            number = np.arange(block * 50, block * 50 + 50) + (1000 if worker else 0)
            told = np.eye(3)[(number + worker) % 3]
            new += ledger.record(CROSS, [f"q{n // 10}" for n in number], [f"i{n}" for n in number], Graded(told))
            time.sleep(rng.uniform(0, 0.002))
    results.put((worker, new))


def test_two_processes_write_at_once(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=write_half, args=(path, worker, results)) for worker in (0, 1)]
    for worker in workers:  # neither finds a file: both make it
        worker.start()
    new = dict(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert sum(new.values()) == 3000
    with Ledger(path) as ledger:
        frame = ledger.verdicts()
    assert frame.height == 3000 and frame.select("query_id", "item_id").n_unique() == 3000
    number = frame["item_id"].str.slice(1).cast(pl.Int64).to_numpy()
    grade = frame["grade"].to_numpy()
    of_first, of_second = number % 3 == grade, (number + 1) % 3 == grade
    assert (of_first | of_second).all() and (of_first.sum(), of_second.sum()) == (new[0], new[1])
    assert of_first[number < 1000].all() and of_second[number >= 2000].all()


def test_threads_share_one_ledger(path: Path) -> None:
    with Ledger(path) as ledger:

        def work(thread: int) -> int:
            new = 0
            for block in range(20):
                items = [f"i{number}" for number in range(block * 10, block * 10 + 10)]
                new += ledger.record(CROSS, ["q"] * 10, items, Graded(np.eye(3)[[thread % 3] * 10]))
                assert ledger.known(CROSS, ["q"] * 10, items).all()
                assert ledger.verdicts(CROSS).height >= block * 10
            return new

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(work, range(6))) == 200 == ledger.count()


def filled(ledger: Ledger, n: int = 400, seed: int = 3) -> dict[Judge, pl.DataFrame]:
    """Three judges on overlapping pairs; what each of them said."""
    rng = np.random.default_rng(seed)
    said = {}
    for judge, share in zip(JUDGES, (0.9, 0.5, 0.3), strict=True):
        number = rng.permutation(n)[: int(share * n)]
        told = rows_of(rng, len(number)) if judge != ANNA else np.eye(3)[rng.integers(0, 3, len(number))]
        cost = rng.uniform(0, 0.01, len(number))
        reasons = [f"because {row}" if row % 3 else None for row in number]
        queries, items = [f"q{row % 17}" for row in number], [f"i{row}" for row in number]
        ledger.record(judge, queries, items, Graded(told, cost, reasons), source="review" if judge == ANNA else "grade")
        said[judge] = pl.DataFrame(
            {"query_id": queries, "item_id": items, "grade": decide(told), "mean": told @ [0, 1, 2], "cost": cost}
        )
    return said


def test_an_export_is_the_table(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motherlode.grading.ledger_export.ROWS", 64)  # many batches
    with Ledger(path) as ledger:
        filled(ledger)
        whole = ledger.verdicts()
        assert ledger.export(tmp_path / "all.parquet") == whole.height == 680
        assert pl.read_parquet(tmp_path / "all.parquet").equals(whole)
        assert ledger.export(tmp_path / "one.parquet", ANNA, source="review") == 120
        assert pl.read_parquet(tmp_path / "one.parquet").equals(whole.filter(pl.col("grader") == "person/anna"))
        assert ledger.export(tmp_path / "none.parquet", ANNA, source="grade") == 0
        assert pl.read_parquet(tmp_path / "none.parquet").schema == whole.schema


def test_a_table_of_judgements(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "judgements.parquet"
    with Ledger(path) as ledger:
        said = filled(ledger)
        assert ledger.export_judgements(out, CROSS) == 360
        made = pl.read_parquet(out)
        label = Judge("label/homedepot", "1", "1-aa")
        ledger.record(label, ["q"], ["i"], Graded(np.array([[0, 1.0, 0]])))
        kinds = []
        for judge in (ANNA, label):
            ledger.export_judgements(out, judge)
            kinds.append(pl.read_parquet(out)["source"].unique().to_list())
        confidence = ledger.verdicts(CROSS).select(pl.max_horizontal("p0", "p1", "p2"))
    assert kinds == [["human"], ["homedepot"]]
    assert made.columns == JUDGEMENTS.names and set(made["source"]) == {"grader"}
    assert set(made["grader"]) == {"cross-encoder@a1"} and set(made["rubric"]) == {"1-aa"}
    np.testing.assert_allclose(made["confidence"], confidence.to_series(), rtol=1e-6)
    keys = ["query_id", "item_id", "grade"]
    assert made.select(keys).sort(keys).equals(said[CROSS].select(keys).sort(keys))


def test_the_report_counts_what_was_said(path: Path) -> None:
    with Ledger(path) as ledger:
        said = filled(ledger)
        gone = said[ANNA].row(0, named=True)
        assert ledger.withdraw(ANNA, gone["query_id"], gone["item_id"])
        said[ANNA] = said[ANNA][1:]
        told = report(ledger)
    assert [one.judge for one in told.judges] == list(JUDGES)
    for one in told.judges:
        frame = said[one.judge]
        assert one.verdicts == frame.height and one.withdrawn == (one.judge == ANNA)
        assert one.grades == tuple((frame["grade"] == grade).sum() for grade in (0, 1, 2))
        assert one.cost == pytest.approx(frame["cost"].sum()) and one.first <= one.last
        assert one.mean_grade == pytest.approx(frame["mean"].mean())
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    told.print(console)
    console.file.close()
    text = console.export_text()
    assert "cross-encoder@a2" in text and f"{told.drift[0].mean_shift:+.3f}" in text


def test_agreement_and_drift_are_those_of_sklearn(path: Path) -> None:
    from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix

    with Ledger(path) as ledger:
        said = filled(ledger)
        told = report(ledger)
    assert [(one.first, one.second) for one in told.drift] == [(CROSS, CROSS_2)]
    assert [(one.first, one.second) for one in told.agreement] == [(CROSS, ANNA), (CROSS_2, ANNA)]
    compared = {(one.first, one.second): one for one in [*told.agreement, *told.drift]}
    for first, second in combinations(JUDGES, 2):
        both = said[first].join(said[second], on=["query_id", "item_id"])
        one, a, b = compared[first, second], both["grade"].to_numpy(), both["grade_right"].to_numpy()
        assert one.shared == both.height > 20
        assert one.quadratic_kappa == pytest.approx(cohen_kappa_score(a, b, weights="quadratic"))
        assert one.changed == pytest.approx(1 - accuracy_score(a, b))
        assert one.within_1 == pytest.approx((abs(a.astype(int) - b) <= 1).mean())
        assert one.confusion == confusion_matrix(a, b).tolist()
        assert one.mean_shift == pytest.approx((both["mean_right"] - both["mean"]).mean())


def test_files_that_are_no_ledger(path: Path, tmp_path: Path) -> None:
    path.write_text("query_id,item_id\n" * 100)
    with pytest.raises(InputError, match="is no ledger or is damaged"):
        Ledger(path)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE verdicts (a)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(InputError, match=r"other\.sqlite is a database of another program"):
        Ledger(other)
    assert other.read_bytes() == before and not Path(f"{other}-wal").exists()
    with pytest.raises(InputError, match="cannot be used"):
        Ledger(tmp_path)


def test_a_ledger_of_a_newer_motherlode(path: Path) -> None:
    Ledger(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {ledger_file.VERSION + 1}")
    connection.close()
    with pytest.raises(InputError, match="upgrade motherlode"):
        Ledger(path)


def test_a_damaged_ledger_says_so(path: Path) -> None:
    with Ledger(path) as ledger:
        filled(ledger, 3000)
    content = bytearray(path.read_bytes())
    content[8192:-4096] = b"\xff" * (len(content) - 8192 - 4096)
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"), Ledger(path) as ledger:
        ledger.verdicts()


def test_a_locked_ledger_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Ledger(path).close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(ledger_file, "PATIENCE", 0.05)
    with Ledger(path) as ledger:
        assert ledger.count() == 0  # reading goes on
        with pytest.raises(InputError, match="end that process"):
            ledger.record(CROSS, ["q"], ["1"], Graded(np.array([[1.0, 0, 0]])))
        holder.execute("COMMIT")
        assert ledger.record(CROSS, ["q"], ["1"], Graded(np.array([[1.0, 0, 0]]))) == 1
    holder.close()


def test_a_claim_keeps_others_out_until_it_ends(path: Path) -> None:
    queries, items = ["q"] * 6, list("123456")
    with Ledger(path) as one, Ledger(path) as two:
        first, second = Claims(one, CROSS), Claims(two, CROSS)
        assert first.take(queries[:4], items[:4]).all()
        assert second.take(queries, items).tolist() == [False] * 4 + [True] * 2
        with Claims(two, CROSS_2) as other:
            assert other.take(queries, items).all()  # another version pays for itself
        one.record(CROSS, ["q"], ["1"], Graded(np.array([[1.0, 0, 0]])))
        assert first.take(["q"], ["6"]).tolist() == [False]  # gives up its block for one that is the second's
        assert second.take(queries, items).tolist() == [False] + [True] * 5
        second.close()
        assert first.take(queries, items).tolist() == [False] + [True] * 5
        first.close()
        for table in ("claims", "workers"):
            assert one.connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_the_claims_of_the_dead_fall(path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with Ledger(path) as ledger, Claims(ledger, CROSS) as claims:
        with ledger.writing() as connection:
            number = ledger.number(CROSS)
            for worker, host, process, until in (
                (101, claims._host, ended.pid, time.time() + 99),  # gone from this machine
                (102, "elsewhere", os.getpid(), time.time() - 1),  # not heard of any more
                (103, "elsewhere", ended.pid, time.time() + 99),  # at work on another machine
                (104, claims._host, os.getpid(), time.time() + 99),  # at work on this one
            ):
                connection.execute("INSERT INTO workers VALUES (?, ?, ?, ?)", (worker, host, process, until))
                connection.execute("INSERT INTO claims VALUES (?, 'q', ?, ?)", (number, str(worker), worker))
        assert claims.take(["q"] * 4, ["101", "102", "103", "104"]).tolist() == [True, True, False, False]


def test_a_worker_stays_alive_while_it_grades(path: Path) -> None:
    with (
        Ledger(path) as one,
        Ledger(path) as two,
        Claims(one, CROSS, lease=0.2) as first,
        Claims(two, CROSS) as second,
    ):
        assert first.take(["q"], ["1"]).all()
        time.sleep(0.8)  # four leases in one block
        assert not second.take(["q"], ["1"]).any()
