"""Home Depot search relevance: the competition's files, or a copy of its judged part in parquet."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from motherlode.atomic import replacing
from motherlode.datasets.frames import write_table
from motherlode.datasets.source import DataSet
from motherlode.tables.grades import GradeMap

BRAND = "MFG Brand Name"  # what the competition's attributes call it

INFO = DataSet(
    name="homedepot",
    title="Home Depot Product Search Relevance",
    licence="Kaggle competition data: research use only",
    publisher="https://www.kaggle.com/c/home-depot-product-search-relevance",
    layouts={
        "homedepot_search": ("judgments.parquet", "products.parquet"),
        "home-depot-product-search-relevance": ("train.csv",),
    },
    notes=(
        "Grades by the raters' mean: 2 from 2.67, 1 from 1.75, else 0. The competition has no query ids; "
        "they number the texts in order. corrections.parquet holds misspelt queries and their corrections, "
        "matched by text."
    ),
    grades=GradeMap(cuts=(1.75, 2.67)),
)


def write(raw: Path, out: Path) -> None:
    """Write the tables from whichever layout lies in `raw`."""
    if (raw / "train.csv").exists():
        _competition(raw, out)
    else:
        _copy(raw, out)


def _copy(raw: Path, out: Path) -> None:
    products = pl.read_parquet(raw / "products.parquet")
    write_table(out, "catalogue", products.select(item_id="product_id", title="title"))
    judged = pl.read_parquet(raw / "judgments.parquet")
    queries = _judged(judged.select("query_id", "product_id", "relevance", text="query"), out)
    if (raw / "query_corrections.parquet").exists():
        corrections = pl.read_parquet(raw / "query_corrections.parquet").select("corrected", text="query")
        with replacing(out / "corrections.parquet") as temporary:
            queries.join(corrections, on="text").write_parquet(temporary)


def _competition(raw: Path, out: Path) -> None:
    """train.csv, and what lies beside it of test.csv (titles), product_descriptions.csv, attributes.csv."""
    judged = _csv(raw / "train.csv")
    titles = [_csv(raw / name) for name in ("train.csv", "test.csv") if (raw / name).exists()]
    catalogue = pl.concat([part.select("product_uid", title="product_title") for part in titles])
    catalogue = catalogue.unique("product_uid", keep="first", maintain_order=True)
    if (raw / "product_descriptions.csv").exists():
        described = pl.read_csv(raw / "product_descriptions.csv", infer_schema=False)
        catalogue = catalogue.join(described, on="product_uid", how="left", maintain_order="left")
        catalogue = catalogue.rename({"product_description": "description"})
    if (raw / "attributes.csv").exists():
        pairs = pl.read_csv(raw / "attributes.csv", infer_schema=False).drop_nulls()
        brands = pairs.filter(pl.col("name") == BRAND).unique("product_uid", keep="first")
        others = pairs.filter(pl.col("name") != BRAND).group_by("product_uid", maintain_order=True)
        for more in (
            brands.select("product_uid", brand="value"),
            others.agg(attributes=pl.struct("name", "value")),
        ):
            catalogue = catalogue.join(more, on="product_uid", how="left", maintain_order="left")
    write_table(out, "catalogue", catalogue.rename({"product_uid": "item_id"}))
    numbered = judged.select(text="search_term").unique().sort("text").with_row_index("number")
    query_id = pl.format("h{}", pl.col("number").cast(pl.String).str.zfill(5))
    judged = judged.rename({"search_term": "text", "product_uid": "product_id"}).join(
        numbered.select("text", query_id=query_id), on="text", maintain_order="left"
    )
    _judged(judged, out)


def _judged(rows: pl.DataFrame, out: Path) -> pl.DataFrame:
    """Write queries and judgements of (query_id, text, product_id, relevance); return the queries."""
    queries = rows.select("query_id", "text").unique("query_id", keep="first").sort("query_id")
    write_table(out, "queries", queries.with_columns(locale=pl.lit("us")))
    judgements = rows.select(
        "query_id",
        item_id="product_id",
        grade="relevance",
        rating=pl.col("relevance").cast(pl.Float64, strict=False) - 1,  # raters give 1, 2 or 3
        source=pl.lit("human"),
    )
    write_table(out, "judgements", judgements)
    return queries


def _csv(path: Path) -> pl.DataFrame:
    # The competition's queries and titles are Latin-1.
    return pl.read_csv(path, encoding="iso-8859-1", infer_schema=False)
