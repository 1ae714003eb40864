"""What a round mines: queries and items with their vectors, and what is known of their pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.atomic import fingerprint
from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged


@dataclass(frozen=True, eq=False)
class Ground:
    """Q training queries and N items under one encoder.

    Attributes:
        query_ids: of the Q queries, each once.
        item_ids: of the N items, each once.
        queries: unit vectors float32 [Q, d].
        items: unit vectors float32 [N, d], an array or a memory map.
        weights: fingerprint of the encoder (`encoders.fingerprint.weights_fingerprint`).
        originals: the training judgements (query_id, item_id, grade, and what else JUDGEMENTS has).
        held_out: judged pairs (query_id, item_id) of validation and test: never mined, since a test query may have
            training pairs too.
        among: the only item rows to mine; None: the whole catalogue.
        legs: item rows [Q, K] found by other legs, best first, by name: for the orders that look where
            legs disagree.

    Raises InputError where lengths do not fit or an id comes twice.
    """

    query_ids: pl.Series
    item_ids: pl.Series
    queries: NDArray[np.float32]
    items: NDArray[np.float32]
    weights: str
    originals: pl.DataFrame
    held_out: pl.DataFrame | None = None
    among: NDArray[np.int64] | None = None
    legs: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, ids, vectors in (("query", self.query_ids, self.queries), ("item", self.item_ids, self.items)):
            if len(ids) != len(vectors):
                raise InputError(
                    f"There are {len(ids)} {what} ids and {len(vectors)} {what} vectors: encode them again."
                )
            if (repeated := ids.is_duplicated()).any():
                raise InputError(f"The {what} id {ids.filter(repeated)[0]!r} comes twice: give each once.")
        for name, rows in self.legs.items():
            if rows.ndim != 2 or len(rows) != len(self.query_ids):
                raise InputError(f"The leg '{name}' has lists of shape {list(rows.shape)}, not one for each query.")

    @cached_property
    def known(self) -> Judged:
        """The original judgements by row; of several on one pair the highest, of unknown ids none."""
        highest = self.originals.group_by("query_id", "item_id").agg(pl.col("grade").max())
        return self._judged(highest)

    @cached_property
    def withheld(self) -> Judged:
        """The held-out pairs by row, all with grade 0: only where they are matters."""
        if self.held_out is None:
            return Judged.from_pairs([], [], [], len(self.query_ids))
        pairs = self.held_out.select("query_id", "item_id").unique()
        return self._judged(pairs.with_columns(pl.lit(0).alias("grade")))

    def fingerprint(self) -> str:
        """16 hex digits over all of it, the vectors' bytes too: the same weights read other texts otherwise."""
        held_out = [] if self.held_out is None else [self.held_out["query_id"], self.held_out["item_id"]]
        columns = [self.query_ids, self.item_ids, *(self.originals[name] for name in ("query_id", "item_id", "grade"))]
        arrays: list[NDArray[Any]] = [self.queries, self.items, *self.legs.values()]
        if self.among is not None:
            arrays.append(self.among)
        return fingerprint(
            self.weights,
            list(self.legs),
            [_ids_digest(column) for column in columns + held_out],
            [_digest(a) for a in arrays],
        )

    def _judged(self, frame: pl.DataFrame) -> Judged:
        queries = pl.DataFrame({"query_id": self.query_ids}).with_row_index("query_row")
        items = pl.DataFrame({"item_id": self.item_ids}).with_row_index("item_row")
        rows = frame.join(queries, on="query_id").join(items, on="item_id")
        return Judged.from_pairs(rows["query_row"], rows["item_row"], rows["grade"], len(self.query_ids))


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.blake2b(f"{array.shape}{array.dtype}".encode(), digest_size=8)
    for start in range(0, len(array), 16_384):  # a memory map is read in pieces
        digest.update(np.ascontiguousarray(array[start : start + 16_384]).tobytes())
    return digest.hexdigest()


def _ids_digest(column: pl.Series) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in range(0, len(column), 65_536):
        digest.update("\0".join(map(str, column[part : part + 65_536].to_list())).encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()
