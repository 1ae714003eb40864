"""What the page shows of a pair: query, item, image, engagement, read once for the pairs of the queue alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import polars as pl

from motherlode.errors import InputError
from motherlode.tables.tables import Tables

ITEM = ["item_id", "title", "brand", "taxonomy", "attributes", "description", "image"]
COUNTS = ["impressions", "clicks", "adds", "purchases"]
PICTURES = {  # what a browser shows and what cannot run a script
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
}


class Facts:
    """The facts of a queue's pairs. Raises InputError for the first pair whose query or item no table has."""

    def __init__(self, tables: Tables, queue: pl.DataFrame) -> None:
        self._folder = tables.folder.resolve()
        self._queries = _rows(tables, "queries", queue, ["query_id"], ["query_id", "text", "locale"])
        self._items = _rows(tables, "catalogue", queue, ["item_id"], ITEM)
        self._engagement = (
            _rows(tables, "engagement", queue, ["query_id", "item_id"], ["query_id", "item_id", *COUNTS])
            if tables.has("engagement")
            else {}
        )
        for what, table, known in (("query", "queries", self._queries), ("item", "catalogue", self._items)):
            column = queue[f"{what}_id"]
            strange = (~column.is_in(pl.Series([key[0] for key in known], dtype=pl.String).implode())).arg_true()
            if len(strange):
                raise InputError(
                    f"The queue, row {strange[0] + 1}: {what} {column[strange[0]]!r} is not in {tables.path(table)}; "
                    "leave the row out, or serve the tables the queue was made from."
                )

    def of(self, query_id: str, item_id: str) -> dict[str, Any]:
        """JSON-able: query, locale, item {id, title, brand, taxonomy, attributes, description}, engagement or None.

        The image is not told here: see `image`.
        """
        query, item = self._queries[query_id,], self._items[item_id,]
        counts = self._engagement.get((query_id, item_id))
        return {
            "query": query["text"],
            "locale": query["locale"],
            "item": {
                "id": item_id,
                "title": item["title"],
                "brand": item["brand"],
                "taxonomy": [level for level in item["taxonomy"] or () if level],
                "attributes": [[one["name"], one["value"]] for one in item["attributes"] or () if one["value"]],
                "description": item["description"],
            },
            "engagement": {name: counts[name] for name in COUNTS if counts[name] is not None} if counts else None,
        }

    def image(self, item_id: str) -> str | Path | None:
        """The item's image: an http(s) address, or a file inside the tables' folder; None for anything else.

        A reference is relative to that folder. Symbolic links are followed before it is asked where the file lies,
        so that no reference leads outside.
        """
        reference = (self._items[item_id,]["image"] or "").strip()
        if reference.lower().startswith(("http://", "https://")):
            return reference
        if reference.lower().startswith("file:"):
            reference = unquote(urlsplit(reference).path)
        if not reference or "\0" in reference:
            return None
        try:
            path = (self._folder / reference).resolve()
            inside = path.is_relative_to(self._folder) and path.suffix.lower() in PICTURES and path.is_file()
        except (OSError, RuntimeError):  # a name too long for the file system, links in a circle
            return None
        return path if inside else None


def _rows(
    tables: Tables, kind: str, queue: pl.DataFrame, keys: list[str], columns: list[str]
) -> dict[tuple[str, ...], dict[str, Any]]:
    """Keys -> row, for the rows of a table that the queue names."""
    wanted = queue.select(keys).unique().lazy()
    found = pl.scan_parquet(tables.path(kind)).select(columns).join(wanted, on=keys, how="semi").collect()
    return {tuple(row[key] for key in keys): row for row in found.iter_rows(named=True)}
