"""What a grader raises when it cannot go on: what was paid for goes with it."""

from motherlode.errors import MotherlodeError
from motherlode.grading.grader import Graded


class Interrupted(MotherlodeError):
    """A grader had to stop inside a block; whoever asked records `graded` before passing the error on.

    Attributes:
        graded: answers to the whole block, a row of NaN for every pair that was not reached; None before any was asked.
    """

    def __init__(self, message: str, graded: Graded | None = None) -> None:
        super().__init__(message)
        self.graded = graded


class BudgetSpent(Interrupted):
    """The budget ended inside a block; a job records `graded` and stops cleanly.

    Attributes:
        answered: how many of its pairs have an answer.
    """

    graded: Graded

    def __init__(self, message: str, graded: Graded) -> None:
        super().__init__(message, graded)

    @property
    def answered(self) -> int:
        return int(self.graded.answered.sum())
