"""Ten million verdicts in one ledger: rate of recording, look-ups cold and warm, file size, export, report.

Two versions of a grader (80 % and 20 %, on shared pairs) and a person's two hundred verdicts; queries in random order,
fifty items each, as jobs over many queries record them. Cold: the file's pages are dropped from the system's cache
and the connection is new. Verdicts are drawn at random (simulated).

    python benchmarks/ledger.py [verdicts]
"""

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common import RUNS, write
from motherlode.grading.grader import Graded, Judge
from motherlode.grading.ledger import Ledger
from motherlode.grading.ledger_report import report

OLD, NEW, PERSON = Judge("grader", "1", "1-a"), Judge("grader", "2", "1-a"), Judge("person/anna", "1", "1-a")
ITEMS = 1_000_000
PER_QUERY = 50
BLOCK = 4096
WANTED = 10_000
REPEATS = 40


def pairs(rows: np.ndarray) -> tuple[list[str], list[str]]:
    """The ids of these pairs; rows that follow each other are of one query."""
    query, place = rows // PER_QUERY, rows % PER_QUERY
    item = (query * 7919 + place * 104_729) % ITEMS
    return [f"query-{one:07d}" for one in query.tolist()], [f"B{one:09d}" for one in item.tolist()]


def fill(ledger: Ledger, judge: Judge, rows: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Record these rows block by block; seconds in `record` alone."""
    wall = processor = 0.0
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        ids = pairs(block)
        graded = Graded(rng.dirichlet([1.0, 1.0, 1.0], len(block)), np.full(len(block), 1e-5))
        began, cpu = time.perf_counter(), time.process_time()
        ledger.record(judge, *ids, graded, source="grade:benchmark")
        wall, processor = wall + time.perf_counter() - began, processor + time.process_time() - cpu
        if start % (BLOCK * 250) == 0:
            print(f"{judge}: {start:,} of {len(rows):,}", file=sys.stderr, flush=True)
    return {
        "verdicts": len(rows),
        "per_second": round(len(rows) / wall),
        "cpu_us_each": round(1e6 * processor / len(rows), 2),
    }


def look_up(path: Path, choose: Callable[[], np.ndarray]) -> dict[str, Any]:
    """Time of `lookup` on 10,000 pairs: p50 and p99, cold and warm; the share of them that was known."""
    found: dict[str, Any] = {}
    for name in ("cold", "warm"):
        seconds, processor, known = [], [], []
        ledger = Ledger(path)
        for _ in range(REPEATS):
            ids = pairs(choose())
            if name == "cold":
                ledger.close()
                drop(path)
                ledger = Ledger(path)
            began, cpu = time.perf_counter(), time.process_time()
            answered = ledger.lookup(OLD, *ids).answered
            seconds.append(time.perf_counter() - began)
            processor.append(time.process_time() - cpu)
            known.append(answered.mean())
        ledger.close()
        p50, p99 = np.percentile(seconds, [50, 99])
        found[name] = {
            "p50_ms": round(1e3 * p50, 1),
            "p99_ms": round(1e3 * p99, 1),
            "cpu_p50_ms": round(1e3 * float(np.median(processor)), 1),
        }
    return {**found, "share_known": round(float(np.mean(known)), 3)}


def drop(path: Path) -> None:
    """Have the system forget the file's pages."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds by the clock and of the processor, and megabytes by which the process's peak grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.perf_counter(), time.process_time()
    work()
    cpu = time.process_time() - cpu
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    wall = time.perf_counter() - began
    return {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "peak_growth_mb": round(grown / 1024)}


def main(verdicts: int) -> None:
    rng = np.random.default_rng(0)
    queries = verdicts * 4 // 5 // PER_QUERY
    RUNS.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="ledger-", dir=RUNS))
    path = folder / "ledger.sqlite"
    rows = (rng.permutation(queries)[:, None] * PER_QUERY + np.arange(PER_QUERY)).ravel()
    with Ledger(path) as ledger:
        recording = {
            "first_version": fill(ledger, OLD, rows, rng),
            "second_version": fill(ledger, NEW, rows[: verdicts // 5], rng),
            "person": fill(ledger, PERSON, rows[:200], rng),
        }
    size = path.stat().st_size
    looking = {
        # half of the pairs asked for are not there
        "random_pairs": look_up(path, lambda: rng.integers(0, 2 * queries * PER_QUERY, WANTED)),
        "whole_queries": look_up(
            path,
            lambda: (
                rng.choice(2 * queries, WANTED // PER_QUERY, replace=False)[:, None] * PER_QUERY + np.arange(PER_QUERY)
            ).ravel(),
        ),
    }
    with Ledger(path) as ledger:
        exported = timed(lambda: ledger.export(folder / "all.parquet"))
        exported["parquet_mb"] = round((folder / "all.parquet").stat().st_size / 2**20)
        found = {
            "verdicts": ledger.count(),
            "simulated": True,
            "recording": recording,
            "file_mb": round(size / 2**20),
            "bytes_each": round(size / verdicts, 1),
            "look_up_of_10000": looking,
            "export": exported,
            "verdicts_of_a_person": timed(lambda: ledger.verdicts(PERSON)),
            "report": timed(lambda: report(ledger)),
        }
    shutil.rmtree(folder)
    write("ledger", found)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
