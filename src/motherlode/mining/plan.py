"""The plan of a round: the neighbours found, and which pairs are to be asked; kept, so that a kill changes neither."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import replacing
from motherlode.errors import SettingError
from motherlode.grading.grader import Judge
from motherlode.grading.ledger import Ledger
from motherlode.index.dense import DenseIndex
from motherlode.mining import budget
from motherlode.mining.ground import Ground
from motherlode.mining.neighbours import neighbours
from motherlode.mining.selection import Rule

LOOK_UP = 65_536  # pairs asked of the ledger at once


@dataclass(frozen=True)
class RoundSettings:
    """How a round mines.

    Attributes:
        k: neighbours of each query; the paper takes 100 to 200.
        rule: which graded neighbours are kept.
        verdicts: most verdicts to ask for; None: on every neighbour that is not judged yet.
        first: which to ask for first, see `budget.first`; only heeded where `verdicts` is set.
        seed: of the order among equals and of the clusters.
    """

    k: int = 100
    rule: Rule = field(default_factory=Rule)
    verdicts: int | None = None
    first: str = "mixed"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.verdicts is not None and self.verdicts < 0:
            raise SettingError(f"verdicts = {self.verdicts}: a budget is at least 0; leave it out for none.")
        if self.first not in budget.ORDERS:
            raise SettingError(f"first = {self.first!r} is not one of {', '.join(budget.ORDERS)}.")


@dataclass(frozen=True)
class Plan:
    """Neighbours rows and scores [Q, k], which are open, and the pairs to ask, in order.

    Attributes:
        open: bool [Q, k]; neighbours that are neither judged originally nor held out.
        queries: int64 [n], query row of each pair to ask.
        items: int64 [n], its item row.
        remembered: open neighbours on which the judge had a verdict before.
        facts: of the search, see `Neighbours`.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    open: NDArray[np.bool_]
    queries: NDArray[np.int64]
    items: NDArray[np.int64]
    remembered: int
    facts: dict[str, Any]


def make(ground: Ground, judge: Judge, ledger: Ledger, settings: RoundSettings, folder: Path) -> Plan:
    """Search the neighbours and settle which of them to ask the judge about: open, and not in the ledger."""
    found = neighbours(ground.queries, ground.items, settings.k, folder, ground.among)
    opened = (found.rows >= 0) & (ground.known.grades_of(found.rows) < 0) & (ground.withheld.grades_of(found.rows) < 0)
    queries, columns = np.nonzero(opened)
    items = found.rows[queries, columns]
    remembered = _known(ground, judge, ledger, queries, items)
    queries, columns, items = queries[~remembered], columns[~remembered], items[~remembered]
    if settings.verdicts is not None:
        kept = budget.first(
            settings.first, _offers(ground, settings, queries, items, columns, found.scores), settings.seed
        )
        kept = kept[: settings.verdicts]
        queries, items = queries[kept], items[kept]
    return Plan(found.rows, found.scores, opened, queries, items, int(remembered.sum()), found.facts)


def _known(
    ground: Ground, judge: Judge, ledger: Ledger, queries: NDArray[np.int64], items: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of these pairs the judge has answered before: bool [n]."""
    parts = [np.zeros(0, dtype=bool)]
    for start in range(0, len(queries), LOOK_UP):
        some = slice(start, start + LOOK_UP)
        parts.append(ledger.known(judge, ground.query_ids[queries[some]], ground.item_ids[items[some]]))
    return np.concatenate(parts)


def save(plan: Plan, path: Path, key: str) -> None:
    """Write the plan, whole or not at all, under the key of what it was made from."""
    from json import dumps

    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            rows=plan.rows,
            scores=plan.scores,
            open=plan.open,
            queries=plan.queries,
            items=plan.items,
            remembered=np.int64(plan.remembered),
            facts=np.array(dumps(plan.facts)),
            key=np.array(key),
        )


def load(path: Path, key: str) -> Plan | None:
    """The plan kept under this key; None where there is none, or one of something else."""
    from json import loads

    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as kept:
        if str(kept["key"]) != key:
            return None
        arrays = {name: kept[name] for name in ("rows", "scores", "open", "queries", "items")}
        return Plan(**arrays, remembered=int(kept["remembered"]), facts=loads(str(kept["facts"])))


def _offers(
    ground: Ground,
    settings: RoundSettings,
    queries: NDArray[np.int64],
    items: NDArray[np.int64],
    columns: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> budget.Offers:
    """The pairs with what their order looks at, and nothing that costs time beyond."""
    legs = [budget.leg_ranks(rows, queries, items) for rows in ground.legs.values()]
    probabilities = clusters = None
    if settings.first in ("uncertainty", "mixed"):
        index = DenseIndex(ground.items, {}, None)
        known = index.score(ground.queries, ground.known.indptr, ground.known.items)
        probabilities = budget.grades_by_score(known, ground.known.grades, scores[queries, columns])
    if settings.first in ("spread", "mixed"):
        clusters = _clusters(ground.items, items, settings.seed)
    return budget.Offers(queries, items, np.stack([columns + 1, *legs], axis=1), probabilities, clusters)


def _clusters(vectors: NDArray[np.float32], items: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Cluster of each offered item, of about sqrt(n) spherical k-means clusters over the n distinct ones: int64."""
    import faiss

    distinct, inverse = np.unique(items, return_inverse=True)
    if not len(distinct):
        return inverse.astype(np.int64)
    points = np.ascontiguousarray(vectors[distinct], dtype=np.float32)
    count = max(1, round(len(distinct) ** 0.5))
    means = faiss.Kmeans(points.shape[1], count, niter=10, spherical=True, seed=seed + 1, min_points_per_centroid=1)
    means.train(points)
    return means.index.search(points, 1)[1][:, 0][inverse].astype(np.int64)
