"""UCI Online Retail: what a British gift wholesaler sold in a year, to the minute."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from motherlode.datasets.frames import write_table
from motherlode.datasets.source import DataSet

INFO = DataSet(
    name="online_retail",
    title="UCI Online Retail",
    licence="CC BY 4.0",
    publisher="https://archive.ics.uci.edu/dataset/352/online+retail",
    layouts={"online_retail_uci": ("transactions.parquet",)},
    notes=(
        "The published workbook is to be saved as parquet under its column names. An item is its trimmed "
        "description. Kept are sales (quantity above zero) to a known customer; times are taken as UTC."
    ),
)


def write(raw: Path, out: Path) -> None:
    """Write catalogue and interactions from Description, Quantity, InvoiceDate, CustomerID."""
    rows = pl.read_parquet(raw / "transactions.parquet").with_columns(pl.col("Description").str.strip_chars())
    sales = rows.filter(pl.col("Quantity") > 0).drop_nulls(["CustomerID", "Description"])
    purchases = sales.select(
        user_id="CustomerID",
        item_id="Description",
        time=pl.col("InvoiceDate").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        event=pl.lit("purchase"),
    ).sort("time", maintain_order=True)
    titles = purchases.select("item_id", title="item_id").unique(maintain_order=True)
    write_table(out, "catalogue", titles)
    write_table(out, "interactions", purchases)
