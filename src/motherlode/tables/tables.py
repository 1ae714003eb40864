"""A folder of tables: what every stage reads and every data set reader writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from motherlode.atomic import file_fingerprint, read_json, replacing, write_json
from motherlode.errors import InputError, MissingError
from motherlode.tables.schema import SCHEMAS

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """A parquet file that a stage wrote, in memory. Raises InputError where it is damaged."""
    import polars as pl

    try:
        return pl.read_parquet(path, columns=columns)
    except pl.exceptions.ComputeError as error:
        raise InputError(f"{path} is damaged ({error}): remove it, and run the stage that writes it.") from error


class Tables:
    """The tables in `folder`, each one parquet file with the schema of `tables.schema`."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not self.has("catalogue"):
            raise MissingError(
                f"{self.folder} holds no catalogue.parquet: make the tables first with `motherlode data`."
            )

    def path(self, kind: str) -> Path:
        """Where the table of this kind lies."""
        if kind not in SCHEMAS:
            raise InputError(f"There is no table '{kind}': the tables are {', '.join(SCHEMAS)}.")
        return self.folder / f"{kind}.parquet"

    def has(self, kind: str) -> bool:
        """Whether the folder holds this table."""
        return self.path(kind).exists()

    def frame(self, kind: str, columns: list[str] | None = None) -> pl.DataFrame:
        """The whole table (or some columns) in memory."""
        self._require(kind)
        return parquet(self.path(kind), columns)

    def batches(self, kind: str, columns: list[str] | None = None, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """The table in record batches of at most `rows`, for what may be larger than memory."""
        import pyarrow.parquet as pq

        self._require(kind)
        with pq.ParquetFile(self.path(kind)) as file:
            yield from file.iter_batches(batch_size=rows, columns=columns)

    def count(self, kind: str) -> int:
        """Number of rows, read from the file's footer."""
        import pyarrow.parquet as pq

        self._require(kind)
        return int(pq.read_metadata(self.path(kind)).num_rows)

    @property
    def source(self) -> dict[str, Any]:
        """Name, licence, origin and whatever else the reader wrote in source.json."""
        path = self.folder / "source.json"
        return dict(read_json(path)) if path.exists() else {}

    def fingerprint(self) -> str:
        """Hash of the tables' bytes."""
        from motherlode.atomic import fingerprint

        return fingerprint({kind: file_fingerprint(self.path(kind)) for kind in SCHEMAS if self.has(kind)})

    def _require(self, kind: str) -> None:
        if not self.has(kind):
            raise MissingError(f"{self.folder} holds no {kind}.parquet, which this step needs.")


class TableWriter(AbstractContextManager["TableWriter"]):
    """Write one table batch by batch; the file appears under its name only when the block ends without error."""

    def __init__(self, folder: Path | str, kind: str) -> None:
        self.path = Path(folder) / f"{kind}.parquet"
        self.schema = SCHEMAS[kind]
        self.rows = 0

    def __enter__(self) -> TableWriter:
        import pyarrow.parquet as pq

        self._replacing = replacing(self.path)
        temporary = self._replacing.__enter__()
        self._writer = pq.ParquetWriter(temporary, self.schema, compression="zstd")
        return self

    def write(self, columns: pa.RecordBatch | pa.Table | dict[str, Iterable[Any]]) -> None:
        """Append rows; columns left out are null, unknown columns are an error."""
        import pyarrow as pa

        if isinstance(columns, dict):
            columns = pa.table({name: _array(values, self.schema, name) for name, values in columns.items()})
        elif isinstance(columns, pa.RecordBatch):
            columns = pa.Table.from_batches([columns])
        unknown = set(columns.column_names) - set(self.schema.names)
        if unknown:
            raise InputError(f"{self.path.name} has no column {', '.join(sorted(unknown))}.")
        full = [
            columns[field.name].cast(field.type)
            if field.name in columns.column_names
            else pa.nulls(columns.num_rows, field.type)
            for field in self.schema
        ]
        self._writer.write_table(pa.Table.from_arrays(full, schema=self.schema))
        self.rows += columns.num_rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._replacing.__exit__(kind, error, trace)


def write_source(folder: Path | str, **facts: Any) -> None:
    """Record where the tables came from: name, licence, origin, counts."""
    write_json(Path(folder) / "source.json", facts)


def _array(values: Iterable[Any], schema: pa.Schema, name: str) -> pa.Array:
    import pyarrow as pa

    kind = schema.field(name).type if name in schema.names else None
    return pa.array(values, type=kind) if not isinstance(values, (pa.Array, pa.ChunkedArray)) else values
