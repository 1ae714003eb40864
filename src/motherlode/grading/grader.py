"""What a grader is: pairs in, probabilities over the grades 0, 1, 2 out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Judge:
    """Who gives a verdict: one key of the ledger.

    Attributes:
        name: "cross-encoder", "causal-lm", a model behind an endpoint, "person/anna" ...
        version: changes whenever the same pair could get another verdict (weights, prompt, settings).
        rubric: version of the written policy it judges by.
    """

    name: str
    version: str
    rubric: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Pair:
    """A query and an item as a judge reads them; the ids are the key, the texts what is read."""

    query_id: str
    item_id: str
    query: str
    item: str


@dataclass(frozen=True)
class Graded:
    """Answers to a block of pairs, in its order.

    Attributes:
        probabilities: float64 [n, 3] over the grades 0, 1, 2; a row of NaN where no answer was had.
        cost: money spent on each pair, float64 [n]; zero where nothing was paid.
        reasons: why, in words, where the grader says so.
    """

    probabilities: np.ndarray
    cost: np.ndarray = field(default_factory=lambda: np.zeros(0))
    reasons: Sequence[str | None] = ()

    def __post_init__(self) -> None:
        count = len(self.probabilities)
        if len(self.cost) == 0:
            object.__setattr__(self, "cost", np.zeros(count))
        if len(self.reasons) == 0:
            object.__setattr__(self, "reasons", [None] * count)

    @property
    def answered(self) -> np.ndarray:
        """Which pairs have an answer; bool [n]."""
        return np.isfinite(self.probabilities).all(axis=1)


class Grader(Protocol):
    """Anything that grades pairs: a cross-encoder, a language model, a cascade of them."""

    @property
    def judge(self) -> Judge:
        """Its name, version and rubric."""

    @property
    def block(self) -> int:
        """Pairs to hand over at once: what a kill may cost."""

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        """Grade them; a pair it cannot answer is a row of NaN, never a guess."""


def decide(probabilities: np.ndarray) -> np.ndarray:
    """The grade of each row: the most probable one, the lower of equals; int8 [n], -1 for a row of NaN."""
    known = np.isfinite(probabilities).all(axis=1)
    return np.where(known, np.argmax(np.where(known[:, None], probabilities, 0.0), axis=1), -1).astype(np.int8)
