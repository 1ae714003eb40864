"""Amazon Musical Instruments, 2018: interactions, and items known by codes of a text and an image view."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from motherlode.datasets.frames import attributes, write_table
from motherlode.datasets.source import DataSet

CODES = [f"{view}_code{level}" for view in ("text", "image") for level in range(4)]

INFO = DataSet(
    name="instruments",
    title="Amazon Musical Instruments 2018, with text and image codes",
    licence="research use",
    publisher="https://cseweb.ucsd.edu/~jmcauley/datasets/amazon_v2/",
    layouts={"amazon_instruments_codes": ("items.parquet", "interactions.parquet")},
    notes=(
        "There are no titles: an item's title is its ASIN. The codes are names of clusters, not coordinates, "
        "so they are attributes and not features. No times; rows are in time order by user."
    ),
)


def write(raw: Path, out: Path) -> None:
    """Write catalogue and interactions from items (item_id, asin, eight codes) and reviews."""
    items = pl.read_parquet(raw / "items.parquet")
    codes = {code: pl.col(code) for code in CODES}
    write_table(out, "catalogue", items.select("item_id", title="asin", attributes=attributes(**codes)))
    rows = pl.read_parquet(raw / "interactions.parquet").sort("user_id", "position")
    write_table(out, "interactions", rows.select("user_id", "item_id", event=pl.lit("review")))
