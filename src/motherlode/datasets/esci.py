"""Amazon Shopping Queries (ESCI): the official parquet files, or a subset with category paths and images."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from motherlode.datasets.frames import attributes, write_table
from motherlode.datasets.source import DataSet

EXAMPLES = "shopping_queries_dataset_examples.parquet"
PRODUCTS = "shopping_queries_dataset_products.parquet"
ADDRESS = "https://media.githubusercontent.com/media/amazon-science/esci-data/main/shopping_queries_dataset/"

INFO = DataSet(
    name="esci",
    title="Amazon Shopping Queries (ESCI)",
    licence="Apache-2.0",
    publisher="https://github.com/amazon-science/esci-data",
    layouts={
        "shopping_queries_dataset": (EXAMPLES, PRODUCTS),
        "esci_us_150q": ("judgments.parquet", "products.parquet"),
        "esci": (EXAMPLES, PRODUCTS),
    },
    urls={EXAMPLES: ADDRESS + EXAMPLES, PRODUCTS: ADDRESS + PRODUCTS},
    notes=(
        "Grades from the letters: E 2, S 1, C 1, I 0. Descriptions are bullet points and description. "
        "Official files: all locales and both versions; an item id is locale:product_id. "
        "Subset: its buyers' ratings, its ubi_events (made by a script) and its label3 (where C is 0) are not used."
    ),
)


def write(raw: Path, out: Path) -> None:
    """Write the tables from whichever layout lies in `raw`."""
    if (raw / EXAMPLES).exists():
        _official(raw, out)
    else:
        _subset(raw, out)


def _official(raw: Path, out: Path) -> None:
    products = pl.scan_parquet(raw / PRODUCTS).select(
        item_id=_item_id(),
        title="product_title",
        brand="product_brand",
        attributes=attributes(colour=pl.col("product_color")),
        description=_description("product_bullet_point", "product_description"),
    )
    products.sink_parquet(out / "catalogue.parquet")  # nearly two million: never all in memory
    examples = pl.read_parquet(
        raw / EXAMPLES, columns=["query_id", "query", "product_id", "product_locale", "esci_label"]
    )
    _judged(examples, _item_id(), "esci_label", pl.col("product_locale"), out)


def _subset(raw: Path, out: Path) -> None:
    products = pl.read_parquet(raw / "products.parquet")
    catalogue = products.select(
        item_id="product_id",
        title="title",
        taxonomy=pl.col("category_path").str.split(" > "),
        brand="brand",
        attributes=attributes(colour=pl.col("color"), price=pl.col("price")),
        description=_description("bullet_points", "description"),
        image="image",
    )
    write_table(out, "catalogue", catalogue)
    judgements = pl.read_parquet(raw / "judgments.parquet")
    _judged(judgements, pl.col("product_id"), "esci", pl.lit("us"), out)


def _judged(rows: pl.DataFrame, item_id: pl.Expr, label: str, locale: pl.Expr, out: Path) -> None:
    """Write queries and judgements of (query_id, query, ...), one row a judgement."""
    queries = rows.unique("query_id", keep="first", maintain_order=True)
    write_table(out, "queries", queries.select("query_id", text="query", locale=locale))
    judgements = rows.select("query_id", item_id=item_id, grade=label, source=pl.lit("human"))
    write_table(out, "judgements", judgements)


def _item_id() -> pl.Expr:
    return pl.concat_str("product_locale", "product_id", separator=":")


def _description(*columns: str) -> pl.Expr:
    return pl.concat_str(columns, separator="\n", ignore_nulls=True)
