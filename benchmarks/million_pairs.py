"""A million pairs through the cross-encoder, killed once on the way: memory, verdicts, and what the job itself costs.

Pairs are Home Depot's queries with titles drawn at random; the grader is a trained one's folder. The job runs in a
process of its own, is killed with SIGKILL once a third is done, and is started again. The job's throughput over the
bare model's is the CPU time inside the grader over that of the whole job. Memory is the resident size of the process,
sampled every 20 seconds; it should not grow with the pairs graded.

    MOTHERLODE_DATA=... python benchmarks/million_pairs.py GRADER_FOLDER [PAIRS]
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from common import RUNS, home_depot, write
from motherlode.grading.cross_encoder import CrossEncoderGrader
from motherlode.grading.grader import Graded, Judge, Pair
from motherlode.grading.job import grade
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.tables.tables import Tables

KILL_AT = 0.33  # of the pairs
EVERY = 20.0  # seconds between samples


class Timed:
    """A grader that knows how much CPU time was spent in it."""

    def __init__(self, grader: CrossEncoderGrader) -> None:
        self.grader, self.seconds, self.pairs, self.block = grader, 0.0, 0, grader.block

    @property
    def judge(self) -> Judge:
        return self.grader.judge

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        began = time.process_time()
        found = self.grader.grade(pairs)
        self.seconds += time.process_time() - began
        self.pairs += len(pairs)
        return found


def job(folder: Path, tables: Path, grader: Path, count: int) -> None:
    """The job itself, in the process that is killed; prints what it cost."""
    held = Tables(tables)
    queries = held.frame("queries", ["query_id"])["query_id"]
    items = held.frame("catalogue", ["item_id"])["item_id"]
    rng = np.random.default_rng(0)
    drawn = np.unique(rng.integers(0, len(queries) * len(items), int(count * 1.01)))
    drawn = rng.permutation(drawn)[:count]
    asked = Timed(CrossEncoderGrader(grader))
    began = time.process_time()
    with Ledger(folder / "ledger.sqlite") as ledger:
        done = grade(queries[drawn // len(items)], items[drawn % len(items)], PairTexts(held), asked, ledger)
    spent = time.process_time() - began
    facts = {"graded": done.graded, "known": done.known, "unanswered": done.unanswered}
    print(json.dumps({**facts, "cpu": spent, "inside": asked.seconds, "pairs": asked.pairs}), flush=True)


def watched(arguments: list[str], folder: Path, kill_after: int | None) -> tuple[list[float], dict[str, Any] | None]:
    """Run the job; resident megabytes over time, and what it printed (nothing when killed)."""
    process = subprocess.Popen([sys.executable, __file__, "--job", *arguments], stdout=subprocess.PIPE, text=True)
    memory, sizes = psutil.Process(process.pid), []
    while process.poll() is None:
        try:
            process.wait(EVERY)
        except subprocess.TimeoutExpired:
            sizes.append(memory.memory_info().rss / 2**20)
            if kill_after is not None and _count(folder) >= kill_after:
                process.send_signal(signal.SIGKILL)
    printed = process.stdout.read() if process.stdout else ""
    return sizes, json.loads(printed) if printed else None


def _count(folder: Path) -> int:
    if not (folder / "ledger.sqlite").exists():
        return 0
    with Ledger(folder / "ledger.sqlite") as ledger:
        return ledger.count()


def main(grader: Path, count: int) -> None:
    workspace, _ = home_depot()
    folder = RUNS / f"million_pairs_{count}"
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [str(folder), str(workspace / "tables"), str(grader), str(count)]
    before, nothing = watched(arguments, folder, int(count * KILL_AT))
    assert nothing is None, "the job ended before it could be killed"
    kept = _count(folder)
    after, done = watched(arguments, folder, None)
    assert done is not None
    with Ledger(folder / "ledger.sqlite") as ledger:
        verdicts = ledger.verdicts()
    write(
        "million_pairs",
        {
            "pairs": count,
            "layers": CrossEncoderGrader(grader).model.config.num_hidden_layers,
            "verdicts when killed": kept,
            "verdicts at the end": len(verdicts),
            "distinct pairs": verdicts.select("query_id", "item_id").n_unique(),
            "second run": {key: done[key] for key in ("known", "graded", "unanswered")},
            "resident MB, first to last of the second run": [round(size) for size in _thinned(after)],
            "peak resident MB": round(max(before + after)),
            "pairs per cpu second, bare model": round(done["pairs"] / done["inside"], 1),
            "pairs per cpu second, whole job": round(done["pairs"] / done["cpu"], 1),
            "throughput of the job over the bare model's": round(done["inside"] / done["cpu"], 4),
        },
    )


def _thinned(sizes: list[float], most: int = 12) -> list[float]:
    return [sizes[at] for at in np.linspace(0, len(sizes) - 1, min(most, len(sizes))).astype(int)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        ledger_folder, tables_folder, model, pairs = sys.argv[2:]
        job(Path(ledger_folder), Path(tables_folder), Path(model), int(pairs))
    elif len(sys.argv) in (2, 3):
        main(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) == 3 else 1_000_000)
    else:
        sys.exit(__doc__)
