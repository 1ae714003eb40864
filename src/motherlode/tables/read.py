"""Read a table from parquet, CSV, TSV, JSONL or TREC qrels, in batches with the types of the schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from motherlode.errors import InputError
from motherlode.tables.convert import convert, filled
from motherlode.tables.grades import GradeMap
from motherlode.tables.raw import WHOLE_ROW, Fault, Raw, raw_batches
from motherlode.tables.schema import SCHEMAS

FORMS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


@dataclass(frozen=True)
class Batch:
    """Some rows of one file with the schema's columns; null where a value is absent or could not be read."""

    kind: str
    file: Path
    frame: pl.DataFrame
    rows: np.ndarray  # int64[n]: row (parquet) or line (text) in the file, from 1
    faults: list[Fault]
    original: Callable[[int], dict[str, Any]]
    found: Mapping[str, str]  # the file's columns: their names there -> what they are called here

    @property
    def unused(self) -> list[str]:
        """The file's columns that the table has no place for."""
        return [name for name, ours in self.found.items() if ours not in self.frame.columns]

    def place(self, position: int) -> str:
        """Where the row at this position stands: file and row or line."""
        unit = "row" if form(self.file) == "parquet" else "line"
        return f"{self.file}, {unit} {self.rows[position]}"

    def value(self, field: str, position: int) -> str:
        """What the row at this position has in a field, as found, shortened; empty where nothing."""
        theirs = next((name for name, ours in self.found.items() if ours == field), "")
        value = self.original(position).get(theirs)
        text = "" if value is None else str(value).encode(errors="backslashreplace").decode().strip()
        return text if len(text) <= 60 else f"{text[:57]}..."


def form(path: Path) -> str:
    """The form of a file by its name, `.gz` aside; what has no known ending is read as TREC qrels."""
    name = path.with_suffix("") if path.suffix == ".gz" else path
    return FORMS.get(name.suffix, "qrels")


def read(
    kind: str,
    path: Path | str,
    columns: Mapping[str, str] | None = None,
    grades: GradeMap | None = None,
    separator: str = " > ",
) -> Iterator[Batch]:
    """Batches of the table `kind`, in file order, larger than memory or not.

    `columns` maps the file's names to the schema's ({"product_id": "item_id"}); a key `queries.id` holds for
    that table alone. `grades` says how values become grades, `separator` parts the levels of a taxonomy given
    as text. Rows that cannot be read are in the batch all the same, named by its `faults`. Raises InputError
    where a required column is absent or the file as a whole cannot be read.
    """
    path = Path(path)
    renames = dict(columns or {})
    grades = grades or GradeMap()
    for number, raw in enumerate(raw_batches(path, form(path))):
        ours = {renames.get(f"{kind}.{name}", renames.get(name, name)): name for name in raw.columns}
        if number == 0:
            _require(kind, path, ours)
        try:
            batch = _batch(kind, path, raw, ours, grades, separator)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        yield batch


def _require(kind: str, path: Path, ours: Mapping[str, str]) -> None:
    absent = [field.name for field in SCHEMAS[kind] if not field.nullable and field.name not in ours]
    if absent:
        raise InputError(
            f"{path} has no column {absent[0]}, which the {kind} table needs; it has "
            f'{", ".join(ours.values())}: rename one with columns={{"<its name>": "{absent[0]}"}}.'
        )


def _batch(kind: str, path: Path, raw: Raw, ours: Mapping[str, str], grades: GradeMap, separator: str) -> Batch:
    names = {name: our for our, name in ours.items()}
    named = [replace(fault, field=names.get(fault.field, fault.field)) for fault in raw.faults]
    faults = [fault for fault in named if fault.field in (*SCHEMAS[kind].names, WHOLE_ROW)]
    frame: dict[str, pl.Series] = {}
    for field in SCHEMAS[kind]:
        column = raw.columns.get(ours.get(field.name, ""))
        wrong: list[Fault] = []
        if column is None:
            frame[field.name] = pl.Series(pl.from_arrow(pa.nulls(len(raw.rows), field.type)))
        elif field.name == "grade":
            frame[field.name], wrong = _graded(column, grades)
        else:
            frame[field.name], wrong = convert(column, field, separator)
        faults += wrong
    return Batch(kind, path, pl.DataFrame(frame), raw.rows, faults, raw.original, names)


def _graded(column: pa.Array, grades: GradeMap) -> tuple[pl.Series, list[Fault]]:
    found = filled(pl.Series("grade", pl.from_arrow(column)).cast(pl.String))
    grade = grades(found)
    at = np.flatnonzero((found.is_not_null() & grade.is_null()).to_numpy())
    known = "a number" if grades.cuts else ", ".join(["0", "1", "2", *grades.labels])
    return grade, [Fault("unknown grade", "grade", at, f"write {known}, or give a grade map")] if len(at) else []
