"""A small generated shop under a bag-of-words encoder, and graders that know its truth: shared by the mining tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import HashingVectorizer

from motherlode.grading.budget import BudgetSpent
from motherlode.grading.grader import Graded, Judge, Pair
from motherlode.mining.ground import Ground
from motherlode.shop.generate import write
from motherlode.shop.truth import Truth
from motherlode.tables.tables import Tables

ITEMS, QUERIES = 400, 30


def words(texts: Sequence[str], width: int = 24) -> np.ndarray:
    """Unit vectors float32 [n, width] of hashed words."""
    made = HashingVectorizer(n_features=width, alternate_sign=True, norm=None).transform(texts).toarray()
    made[:, 0] += 0.5  # none is zero
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def shop(folder: Path) -> Tables:
    """The shop in `folder`, without planted faults; made where it is not there."""
    if not (folder / "catalogue.parquet").exists():
        write(folder, items=ITEMS, queries=QUERIES, engagement=False, label_errors=0, false_negatives=0)
    return Tables(folder)


def ground(folder: Path, **changed: object) -> Ground:
    """A third of the judgements are the originals, a third is held out, the rest nobody knows of."""
    tables = shop(folder)
    queries, items = tables.frame("queries"), tables.frame("catalogue")
    judged = tables.frame("judgements").with_row_index("row")
    given = {
        "query_ids": queries["query_id"],
        "item_ids": items["item_id"],
        "queries": words(queries["text"].to_list()),
        "items": words(items["title"].to_list()),
        "weights": "w1",
        "originals": judged.filter(pl.col("row") % 3 == 1).drop("row"),
        "held_out": judged.filter(pl.col("row") % 3 == 0).drop("row"),
    }
    return Ground(**(given | changed))


@dataclass
class TruthGrader:
    """Gives the true grade of every pair, except where it is told to fail.

    Attributes:
        dies_at: kill the process when asked for this block (from 0).
        silent: give no answer on items whose number ends in 7.
        money: answers before the budget is spent.
    """

    folder: Path
    block: int = 64
    dies_at: int | None = None
    silent: bool = False
    money: int | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    blocks: int = 0
    judge: Judge = field(default_factory=lambda: Judge("truth", "1", "r1"))

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        if self.blocks == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.blocks += 1
        grades = Truth(self.folder).grade([pair.query_id for pair in pairs], [pair.item_id for pair in pairs])
        probabilities = np.full((len(pairs), 3), 0.1)
        probabilities[np.arange(len(pairs)), grades] = 0.8
        if self.silent:
            probabilities[[pair.item_id.endswith("7") for pair in pairs]] = np.nan
        if self.money is not None and len(self.asked) + len(pairs) > self.money:
            probabilities[self.money - len(self.asked) :] = np.nan
            self.asked += [(pair.query_id, pair.item_id) for pair in pairs[: self.money - len(self.asked)]]
            raise BudgetSpent("the money is spent", Graded(probabilities))
        self.asked += [(pair.query_id, pair.item_id) for pair in pairs]
        return Graded(probabilities, np.full(len(pairs), 0.25))
