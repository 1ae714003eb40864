"""Pairs as judges read them: texts fetched for a few thousand pairs at a time, whatever the catalogue's size."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.grading.grader import Pair
from motherlode.tables.tables import Tables
from motherlode.text.judged_item import judged_item

ROWS = 16_384  # of a batch in the mapped file


class PairTexts:
    """The texts of a shop's pairs by their ids: of a query its text, of an item its `judged_item`.

    On first use both tables are copied, uncompressed, to a nameless file in the system's temporary folder and mapped
    from there: memory holds 16 bytes an item and what the pairs at hand need.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def pairs(self, query_ids: Sequence[str] | pl.Series, item_ids: Sequence[str] | pl.Series) -> list[Pair]:
        """The pairs in the order given. Raises InputError for an id that the tables do not have."""
        queries, items = _series(query_ids), _series(item_ids)
        query_texts = self._queries.texts(queries, str)
        item_texts = self._items.texts(items, judged_item)
        return [
            Pair(query, item, query_texts[query], item_texts[item]) for query, item in zip(queries, items, strict=True)
        ]

    def require(self, query_ids: Sequence[str] | pl.Series, item_ids: Sequence[str] | pl.Series) -> None:
        """Raise InputError for the first id that the tables do not have: before a long job, not in its last hour."""
        self._queries.rows(_series(query_ids))
        self._items.rows(_series(item_ids))

    @cached_property
    def _queries(self) -> _Mapped:
        return _Mapped(self.tables, "queries", "query_id", ["text"])

    @cached_property
    def _items(self) -> _Mapped:
        return _Mapped(self.tables, "catalogue", "item_id", ["title", "taxonomy", "brand", "attributes", "description"])


class _Mapped:
    """Some columns of one table on disk, found by id."""

    def __init__(self, tables: Tables, kind: str, key: str, columns: list[str]) -> None:
        self.place, self.kind, self.key, self.columns = tables.path(kind), kind, key, columns
        with tempfile.TemporaryFile(prefix="motherlode-") as file:  # gone with the mapping, even after a kill
            batches = tables.batches(kind, [key, *columns], rows=ROWS)
            first = next(batches, None)
            if first is None:
                raise InputError(f"{self.place} holds no rows: make the tables again with some.")
            hashes = [_hash(first.column(key))]
            with pa.ipc.new_file(file, first.schema) as writer:
                writer.write_batch(first)
                for batch in batches:
                    writer.write_batch(batch)
                    hashes.append(_hash(batch.column(key)))
            file.flush()
            self._file = pa.ipc.open_file(pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
        self._starts = np.cumsum([0, *map(len, hashes)])
        joined = np.concatenate(hashes)
        self._rows = np.argsort(joined)
        self._hashes = joined[self._rows]

    def rows(self, ids: pl.Series) -> NDArray[np.int64]:
        """Row of every id. Raises InputError for one that is not there."""
        hashes = ids.hash(seed=0).to_numpy()
        place = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        self._refuse(ids, self._hashes[place] != hashes)
        return self._rows[place]

    def texts(self, ids: pl.Series, write: Callable[..., str]) -> dict[str, str]:
        """Each distinct id's text, written from its columns; only the batches that hold one are touched."""
        distinct = ids.unique()
        rows = np.sort(self.rows(distinct))
        batches = np.searchsorted(self._starts, rows, side="right") - 1
        found: dict[str, str] = {}
        for number in np.unique(batches).tolist():
            here = self._file.get_batch(number).take(pa.array(rows[batches == number] - self._starts[number]))
            columns = (here.column(name).to_pylist() for name in self.columns)
            found.update(zip(here.column(self.key).to_pylist(), map(write, *columns), strict=True))
        # ids are found by hash, and two may share one
        self._refuse(distinct, np.array([one not in found for one in distinct], dtype=bool))
        return found

    def _refuse(self, ids: pl.Series, unknown: NDArray[np.bool_]) -> None:
        if unknown.any():
            one = ids[int(np.flatnonzero(unknown)[0])]
            raise InputError(
                f"{self.place} has no {self.key} {one!r} ({unknown.sum():,} of {len(ids):,} ids are not there): "
                "leave these pairs out, or make the tables again with them."
            )


def _series(ids: Sequence[str] | pl.Series) -> pl.Series:
    return pl.Series(ids, dtype=pl.String)


def _hash(ids: pa.Array) -> NDArray[np.uint64]:
    """uint64[n], the same for equal ids within one process."""
    series = pl.from_arrow(ids)
    assert isinstance(series, pl.Series)
    return series.hash(seed=0).to_numpy()
