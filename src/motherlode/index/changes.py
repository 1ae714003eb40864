"""What is to change in an index: items to add or replace, items to drop, checked as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.index.items import BATCH, STORED
from motherlode.tables.schema import CATALOGUE

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCE = 1e-3  # of a vector's length
LONGEST_ID = 512  # characters


class Changes:
    """Changes by item id, the last word on an id winning; nothing is on disk before they are published."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._upserts: dict[str, tuple[dict[str, Any], NDArray[np.float32]]] = {}
        self._deletes: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._upserts) + len(self._deletes)

    def upsert(self, items: Sequence[Mapping[str, Any]], vectors: NDArray[np.float32]) -> None:
        """Records of the catalogue and their unit vectors [n, d]; all are taken or none. Raises InputError."""
        checked = checked_items(items)
        vectors = checked_vectors(vectors, len(checked), self._dimensions)
        for item, vector in zip(checked, vectors, strict=True):
            name = item["item_id"]
            self._deletes.pop(name, None)
            self._upserts.pop(name, None)  # so that it comes last, as a new item does
            self._upserts[name] = (item, vector)

    def delete(self, item_ids: Sequence[str]) -> None:
        """Drop these items; ids that are not there are no error."""
        for name in checked_ids(item_ids):
            self._upserts.pop(name, None)
            self._deletes[name] = None

    @property
    def touched(self) -> list[str]:
        """Every id that the published rows no longer speak for."""
        return [*self._upserts, *self._deletes]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Vectors of the upserts [n, d], in their order."""
        empty = np.zeros((0, self._dimensions), dtype=np.float32)
        return np.stack([vector for _, vector in self._upserts.values()]) if self._upserts else empty

    def column(self, name: str) -> list[Any]:
        """One field of the upserts, in their order."""
        return [item[name] for item, _ in self._upserts.values()]

    def batches(self, kind: str, columns: list[str] | None = None, rows: int = BATCH) -> Iterator[pa.RecordBatch]:
        """The upserts as an `items.Source`, in one batch however few `rows` are asked for."""
        assert kind == "catalogue" and rows
        yield self.batch() if columns is None else self.batch().select(columns)

    def batch(self) -> pa.RecordBatch:
        """Records of the upserts, in their order."""
        return as_batch([item for item, _ in self._upserts.values()])


def checked_ids(item_ids: Sequence[str]) -> list[str]:
    """The ids as they are. InputError where one is no text, is empty or is too long; an id is never a path."""
    if isinstance(item_ids, str):
        raise InputError("Give item ids as a list of texts, not as one text.")
    for number, name in enumerate(item_ids):
        if not isinstance(name, str) or not name or len(name) > LONGEST_ID:
            raise InputError(f"Item id {number} is {str(name)[:40]!r}: it must be a text of 1 to {LONGEST_ID} letters.")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"Item id {number} is {name[:40]!r}, which UTF-8 cannot hold: repair the text.") from None
    return list(item_ids)


def checked_items(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records with every stored column, None where left out. InputError for what the catalogue cannot hold."""
    checked_ids([item.get("item_id", "") for item in items])
    found = []
    for number, item in enumerate(items):
        unknown = sorted(set(item) - set(CATALOGUE.names))
        if unknown:
            raise InputError(f"Item {number} has a field '{unknown[0]}': the catalogue has none of that name.")
        if not isinstance(item.get("title"), str):
            raise InputError(f"Item {number} ('{item['item_id']}') has no title: give it one.")
        found.append({name: item.get(name) for name in STORED})
    as_batch(found)
    return found


def checked_vectors(vectors: NDArray[np.float32], count: int, dimensions: int) -> NDArray[np.float32]:
    """A float32 copy of unit vectors [count, dimensions]. InputError where they are not that."""
    vectors = np.array(vectors, dtype=np.float32)
    if vectors.shape != (count, dimensions):
        raise InputError(
            f"The vectors have the shape {list(vectors.shape)} for {count} items of {dimensions} dimensions: "
            "encode them with the encoder of the index."
        )
    wrong = ~(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= TOLERANCE)  # true for NaN too
    if wrong.any():
        raise InputError(f"The vector of item {int(np.argmax(wrong))} does not have length 1: normalise it first.")
    return vectors


def as_batch(items: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Records as one Arrow batch of the stored columns. InputError where a value has another type."""
    import pyarrow as pa

    schema = pa.schema([CATALOGUE.field(name) for name in STORED])
    arrays = []
    for field in schema:
        try:
            arrays.append(pa.array([item[field.name] for item in items], field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
            raise InputError(f"A value of '{field.name}' is not of the type {field.type}: {error}.") from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
