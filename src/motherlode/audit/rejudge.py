"""The stronger judge, and the people who decide between it and the label; all three verdicts stay in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.grading.grader import Graded, Grader, Judge, Pair, decide
from motherlode.grading.job import GradeReport, grade
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.tables.hashing import hash_ids, mix, uniform

PERSON = "person/"


class Adjudicator(Protocol):
    """Someone who decides between two verdicts without knowing whose they are."""

    @property
    def judge(self) -> Judge:
        """Who this is in the ledger: name "person/NAME"."""

    def adjudicate(
        self, pairs: Sequence[Pair], first: NDArray[np.int8], second: NDArray[np.int8]
    ) -> NDArray[np.integer]:
        """The grade of each pair, int [n]; -1 for no decision. `first` and `second` are the two earlier verdicts,
        in an order drawn for each pair."""


def rejudge(
    doubted: pl.DataFrame, texts: PairTexts, judge: Grader, ledger: Ledger, source: str
) -> tuple[pl.DataFrame, GradeReport]:
    """Put the labels on record, then have the stronger judge grade every doubted pair that it has not graded yet.

    Returns the pairs with `verdict` (int8, null without an answer), `verdict_source` and `reason`, and the job's
    report. A label from S is the verdict of the judge "label/S", with all its weight on one grade.
    """
    for (label_source,), labels in doubted.group_by("label_source", maintain_order=True):
        given = Judge(f"label/{label_source}", "1", judge.judge.rubric)
        one_hot = np.eye(3)[labels["label"].to_numpy()]
        ledger.record(given, labels["query_id"], labels["item_id"], Graded(one_hot), source=source)
    report = grade(doubted["query_id"], doubted["item_id"], texts, judge, ledger, source=source)
    found = ledger.lookup(judge.judge, doubted["query_id"], doubted["item_id"])
    verdict = decide(found.probabilities)
    frame = doubted.with_columns(
        verdict=pl.Series(verdict, dtype=pl.Int8).set(pl.Series(verdict < 0), None),
        verdict_source=pl.lit(str(judge.judge)),
        reason=pl.Series(found.reasons, dtype=pl.String),
        certainty=pl.Series(np.nan_to_num(found.probabilities.max(axis=1, initial=0.0))),
    )
    return frame, report


def discrepancies(rejudged: pl.DataFrame) -> pl.DataFrame:
    """What people are to decide: the pairs on which judge and label differ, the most doubtful first.

    Columns query_id, item_id, label, label_source, verdict, verdict_source, reason, priority; priority is the distance
    of the two grades, then the judge's certainty: what would move the metrics most, most surely.
    """
    distance = (pl.col("verdict") - pl.col("label")).abs()
    return (
        rejudged.filter(pl.col("verdict") != pl.col("label"))
        .with_columns(priority=distance.cast(pl.Float64) + pl.col("certainty"))
        .sort("priority", "query_id", "item_id", descending=[True, False, False])
        .select(
            "query_id",
            "item_id",
            "label",
            "label_source",
            "verdict",
            "verdict_source",
            "reason",
            "priority",
        )
    )


def adjudicate(
    queue: pl.DataFrame, texts: PairTexts, adjudicator: Adjudicator, ledger: Ledger, source: str, seed: int
) -> int:
    """Have one person decide what they have not decided yet; the number of new verdicts in the ledger.

    Which of the two verdicts comes first is drawn by a hash of the pair, so place tells nothing.
    """
    left = queue.filter(
        ~pl.Series(ledger.known(adjudicator.judge, queue["query_id"], queue["item_id"]), dtype=pl.Boolean)
    )
    if left.is_empty():
        return 0
    swapped = uniform(mix(hash_ids(left["query_id"], seed, "order"), hash_ids(left["item_id"], seed, "order"))) < 0.5
    label, verdict = left["label"].to_numpy(), left["verdict"].to_numpy()
    decided = np.asarray(
        adjudicator.adjudicate(
            texts.pairs(left["query_id"], left["item_id"]),
            np.where(swapped, verdict, label),
            np.where(swapped, label, verdict),
        )
    )
    one_hot = np.full((len(decided), 3), np.nan)
    one_hot[decided >= 0] = np.eye(3)[decided[decided >= 0]]
    return ledger.record(adjudicator.judge, left["query_id"], left["item_id"], Graded(one_hot), source=source)


def decisions(queue: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """What people made of the queue: its rows with `people` (how many judged it), `decided` (int8) and `decider`.

    decided is the grade of the majority, null without a verdict or on a tie; decider names those who chose it. A
    person has one vote, the newest rubric's, and verdicts of any source count: a person judges a pair once.
    """
    votes: dict[str, NDArray[np.int8]] = {}
    for judge in ledger.judges():
        if judge.name.startswith(PERSON):
            given = decide(ledger.lookup(judge, queue["query_id"], queue["item_id"]).probabilities)
            votes[judge.name] = np.where(given >= 0, given, votes.get(judge.name, given))
    names = sorted(votes)
    cast = np.stack([votes[name] for name in names]) if names else np.zeros((0, queue.height), dtype=np.int8)
    counts = np.stack([(cast == grade).sum(axis=0) for grade in range(3)])
    most = counts.max(axis=0)
    settled = (most > 0) & ((counts == most).sum(axis=0) == 1)
    chosen = counts.argmax(axis=0)
    deciders = [
        ", ".join(name for name, grade in zip(names, cast[:, row], strict=True) if grade == chosen[row])
        for row in range(queue.height)
    ]
    return queue.with_columns(
        people=pl.Series(counts.sum(axis=0), dtype=pl.Int64),
        decided=pl.Series(chosen, dtype=pl.Int8).set(pl.Series(~settled, dtype=pl.Boolean), None),
        decider=pl.Series(deciders, dtype=pl.String).set(pl.Series(~settled, dtype=pl.Boolean), None),
    )
