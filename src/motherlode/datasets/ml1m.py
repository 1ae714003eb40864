"""MovieLens-1M: the official files, or a copy with plots, casts and a poster view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from motherlode.datasets.frames import attributes, named, write_table
from motherlode.datasets.source import DataSet

INFO = DataSet(
    name="ml1m",
    title="MovieLens-1M",
    licence="MovieLens terms: research use, no redistribution",
    publisher="https://grouplens.org/datasets/movielens/1m/",
    layouts={
        "ml1m_posters": ("items.parquet", "interactions.parquet"),
        "ml-1m": ("ratings.dat", "movies.dat"),
    },
    notes=(
        "Every rating is an interaction, whatever its value. Users' facts are left out. Copy with posters: "
        "no times, rows are in the order of the file, features of view `image` are poster embeddings."
    ),
)


def write(raw: Path, out: Path) -> None:
    """Write the tables from whichever layout lies in `raw`."""
    if (raw / "ratings.dat").exists():
        _official(raw, out)
    else:
        _copy(raw, out)


def _official(raw: Path, out: Path) -> None:
    movies = _dat(raw / "movies.dat", ["item_id", "title", "genres"])
    genres = named("genre", pl.col("genres").str.split("|"))
    write_table(out, "catalogue", movies.select("item_id", "title", attributes=genres))
    ratings = _dat(raw / "ratings.dat", ["user_id", "item_id", "rating", "time"])
    time = pl.from_epoch(pl.col("time").cast(pl.Int64)).dt.replace_time_zone("UTC")
    rows = ratings.select("user_id", "item_id", time=time, event=pl.lit("rating"))
    write_table(out, "interactions", rows.sort("time", maintain_order=True))


def _dat(path: Path, names: list[str]) -> pl.DataFrame:
    lines = pl.Series("line", path.read_text(encoding="iso-8859-1").splitlines())
    return lines.str.split("::").list.to_struct(fields=names).struct.unnest()


def _copy(raw: Path, out: Path) -> None:
    items = pl.read_parquet(raw / "items.parquet")
    catalogue = items.select(
        "item_id",
        "title",
        attributes=pl.concat_list(
            named("genre", pl.col("genres").str.split("|")),
            attributes(**{name: pl.col(name) for name in ("year", "certificate", "director", "actors")}),
        ),
        description="plot",
    )
    write_table(out, "catalogue", catalogue)
    rows = pl.read_parquet(raw / "interactions.parquet").sort("file_order")
    write_table(out, "interactions", rows.select("user_id", "item_id", event=pl.lit("rating")))
    posters = raw / "poster_emb_effnetlite0_1280.npz"
    if posters.exists():
        with np.load(posters) as arrays:
            vectors = arrays["emb"].astype(np.float32)
            ids = pl.Series("item_id", arrays["item_id"])
        features = pl.DataFrame([ids, pl.Series("vector", vectors).cast(pl.List(pl.Float32))])
        write_table(out, "features", features.with_columns(view=pl.lit("image")))
