"""A judge of known accuracy for the generated shop: its truth, told wrongly at a stated rate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from motherlode.grading.grader import Graded, Judge, Pair
from motherlode.shop.truth import Truth
from motherlode.tables.hashing import hash_ids, uniform


class NoisyTruth:
    """The true grade with probability `accuracy`, else one of its neighbours; the same answer whenever asked."""

    block = 4_096

    def __init__(self, tables: Path, accuracy: float) -> None:
        self.truth, self.accuracy = Truth(tables), accuracy

    @property
    def judge(self) -> Judge:
        return Judge("noisy-truth", f"{self.accuracy:g}", "the shop's own")

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        import polars as pl

        queries, items = [pair.query_id for pair in pairs], [pair.item_id for pair in pairs]
        true = self.truth.grade(queries, items).astype(int)
        keys = pl.Series([f"{query}\t{item}" for query, item in zip(queries, items, strict=True)])
        draws = uniform(hash_ids(keys, 17, "wrong"))
        up = uniform(hash_ids(keys, 17, "up")) < 0.5
        wrong = np.where(true == 1, np.where(up, 2, 0), 1)
        said = np.where(draws < self.accuracy, true, wrong)
        sure = np.full((len(pairs), 3), (1 - self.accuracy) / 2)
        sure[np.arange(len(pairs)), said] = self.accuracy
        return Graded(sure / sure.sum(axis=1, keepdims=True))
