"""Amazon Beauty, 2014, every user and item with at least five reviews, in time order."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from motherlode.datasets.frames import attributes, named, write_table
from motherlode.datasets.source import DataSet

INFO = DataSet(
    name="beauty",
    title="Amazon Beauty 2014, 5-core",
    licence="research use",
    publisher="https://jmcauley.ucsd.edu/data/amazon/",
    layouts={"amazon_beauty": ("items.parquet", "interactions.parquet")},
    notes="Items without a title have their keywords as title. No times; rows are in time order by user.",
)


def write(raw: Path, out: Path) -> None:
    """Write catalogue and interactions from items (item_id, title, keywords, attribute_ids) and reviews."""
    items = pl.read_parquet(raw / "items.parquet")
    catalogue = items.select(
        "item_id",
        title=pl.coalesce("title", "keywords"),
        attributes=pl.concat_list(attributes(keywords=pl.col("keywords")), named("attribute", pl.col("attribute_ids"))),
    )
    write_table(out, "catalogue", catalogue)
    rows = pl.read_parquet(raw / "interactions.parquet").sort("user_id", "position")
    write_table(out, "interactions", rows.select("user_id", "item_id", event=pl.lit("review")))
