"""What a hit says about its item: a memory-mapped Arrow file, read a row at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.index.filters import keys_of, price_of
from motherlode.tables.schema import CATALOGUE

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ["item_id", "title", "brand", "taxonomy", "image"]  # what a hit says
STORED = [*COLUMNS, "attributes", "description"]  # what the index keeps, so that it can be built again from itself
BATCH = 65_536  # rows of each record batch but the last: a row number alone says where its record lies


class Source(Protocol):
    """Where catalogue rows come from: `Tables`, or an index that is built again."""

    def batches(self, kind: str, columns: list[str] | None = None, rows: int = BATCH) -> Iterator[pa.RecordBatch]: ...


class Items:
    """item_id, title, brand, taxonomy and image of every row, without holding a million Python strings."""

    def __init__(self, path: Path | str, added: Path | str | None = None) -> None:
        """The rows of one file, and those of another after them."""
        import pyarrow as pa

        self._parts: list[tuple[int, list[pa.RecordBatch]]] = []  # first row, and batches of `BATCH` rows
        self._said: list[list[list[pa.Array]]] = []  # `COLUMNS` of each batch of each part: what every hit asks for
        self._size = 0
        for file in (path,) if added is None else (path, added):
            try:
                reader = pa.ipc.open_file(pa.memory_map(str(file)))
                batches = [_whole(reader.get_batch(number)) for number in range(reader.num_record_batches)]
            except (pa.ArrowInvalid, OSError) as error:
                raise InputError(f"{file} is missing or damaged: build the index again.") from error
            self._parts.append((self._size, batches))
            self._said.append([[batch.column(name) for name in COLUMNS] for batch in batches])
            self._size += sum(batch.num_rows for batch in batches)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, row: int) -> dict[str, Any]:
        """What a hit says of one row: column name -> value."""
        part, number, place = self._place(row)
        item_id, title, brand, taxonomy, image = self._said[part][number]
        return {
            "item_id": item_id[place].as_py(),
            "title": title[place].as_py(),
            "brand": brand[place].as_py(),
            "taxonomy": taxonomy[place].as_py(),
            "image": image[place].as_py(),
        }

    def record(self, row: int, columns: Sequence[str] = STORED) -> dict[str, Any]:
        """The record of one row: column name -> value."""
        part, number, place = self._place(row)
        batch = self._parts[part][1][number]
        return {name: batch.column(name)[place].as_py() for name in columns}

    def _place(self, row: int) -> tuple[int, int, int]:
        """Part, batch of the part, and place in the batch, of a row."""
        part = 0 if len(self._parts) == 1 or row < self._parts[1][0] else 1
        return part, *divmod(row - self._parts[part][0], BATCH)

    def find(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Every row of these ids, rising."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted, found, start = pa.array(item_ids, pa.string()), [], 0
        for batch in self._all():
            held = pc.is_in(batch.column("item_id"), value_set=wanted)
            found.append(start + np.flatnonzero(held.to_numpy(zero_copy_only=False)))
            start += batch.num_rows
        return np.concatenate(found).astype(np.int64) if found else np.zeros(0, dtype=np.int64)

    def batches(self, kept: NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
        """The records of the rows where `kept` [N] says so, all stored columns."""
        import pyarrow as pa

        start = 0
        for batch in self._all():
            yield batch.filter(pa.array(kept[start : start + batch.num_rows]))
            start += batch.num_rows

    def _all(self) -> Iterator[pa.RecordBatch]:
        for _, batches in self._parts:
            yield from batches

    @staticmethod
    def write(tables: Source, path: Path | str) -> None:
        """Write these columns of the catalogue, row by row as there, in batches of `BATCH`."""
        import pyarrow as pa

        schema = pa.schema([CATALOGUE.field(name) for name in STORED])
        with pa.ipc.new_file(str(path), schema) as writer:
            held: list[pa.RecordBatch] = []
            for batch in tables.batches("catalogue", STORED, BATCH):
                held.append(batch.select(STORED).cast(schema))
                if sum(part.num_rows for part in held) >= BATCH:
                    held = _flush(writer, held, BATCH)
            _flush(writer, held, 1)


def _whole(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with an image column: indexes built before there was one have none."""
    import pyarrow as pa

    if "image" in batch.schema.names:
        return batch
    return batch.append_column(CATALOGUE.field("image"), pa.nulls(batch.num_rows, pa.string()))


def documents(tables: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row and fields of every item: its texts for the lexical leg, "keys" and "price" for filters, its whole "path"."""
    row = 0
    for batch in tables.batches("catalogue", STORED):
        for item in batch.to_pylist():
            attributes = (attribute["value"] for attribute in item["attributes"] or ())
            joined = {"taxonomy": _joined(item["taxonomy"] or ()), "attributes": _joined(attributes)}
            path = {"path": item["taxonomy"], "keys": keys_of(item), "price": price_of(item)}
            yield row, {**item, **joined, **path}
            row += 1


def titles_of(tables: Source) -> list[str]:
    """The title of every item, in row order."""
    return [title for batch in tables.batches("catalogue", ["title"]) for title in batch.column("title").to_pylist()]


def _flush(writer: pa.RecordBatchFileWriter, held: list[pa.RecordBatch], least: int) -> list[pa.RecordBatch]:
    """Write full batches while at least `least` rows are held; what is left is held on."""
    import pyarrow as pa

    table = pa.Table.from_batches(held).combine_chunks() if held else None
    start = 0
    while table is not None and table.num_rows - start >= least:
        for batch in table.slice(start, BATCH).combine_chunks().to_batches():
            writer.write_batch(batch)
        start += BATCH
    left = table.slice(start) if table is not None and start < table.num_rows else None
    return left.combine_chunks().to_batches() if left is not None else []


def _joined(texts: Any) -> str:
    return " ".join(filter(None, texts))
