"""What a grader raises when it may spend no more: what was paid for goes with it."""

from motherlode.errors import MotherlodeError
from motherlode.grading.grader import Graded


class BudgetSpent(MotherlodeError):
    """The budget ended inside a block; a job records `graded` and stops cleanly.

    Attributes:
        graded: answers to the whole block, a row of NaN for every pair that was not reached.
        answered: how many of its pairs have an answer.
    """

    def __init__(self, message: str, graded: Graded) -> None:
        super().__init__(message)
        self.graded = graded

    @property
    def answered(self) -> int:
        return int(self.graded.answered.sum())
