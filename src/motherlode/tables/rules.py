"""What can be wrong with a row by itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from motherlode.tables.raw import Fault
from motherlode.tables.schema import SCHEMAS

COUNTS = ("frequency", "impressions", "clicks", "adds", "purchases")

MISSING = {
    "item_id": ("missing id", "give every row its item id"),
    "query_id": ("missing id", "give every row its query id"),
    "user_id": ("missing id", "give every row its user id"),
    "title": ("empty title", "give the item a title"),
    "text": ("empty query text", "give the query a text"),
    "grade": ("missing grade", "give the pair a grade, or leave the row out"),
    "view": ("missing view", "name the view the vector belongs to"),
    "vector": ("missing vector", "leave the row out where there is no vector"),
}


def by_row(kind: str, frame: pl.DataFrame) -> Iterator[Fault]:
    """Faults of the rows of table `kind` that can be seen without looking at any other row."""
    for field in SCHEMAS[kind]:
        column = frame[field.name]
        if not field.nullable:
            absent = column.is_null()
            if field.name == "vector":
                absent |= column.list.len() == 0
            problem, advice = MISSING[field.name]
            yield _fault(problem, field.name, absent, advice)
        if field.name in COUNTS:
            yield _fault("negative count", field.name, column < 0, "counts start at zero")
    if kind == "judgements":
        outside = (frame["rating"] < 0) | (frame["rating"] > 2)
        yield _fault("rating out of range", "rating", outside, "give the raters' mean on the scale 0 .. 2")
    if kind == "engagement":
        more = frame["clicks"] > frame["impressions"]
        yield _fault("more clicks than impressions", "clicks", more, "kept; look at how the log is aggregated")
        yield _fault("position below one", "position", frame["position"] < 1, "the first place on a page is 1")


def _fault(kind: str, field: str, wrong: pl.Series, advice: str) -> Fault:
    return Fault(kind, field, np.flatnonzero(wrong.fill_null(False).to_numpy()), advice)
