"""What a round found: how wrong a naive miner would have been, verdicts bought, grades by rank."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.grading.job import GradeReport
from motherlode.mining.plan import Plan

DECILES = 10


@dataclass(frozen=True)
class RoundReport:
    """Counts are of neighbours (query, item) unless said otherwise; lists by decile go from the nearest tenth on.

    Attributes:
        weights: fingerprint of the encoder.
        judge: name@version of the grader; rubric: the policy it judged by.
        search: kind, items, k, recall and seconds of the search.
        queries: queries mined.
        neighbours: found in all.
        judged: among them with an original judgement.
        open: among them neither judged originally nor held out.
        asked: verdicts the plan asked for.
        bought: of those, verdicts now on record; remembered: verdicts on open neighbours from before.
        unanswered: asked, but without an answer.
        cost, seconds: of the last run of the job.
        stopped: why the job ended before its end; None where it did not.
        naive: neighbours whose grade is known and which a naive miner (top k minus known positives) takes as negatives.
        false_negatives: of those, with grade 1 or 2; false_negatives_2: with grade 2.
        false_negative_rate: false_negatives / naive; None where naive is 0. Under a budget the verdicts are no random
            sample of the neighbours, unless they were bought at random.
        naive_by_decile, false_by_decile: the same by rank.
        grades_by_decile: verdicts on open neighbours by rank, [10][3] over the grades 0, 1, 2.
        mined: pairs kept, over the grades 0, 1, 2: hard negatives, then hard positives.
    """

    weights: str
    judge: str
    rubric: str
    search: dict[str, Any]
    queries: int
    neighbours: int
    judged: int
    open: int
    asked: int
    bought: int
    remembered: int
    unanswered: int
    cost: float
    seconds: float
    stopped: str | None
    naive: int
    false_negatives: int
    false_negatives_2: int
    false_negative_rate: float | None
    naive_by_decile: list[int]
    false_by_decile: list[int]
    grades_by_decile: list[list[int]]
    mined: list[int]

    def to_json(self) -> dict[str, Any]:
        """For `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> RoundReport:
        """From what `to_json` gave, and perhaps more."""
        return cls(**{field.name: kept[field.name] for field in fields(cls)})

    def __str__(self) -> str:
        rate = "unknown" if self.false_negative_rate is None else f"{self.false_negative_rate:.1%}"
        parts = [
            f"{self.neighbours:,} neighbours of {self.queries:,} queries",
            f"{self.bought:,} verdicts bought and {self.remembered:,} remembered of {self.open:,} open pairs",
            f"naive false negatives {rate}",
            f"mined {self.mined[0]:,} hard negatives, {self.mined[1] + self.mined[2]:,} hard positives",
        ]
        return ", ".join(parts + ([f"stopped: {self.stopped}"] if self.stopped else []))


def report(
    weights: str,
    plan: Plan,
    known: NDArray[np.int8],
    grades: NDArray[np.int8],
    kept: NDArray[np.bool_],
    job: GradeReport,
) -> RoundReport:
    """Count what a round found.

    Args:
        weights: fingerprint of the encoder.
        plan: the neighbours [Q, k] and what was asked.
        known: original grades int8 [Q, k], -1 where not judged.
        grades: verdicts int8 [Q, k] on open neighbours, -1 elsewhere.
        kept: bool [Q, k], what the rule kept.
        job: what the grading job did.
    """
    width = plan.rows.shape[1]
    decile = np.broadcast_to(np.arange(width) * DECILES // width, plan.rows.shape)
    graded = grades >= 0
    naive = graded | (known == 0)  # a known positive is what it spares; the rest it cannot tell apart
    wrong = graded & (grades > 0)
    count = int(naive.sum())
    asked = len(plan.queries)
    return RoundReport(
        weights=weights,
        judge=str(job.judge),
        rubric=job.judge.rubric,
        search=plan.facts,
        queries=len(plan.rows),
        neighbours=int((plan.rows >= 0).sum()),
        judged=int((known >= 0).sum()),
        open=int(plan.open.sum()),
        asked=asked,
        bought=asked - job.unanswered - job.left,
        remembered=plan.remembered,
        unanswered=job.unanswered,
        cost=job.cost,
        seconds=job.seconds,
        stopped=job.stopped,
        naive=count,
        false_negatives=int(wrong.sum()),
        false_negatives_2=int((grades == 2).sum()),
        false_negative_rate=float(wrong.sum() / count) if count else None,
        naive_by_decile=np.bincount(decile[naive], minlength=DECILES).tolist(),
        false_by_decile=np.bincount(decile[wrong], minlength=DECILES).tolist(),
        grades_by_decile=np.stack(
            [np.bincount(decile[grades == grade], minlength=DECILES) for grade in (0, 1, 2)], axis=1
        ).tolist(),
        mined=np.bincount(grades[kept], minlength=3).tolist(),
    )
