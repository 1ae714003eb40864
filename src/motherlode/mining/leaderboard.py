"""One board for all miners: how many of their negatives are none, how hard they are, what they cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.evaluation.judged import Judged
from motherlode.index.dense import DenseIndex
from motherlode.mining.miner import Mined, Miner
from motherlode.mining.regraded_miner import Grades


@dataclass(frozen=True)
class Standing:
    """How a miner did.

    Attributes:
        name: of the miner.
        mined: negatives found; filled: their share of the n a query that were wanted.
        graded: share of the mined whose true grade is known.
        false_negatives: share of these with grade 1 or 2; None where none is graded.
        false_negatives_2: share with grade 2.
        hardness: mean inner product of query and negative.
        seconds: wall-clock time of the miner.
        facts: what the miner says of itself.
    """

    name: str
    mined: int
    filled: float
    graded: float
    false_negatives: float | None
    false_negatives_2: float | None
    hardness: float | None
    seconds: float
    facts: Mapping[str, float]


def leaderboard(
    miners: Sequence[Miner],
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    known: Judged,
    n: int,
    truth: Grades,
) -> list[tuple[Standing, Mined]]:
    """Let every miner mine n negatives a query and judge them: in the order of the miners, with what they mined.

    Args:
        miners: what to compare.
        queries: unit vectors [Q, d].
        items: unit vectors [N, d].
        known: the judgements that miners may know, rows as in the vectors.
        n: negatives wanted for each query.
        truth: grades int8 of pairs (query rows, item rows), -1 where unknown: the generated shop's truth, or a
            grader's verdicts.
    """
    board = []
    for miner in miners:
        began = time.monotonic()
        mined = miner.mine(queries, items, known, n)
        seconds = time.monotonic() - began
        board.append((standing(miner.name, mined, queries, items, truth, seconds), mined))
    return board


def standing(
    name: str,
    mined: Mined,
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    truth: Grades,
    seconds: float,
) -> Standing:
    """Judge what one miner mined; see `leaderboard`."""
    query, column = np.nonzero(mined.items >= 0)
    rows = mined.items[query, column]
    grades = truth(query, rows)
    graded = int((grades >= 0).sum())
    indptr = np.concatenate([[0], np.cumsum((mined.items >= 0).sum(axis=1))])
    scores = DenseIndex(items, {}, None).score(queries, indptr, rows)
    return Standing(
        name=name,
        mined=len(rows),
        filled=len(rows) / max(mined.items.size, 1),
        graded=graded / max(len(rows), 1),
        false_negatives=float((grades > 0).sum() / graded) if graded else None,
        false_negatives_2=float((grades == 2).sum() / graded) if graded else None,
        hardness=float(scores.mean()) if len(rows) else None,
        seconds=seconds,
        facts=mined.facts,
    )
