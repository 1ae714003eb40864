"""Taxonomy siblings as negatives: the node next door."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged
from motherlode.index.dense import DenseIndex
from motherlode.mining.miner import Mined, positives_of


@dataclass(frozen=True)
class TaxonomyMiner:
    """Items of the nodes that share a parent with a known positive's node, drawn uniformly without replacement.

    Left out are the nodes that hold a known positive themselves. An item of the first level has the root as parent.
    Source: TB-HNS (arXiv 2511.00694): sibling nodes one level up, minus overlap with positives.

    Attributes:
        paths: taxonomy of every item, root first; None or empty where unknown.
        seed: of the draw.
    """

    paths: Sequence[Sequence[str] | None]
    seed: int = 0
    name: str = "taxonomy siblings"

    def mine(self, queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, n: int) -> Mined:
        """See `Miner.mine`; scores are inner products. Raises InputError where no item has a taxonomy."""
        if len(self.paths) != len(items):
            raise InputError(
                f"There are {len(self.paths)} taxonomy paths and {len(items)} item vectors: give one each."
            )
        nodes: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for row, path in enumerate(self.paths):
            if path:
                nodes[tuple(path)].append(row)
        if not nodes:
            raise InputError("No item of the catalogue has a taxonomy: siblings cannot be mined.")
        children: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
        for node in nodes:
            children[node[:-1]].append(node)
        rng = np.random.default_rng([self.seed, 0x7A1])
        rows = np.full((len(queries), n), -1, dtype=np.int64)
        indptr, positives = positives_of(known)
        siblings = np.zeros(len(queries), dtype=np.int64)
        for query in range(len(queries)):
            own = {tuple(self.paths[row] or ()) for row in positives[indptr[query] : indptr[query + 1]].tolist()} - {()}
            others = sorted({child for node in own for child in children[node[:-1]]} - own)
            found = np.concatenate([np.zeros(0, np.int64), *(nodes[node] for node in others)]).astype(np.int64)
            siblings[query] = len(found)
            chosen = rng.choice(found, min(n, len(found)), replace=False)
            rows[query, : len(chosen)] = chosen
        starts = np.concatenate([[0], np.cumsum((rows >= 0).sum(axis=1))])
        scores = np.zeros(rows.shape, dtype=np.float32)
        scores[rows >= 0] = DenseIndex(items, {}, None).score(queries, starts, rows[rows >= 0])
        return Mined(rows, scores, {"siblings": float(siblings.mean()) if len(siblings) else 0.0})
