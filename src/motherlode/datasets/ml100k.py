"""MovieLens-100K: the official files, or a copy in parquet."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from motherlode.datasets.frames import attributes, named, write_table
from motherlode.datasets.source import DataSet

# u.item: number, title, date, video date, address, then a 0/1 column for each of these
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip

INFO = DataSet(
    name="ml100k",
    title="MovieLens-100K",
    licence="MovieLens terms: research use, no redistribution",
    publisher="https://grouplens.org/datasets/movielens/100k/",
    layouts={"ml_100k": ("items.parquet", "ratings.parquet"), "ml-100k": ("u.data", "u.item")},
    notes="Every rating is an interaction, whatever its value, in time order. Users' facts are left out.",
)


def write(raw: Path, out: Path) -> None:
    """Write the tables from whichever layout lies in `raw`."""
    if (raw / "u.data").exists():
        items, ratings = _official(raw)
    else:
        items = pl.read_parquet(raw / "items.parquet").select(
            "item_id", title="movie_title", year="release_year", genres=pl.col("class").str.split(" ")
        )
        ratings = pl.read_parquet(raw / "ratings.parquet")
    parts = [named("genre", pl.col("genres")), attributes(year=pl.col("year"))]
    write_table(out, "catalogue", items.select("item_id", "title", attributes=pl.concat_list(parts)))
    time = pl.from_epoch(pl.col("timestamp")).dt.replace_time_zone("UTC")
    rows = ratings.select("user_id", "item_id", time=time, event=pl.lit("rating"))
    write_table(out, "interactions", rows.sort("time", maintain_order=True))


def _official(raw: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    lines = (raw / "u.item").read_text(encoding="iso-8859-1").splitlines()
    films = []
    for line in lines:
        number, title, date, _, _, *flags = line.split("|")
        genres = [genre for genre, flag in zip(GENRES, flags, strict=True) if flag == "1"]
        films.append((number, title, date[-4:] or None, genres))
    items = pl.DataFrame(films, schema=["item_id", "title", "year", "genres"], orient="row")
    names = ["user_id", "item_id", "rating", "timestamp"]
    return items, pl.read_csv(raw / "u.data", separator="\t", has_header=False, new_columns=names)
