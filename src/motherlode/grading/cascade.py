"""A cascade: the cheap grader answers where it is sure, the rest go to the next, the last may be people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import fingerprint
from motherlode.errors import SettingError
from motherlode.grading.calibration import Calibration
from motherlode.grading.cascade_tuning import accepts
from motherlode.grading.grader import Graded, Grader, Judge, Pair


@dataclass(frozen=True)
class CascadeStage:
    """One judge of a cascade.

    Attributes:
        grader: None stands for people, who can only be last.
        cost: of asking it about one pair, in the unit of the whole cascade: CPU seconds, money.
        calibration: of its probabilities; thresholds are compared to what comes out.
        thresholds: it answers grade g itself where the greatest probability is that of g and reaches thresholds[g];
            the last grader without people behind it answers all that is left.
    """

    grader: Grader | None
    cost: float = 0.0
    calibration: Calibration = field(default_factory=Calibration)
    thresholds: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class CascadeGraded(Graded):
    """Graded, and for each pair which stage answered (-1: none; that of people: theirs to answer) and the work.

    `cost` is the money all stages asked have spent on the pair, `work` the sum of their stated costs. A reason names
    the judge who answered.
    """

    stages: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    work: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


class Cascade:
    """Graders in order of cost, each with its thresholds; a `Grader` itself.

    A pair its stage cannot answer goes on to the next; where the last grader fails, it stays unanswered, to be tried
    again. With people last, pairs no grader is sure of are rows of NaN and are listed in `for_people`. Raises
    SettingError for people elsewhere than last, for no grader, or for graders that judge by different rubrics.
    """

    def __init__(self, stages: Sequence[CascadeStage]) -> None:
        self.stages = list(stages)
        graders = [stage.grader for stage in self.stages if stage.grader is not None]
        if not graders or any(stage.grader is None for stage in self.stages[:-1]):
            raise SettingError("A cascade has graders, and people (None) as its last stage or not at all.")
        rubrics = {grader.judge.rubric for grader in graders}
        if len(rubrics) > 1:
            raise SettingError(f"The stages judge by different rubrics ({', '.join(sorted(rubrics))}): give them one.")
        self._graders = graders
        self.asked = np.zeros(len(self.stages), dtype=np.int64)
        self.answered = np.zeros(len(self.stages), dtype=np.int64)
        self.for_people: dict[tuple[str, str], None] = {}  # (query id, item id) in order, each once

    @property
    def judge(self) -> Judge:
        """Its version changes with any judge, calibration or threshold in it."""
        parts = [
            [str(stage.grader.judge) if stage.grader else "people", stage.calibration.fingerprint, stage.thresholds]
            for stage in self.stages
        ]
        return Judge("cascade", fingerprint(parts), self._graders[0].judge.rubric)

    @property
    def block(self) -> int:
        """The greatest block of its graders, so that later ones still get many pairs at once."""
        return max(grader.block for grader in self._graders)

    def grade(self, pairs: Sequence[Pair]) -> CascadeGraded:
        """Grade them; see the class for what is left unanswered."""
        count = len(pairs)
        probabilities = np.full((count, 3), np.nan)
        money, work = np.zeros(count), np.zeros(count)
        answering = np.full(count, -1, dtype=np.int8)
        reasons: list[str | None] = [None] * count
        left = np.arange(count)
        for at, stage in enumerate(self.stages):
            if not len(left):
                break
            rest = [pairs[row] for row in left.tolist()]
            self.asked[at] += len(left)
            work[left] += stage.cost
            if stage.grader is None:
                answering[left] = at
                self.for_people.update(dict.fromkeys((pair.query_id, pair.item_id) for pair in rest))
                break
            found, spent, said = _ask(stage.grader, rest)
            money[left] += spent
            found = stage.calibration.apply(found)
            known = np.isfinite(found).all(axis=1)
            taken = known if stage is self.stages[-1] else accepts(found, stage.thresholds)
            probabilities[left[taken]] = found[taken]
            answering[left[taken]] = at
            self.answered[at] += int(taken.sum())
            for place in np.flatnonzero(taken):
                name = str(stage.grader.judge)
                reasons[left[place]] = f"{name}: {said[place]}" if said[place] else name
            # a failure of the last grader is no work for people: it is tried again
            left = left[~taken & known] if stage.grader is self._graders[-1] else left[~taken]
        return CascadeGraded(probabilities, money, reasons, answering, work)

    def summary(self) -> dict[str, Any]:
        """How many pairs each stage was asked and answered so far, and the work of it."""
        return {
            "stages": [
                {
                    "judge": str(stage.grader.judge) if stage.grader else "people",
                    "asked": int(asked),
                    "answered": int(answered),
                    "cost": float(asked * stage.cost),
                }
                for stage, asked, answered in zip(self.stages, self.asked, self.answered, strict=True)
            ],
            "for_people": len(self.for_people),
        }


def _ask(grader: Grader, pairs: Sequence[Pair]) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str | None]]:
    """Its answers, block by block."""
    parts = [grader.grade(pairs[begin : begin + grader.block]) for begin in range(0, len(pairs), grader.block)]
    return (
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.cost for part in parts]),
        [reason for part in parts for reason in part.reasons],
    )
