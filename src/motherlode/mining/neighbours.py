"""The k nearest items of every query: exact, or above some size by IVF-PQ, whose recall against exact is measured."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError, SettingError
from motherlode.index import dense
from motherlode.index.candidates import Candidates
from motherlode.index.dense import DenseIndex
from motherlode.progress import bar

BLOCK = 1_024  # queries searched at once: what the progress bar moves by
SAMPLE = 200  # queries on which recall is measured


@dataclass(frozen=True)
class Neighbours:
    """The nearest items of Q queries, best first; column r holds rank r + 1.

    Attributes:
        rows: int64 [Q, k], item rows; -1 pads where there are fewer than k items.
        scores: float32 [Q, k], inner products; 0 in pads.
        facts: kind (exact or ivf-pq), items searched, k, recall (recall@k against exact search), sample, seconds.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    facts: dict[str, Any]


def neighbours(
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    k: int,
    folder: Path | str,
    among: NDArray[np.int64] | None = None,
) -> Neighbours:
    """The k items of highest inner product for every query, smaller rows first among equals.

    Args:
        queries: unit vectors [Q, d].
        items: unit vectors [N, d], an array or a memory map.
        k: how many; the paper takes 100 to 200.
        folder: where an approximate index may lie while it is used; exact search writes nothing.
        among: the only rows of `items` to find, such as the unique items of the training data (the paper's choice);
            None: the whole catalogue.

    Raises SettingError for a k below 2, InputError for rows that are not there and for vectors that do not fit.
    """
    if k < 2:
        raise SettingError(f"k = {k}: mining needs at least 2 neighbours a query, one on each side of k/2.")
    began = time.monotonic()
    rows = None if among is None else _checked(among, len(items))
    pool = items if rows is None else items[rows]
    if len(pool) > dense.EXACT_ROWS:
        found, recall, sample = _approximate(queries, pool, k, Path(folder))
        kind = "ivf-pq"
    else:
        found, recall, sample, kind = exact(queries, pool, k), 1.0, len(queries), "exact"
    numbers = found.rows if rows is None else np.where(found.rows >= 0, rows[found.rows], -1)
    seconds = time.monotonic() - began
    facts = {"kind": kind, "items": len(pool), "k": k, "recall": recall, "sample": sample, "seconds": seconds}
    return Neighbours(numbers, found.scores, facts)


def exact(queries: NDArray[np.float32], items: NDArray[np.float32], k: int) -> Candidates:
    """The k best items [Q, k] of every query by exact search, in blocks of queries, as `DenseIndex` defines it."""
    return _blocks(DenseIndex(items, {"kind": "exact"}, None), queries, k)


def _approximate(
    queries: NDArray[np.float32], items: NDArray[np.float32], k: int, folder: Path
) -> tuple[Candidates, float, int]:
    """Candidates, their recall@k on an even sample of the queries, and its size."""
    folder.mkdir(parents=True, exist_ok=True)
    sample = np.unique(np.linspace(0, len(queries) - 1, min(len(queries), SAMPLE)).astype(np.int64))
    with tempfile.TemporaryDirectory(prefix=".neighbours.", suffix=".tmp", dir=folder) as temporary:
        index = DenseIndex.build(items, Path(temporary) / "dense", queries=queries[sample])
        found = _blocks(index, queries, k)
    true = exact(queries[sample], items, k).rows
    hits = sum(np.isin(a, b).sum() for a, b in zip(true, found.rows[sample], strict=True))
    return found, float(hits / true.size), len(sample)


def _blocks(index: DenseIndex, queries: NDArray[np.float32], k: int) -> Candidates:
    scores, rows = np.zeros((len(queries), k), np.float32), np.full((len(queries), k), -1, np.int64)
    with bar("searching neighbours", len(queries), "queries") as advance:
        for start in range(0, len(queries), BLOCK):
            some = slice(start, start + BLOCK)
            scores[some], rows[some] = index.search(queries[some], k)
            advance(len(rows[some]))
    return Candidates(scores, rows)


def _checked(among: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The rows, each once and rising, so that a smaller place is a smaller row."""
    rows = np.unique(np.asarray(among, dtype=np.int64))
    if not len(rows) or rows[0] < 0 or rows[-1] >= count:
        raise InputError(f"The rows to mine among must lie in 0..{count - 1}, and there must be some.")
    return rows
