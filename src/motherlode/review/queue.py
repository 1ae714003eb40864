"""The queue: which pairs people are to look at, in which order, and what was said about them before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from motherlode.atomic import fingerprint
from motherlode.errors import InputError, MissingError
from motherlode.tables.schema import GRADES

COLUMNS: dict[str, type[pl.DataType]] = {
    "query_id": pl.String,
    "item_id": pl.String,
    "label": pl.Int8,  # the grade under audit
    "label_source": pl.String,
    "verdict": pl.Int8,  # the stronger judge's grade
    "verdict_source": pl.String,
    "reason": pl.String,  # the stronger judge's
    "priority": pl.Float64,  # higher comes earlier
}
READERS: dict[str, Callable[..., pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".csv": lambda path: pl.read_csv(path, infer_schema=False),
    ".jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
}


@dataclass(frozen=True)
class Earlier:
    """What was said about a pair before a person looked: who, which grade, why."""

    role: str  # "label" or "judge"
    who: str | None
    grade: int
    reason: str | None


@dataclass(frozen=True)
class Entry:
    """One pair of the queue; `key` is made from its ids, so it outlives a restart and a new order."""

    key: str
    query_id: str
    item_id: str
    earlier: tuple[Earlier, ...]


def read_queue(path: Path | str) -> pl.DataFrame:
    """Read a queue from .parquet, .csv or .jsonl, in the columns of COLUMNS; what is absent is null.

    Raises MissingError without the file; InputError for another form of file, a column of ids that is absent, an
    empty id, a grade other than 0, 1, 2, or a pair that comes twice, with the file, the row (from 1) and the field.
    """
    path = Path(path)
    if path.suffix not in READERS:
        raise InputError(f"{path} is no table of pairs: give a file that ends in {', '.join(READERS)}.")
    if not path.exists():
        raise MissingError(
            f"There is no file {path}: name one with query_id and item_id, or make a queue with `motherlode audit`."
        )
    try:
        frame = READERS[path.suffix](path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from error
    return check_queue(frame, str(path))


def check_queue(frame: pl.DataFrame, name: str = "The queue") -> pl.DataFrame:
    """The columns of COLUMNS, typed and checked; `name` stands in errors. Raises as `read_queue`."""
    absent = [column for column in ("query_id", "item_id") if column not in frame.columns]
    if absent:
        raise InputError(f"{name} has no column {absent[0]}: pairs are given by query_id and item_id.")
    columns = []
    for column, kind in COLUMNS.items():
        if column not in frame.columns:
            columns.append(pl.Series(column, [None] * frame.height, dtype=kind))
            continue
        given = frame[column]
        typed = given.cast(kind, strict=False)
        lost = typed.is_null() & given.is_not_null()
        if column in ("label", "verdict"):
            lost |= ~typed.is_in(GRADES).fill_null(True)
        if lost.any():
            row = lost.arg_true()[0]
            what = "a grade 0, 1 or 2" if column in ("label", "verdict") else "a number"
            raise InputError(f"{name}, row {row + 1}, {column}: {given[row]!r} is not {what}; mend or empty it.")
        columns.append(typed)
    queue = pl.DataFrame(columns)
    for column in ("query_id", "item_id"):
        empty = (queue[column].fill_null("") == "").arg_true()
        if len(empty):
            raise InputError(f"{name}, row {empty[0] + 1}: {column} is empty; give every pair both ids.")
    again = (~queue.select(first=pl.struct("query_id", "item_id").is_first_distinct())["first"]).arg_true()
    if len(again):
        row = queue.row(again[0], named=True)
        pair = f"({row['query_id']}, {row['item_id']})"
        raise InputError(f"{name}, row {again[0] + 1}: the pair {pair} is there already; keep one row.")
    return queue


def entries(queue: pl.DataFrame) -> list[Entry]:
    """The queue's pairs, highest priority first, those without one last, equals in the order of their rows."""
    ordered = queue.sort("priority", descending=True, nulls_last=True, maintain_order=True)
    return [
        Entry(
            fingerprint(row["query_id"], row["item_id"]),
            row["query_id"],
            row["item_id"],
            tuple(
                Earlier(role, row[f"{column}_source"], row[column], row["reason"] if column == "verdict" else None)
                for role, column in (("label", "label"), ("judge", "verdict"))
                if row[column] is not None
            ),
        )
        for row in ordered.iter_rows(named=True)
    ]
