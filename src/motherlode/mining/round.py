"""One round of mining: neighbours, verdicts on those not judged yet, the rule, and judgements to train on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.atomic import fingerprint, read_json, replacing, sweep, write_json
from motherlode.grading.grader import Graded, Grader, Judge, decide
from motherlode.grading.job import GradeReport, grade
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.mining import plan as plans
from motherlode.mining.ground import Ground
from motherlode.mining.mined import COLUMNS, merge, read_mined, write_mined
from motherlode.mining.plan import LOOK_UP, Plan, RoundSettings
from motherlode.mining.round_report import RoundReport, report
from motherlode.mining.selection import select

MINER = "neighbours"
SOURCE = "mining"  # of the verdicts, in the ledger


@dataclass(frozen=True)
class Round:
    """What a round left in its folder.

    Attributes:
        mined: the kept pairs (`mined.COLUMNS`), as in mined.parquet.
        judgements: all originals, the earlier mined pairs and these, as in judgements.parquet.
        report: counts and rates, as in round.json.
    """

    mined: pl.DataFrame
    judgements: pl.DataFrame
    report: RoundReport


def mine_round(
    ground: Ground,
    texts: PairTexts,
    grader: Grader,
    ledger: Ledger,
    folder: Path | str,
    settings: RoundSettings | None = None,
    earlier: tuple[pl.DataFrame, ...] = (),
) -> Round:
    """Mine one round into `folder`; run again, it goes on where it was, or reads back what it had finished.

    A pair is kept only with a verdict of this grader: a neighbour without one is never a negative. Where the grader's
    budget ends first, the round is made of the verdicts there are and says so (`report.stopped`); run again, it asks
    for the rest. Anything the round was made from being different, it starts anew; verdicts are never lost.

    Args:
        ground: queries, items, vectors and what is known of them.
        texts: of the pairs, as the grader reads them.
        grader: gives the verdicts.
        ledger: where the verdicts are kept.
        folder: of this round alone.
        settings: k, rule, budget.
        earlier: mined tables of the rounds before, which stay in the judgements.
    """
    settings, folder = settings or RoundSettings(), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    judge = grader.judge
    key = fingerprint(ground.fingerprint(), asdict(judge), asdict(settings))
    if (done := _finished(folder, key)) is not None:
        mined = read_mined(folder / "mined.parquet")
        return _written(ground, mined, earlier, done, folder, key)
    (folder / "round.json").unlink(missing_ok=True)
    plan = plans.load(folder / "plan.npz", key)
    if plan is None:
        plan = plans.make(ground, judge, ledger, settings, folder)
        plans.save(plan, folder / "plan.npz", key)
    queries, items = ground.query_ids[plan.queries], ground.item_ids[plan.items]
    job = grade(queries, items, texts, grader, ledger, source=SOURCE)
    return _finish(ground, plan, judge, ledger, job, folder, settings, earlier, key)


def _finish(
    ground: Ground,
    plan: Plan,
    judge: Judge,
    ledger: Ledger,
    job: GradeReport,
    folder: Path,
    settings: RoundSettings,
    earlier: tuple[pl.DataFrame, ...],
    key: str,
) -> Round:
    """From verdicts on record to the round's files."""
    grades, confidence = _verdicts(ground, plan, judge, ledger)
    kept = select(grades, settings.rule)
    mined = _table(ground, plan, kept, grades, confidence, judge)
    write_mined(mined, folder / "mined.parquet")
    known = ground.known.grades_of(plan.rows)
    return _written(ground, mined, earlier, report(ground.weights, plan, known, grades, kept, job), folder, key)


def _verdicts(ground: Ground, plan: Plan, judge: Judge, ledger: Ledger) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The judge's grades int8 [Q, k] of open neighbours, -1 without a verdict, and its confidence float32 [Q, k]."""
    grades = np.full(plan.rows.shape, -1, dtype=np.int8)
    confidence = np.full(plan.rows.shape, np.nan, dtype=np.float32)
    queries, columns = np.nonzero(plan.open)
    for start in range(0, len(queries), LOOK_UP):
        some = queries[start : start + LOOK_UP], columns[start : start + LOOK_UP]
        found: Graded = ledger.lookup(judge, ground.query_ids[some[0]], ground.item_ids[plan.rows[some]])
        grades[some] = decide(found.probabilities)
        confidence[some] = found.probabilities.max(axis=1)
    return grades, confidence


def _table(
    ground: Ground,
    plan: Plan,
    kept: NDArray[np.bool_],
    grades: NDArray[np.int8],
    confidence: NDArray[np.float32],
    judge: Judge,
) -> pl.DataFrame:
    """The kept neighbours, query by query, by rank."""
    queries, columns = np.nonzero(kept)
    return pl.DataFrame(
        {
            "query_id": ground.query_ids[queries],
            "item_id": ground.item_ids[plan.rows[kept]],
            "rank": columns + 1,
            "score": plan.scores[kept],
            "grade": grades[kept],
            "confidence": confidence[kept],
        }
    ).select(
        pl.lit({"miner": MINER, "weights": ground.weights, "judge": str(judge), "rubric": judge.rubric}[name]).alias(
            name
        )
        if name in ("miner", "weights", "judge", "rubric")
        else pl.col(name).cast(kind)
        for name, kind in COLUMNS.items()
    )


def _finished(folder: Path, key: str) -> RoundReport | None:
    """The report of the round, where it has been finished under this key."""
    path = folder / "round.json"
    if not path.exists():
        return None
    kept = read_json(path)
    if kept["key"] != key or kept["stopped"] is not None or not (folder / "mined.parquet").exists():
        return None
    return RoundReport.from_json(kept)


def _written(
    ground: Ground, mined: pl.DataFrame, earlier: tuple[pl.DataFrame, ...], made: RoundReport, folder: Path, key: str
) -> Round:
    judgements = merge(ground.originals, [*earlier, mined])
    with replacing(folder / "judgements.parquet") as temporary:
        judgements.write_parquet(temporary)
    write_json(folder / "round.json", {"key": key, **made.to_json()})  # last: the round is done where it is there
    return Round(mined, judgements, made)
