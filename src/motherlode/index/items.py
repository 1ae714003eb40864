"""What a hit says about its item: a memory-mapped Arrow file, read a row at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from motherlode.errors import InputError
from motherlode.tables.schema import CATALOGUE
from motherlode.tables.tables import Tables

COLUMNS = ["item_id", "title", "brand", "taxonomy"]
BATCH = 65_536  # rows of each record batch but the last: a row number alone says where its record lies


class Items:
    """item_id, title, brand and taxonomy of every row, without holding a million Python strings."""

    def __init__(self, path: Path | str) -> None:
        import pyarrow as pa

        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path} is missing or damaged: build the index again.") from error

    def __len__(self) -> int:
        return sum(batch.num_rows for batch in self._batches)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """The record of one row: column name -> value."""
        batch = self._batches[row // BATCH]
        return {name: batch.column(name)[row % BATCH].as_py() for name in COLUMNS}

    @staticmethod
    def write(tables: Tables, path: Path | str) -> None:
        """Write these columns of the catalogue, row by row as there."""
        import pyarrow as pa

        schema = pa.schema([CATALOGUE.field(name) for name in COLUMNS])
        with pa.ipc.new_file(str(path), schema) as writer:
            for batch in tables.batches("catalogue", COLUMNS, BATCH):
                writer.write_batch(batch.select(COLUMNS).cast(schema))


def documents(tables: Tables) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Row and texts of every item, field by field, for the lexical leg."""
    row = 0
    for batch in tables.batches("catalogue", ["title", "brand", "taxonomy", "attributes", "description"]):
        for item in batch.to_pylist():
            attributes = (attribute["value"] for attribute in item["attributes"] or ())
            joined = {"taxonomy": _joined(item["taxonomy"] or ()), "attributes": _joined(attributes)}
            yield row, item | joined
            row += 1


def _joined(texts: Any) -> str:
    return " ".join(filter(None, texts))
