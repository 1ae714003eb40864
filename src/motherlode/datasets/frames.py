"""What the readers share: raw text as frames, attributes, writing a table."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from motherlode.errors import InputError
from motherlode.tables.raw import raw_batches


def text_frame(path: Path, form: str) -> pl.DataFrame:
    """A delimited file (`form` csv or tsv) as a frame of texts; InputError names the first wrong row."""
    parts = []
    for raw in raw_batches(path, form):
        for fault in raw.faults:
            line = raw.rows[fault.at[0]]
            raise InputError(f"{path}, line {line}, {fault.field}: {fault.kind}; {fault.advice}.")
        parts.append(pl.DataFrame({name: pl.from_arrow(column) for name, column in raw.columns.items()}))
    return pl.concat(parts)


def attributes(**columns: pl.Expr) -> pl.Expr:
    """List of (name, value) structs from columns, nulls left out; `_` in a name stands for a space."""
    pairs = [
        pl.struct(name=pl.lit(name.replace("_", " ")), value=value.cast(pl.String)) for name, value in columns.items()
    ]
    filled = pl.element().struct.field("value").is_not_null()
    return pl.concat_list(pairs).list.eval(pl.element().filter(filled))


def named(name: str, values: pl.Expr) -> pl.Expr:
    """List of (name, value) structs with one name from a column of lists."""
    return values.cast(pl.List(pl.String)).list.eval(pl.struct(name=pl.lit(name), value=pl.element()))


def write_table(out: Path, kind: str, frame: pl.DataFrame) -> None:
    """Write a frame as one table, values as found: the check after the reader gives them their types."""
    frame.write_parquet(out / f"{kind}.parquet")
