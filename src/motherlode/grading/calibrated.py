"""A grader whose probabilities can be believed."""

from collections.abc import Sequence

from motherlode.atomic import fingerprint
from motherlode.grading.calibration import Calibration
from motherlode.grading.grader import Graded, Grader, Judge, Pair


class Calibrated:
    """A grader with a calibration on top; its version changes with either."""

    def __init__(self, grader: Grader, calibration: Calibration) -> None:
        self.grader, self.calibration = grader, calibration

    @property
    def judge(self) -> Judge:
        """The grader's own name and rubric, a version of its own."""
        own = self.grader.judge
        return Judge(own.name, fingerprint(own.version, self.calibration.fingerprint), own.rubric)

    @property
    def block(self) -> int:
        """The grader's own."""
        return self.grader.block

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        """The grader's answers, calibrated; cost and reasons as they are."""
        found = self.grader.grade(pairs)
        return Graded(self.calibration.apply(found.probabilities), found.cost, found.reasons)
