"""WANDS, the Wayfair product search set: 480 queries with graded products, tab-separated."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from motherlode.datasets.frames import text_frame, write_table
from motherlode.datasets.source import DataSet
from motherlode.tables.grades import GradeMap

ADDRESS = "https://raw.githubusercontent.com/wayfair/WANDS/main/dataset/"
FILES = ("product.csv", "query.csv", "label.csv")

INFO = DataSet(
    name="wands",
    title="Wayfair Annotation Dataset (WANDS)",
    licence="MIT",
    publisher="https://github.com/wayfair/WANDS",
    layouts={"WANDS/dataset": FILES, "wands": FILES},
    urls={file: ADDRESS + file for file in FILES},
    notes="Grades: Exact 2, Partial 1, Irrelevant 0. A product without a category path has its class.",
    grades=GradeMap(labels={"Exact": 2, "Partial": 1, "Irrelevant": 0}),
)


def write(raw: Path, out: Path) -> None:
    """Write the tables from the three files."""
    products = text_frame(raw / "product.csv", "tsv")
    path = pl.coalesce(_filled("category hierarchy"), _filled("product_class"))
    # One text of "name:value|name:value"; a part without a colon says nothing.
    parts = _filled("product_features").str.split("|").list.eval(pl.element().str.splitn(":", 2))
    pairs = parts.list.eval(
        pl.struct(
            name=pl.element().struct.field("field_0").str.strip_chars(),
            value=pl.element().struct.field("field_1").str.strip_chars(),
        )
    )
    valued = pl.element().struct.field("value").is_not_null()
    catalogue = products.select(
        item_id="product_id",
        title="product_name",
        taxonomy=path.str.split(" / "),
        attributes=pairs.list.eval(pl.element().filter(valued)),
        description=_filled("product_description"),
    )
    write_table(out, "catalogue", catalogue)
    queries = text_frame(raw / "query.csv", "tsv")
    write_table(out, "queries", queries.select("query_id", text="query", locale=pl.lit("us")))
    labels = text_frame(raw / "label.csv", "tsv")
    judgements = labels.select("query_id", item_id="product_id", grade="label", source=pl.lit("human"))
    write_table(out, "judgements", judgements)


def _filled(column: str) -> pl.Expr:
    text = pl.col(column)
    return pl.when(text.str.strip_chars() != "").then(text)
