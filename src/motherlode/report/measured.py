"""Reading the folder the evaluate stage wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from motherlode.atomic import read_json
from motherlode.errors import InputError, MissingError


class Measured:
    """metrics.json, and what of per_query.parquet, pairs.parquet and top.parquet is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "metrics.json"
        if not path.exists():
            raise MissingError(f"{folder} holds no metrics.json: run `motherlode evaluate` first.")
        self.metrics: dict[str, Any] = read_json(path)

    def scan(self, name: str, columns: Sequence[str]) -> pl.LazyFrame | None:
        """These columns of one of the tables; None where the file is absent."""
        path = self.folder / name
        if not path.exists():
            return None
        frame = pl.scan_parquet(path)
        absent = set(columns) - set(frame.collect_schema().names())
        if absent:
            raise InputError(f"{path} lacks the column {', '.join(sorted(absent))}: run `motherlode evaluate` again.")
        return frame.select(columns)

    def pairs(self, system: str) -> pl.DataFrame | None:
        """grade and score of every judged pair the system scored; None where there is none."""
        frame = self.scan("pairs.parquet", ["system", "grade", "score"])
        if frame is None:
            return None
        scored = pl.col("score").is_not_null() & pl.col("score").is_not_nan()
        found = frame.filter((pl.col("system") == system) & scored).select("grade", "score").collect()
        return None if found.is_empty() else found

    def changes(self, metric: str, before: str, after: str) -> pl.DataFrame | None:
        """query_id, query, before, after where both systems have a value, greatest gain first."""
        frame = self.scan("per_query.parquet", ["query_id", "query", "system", metric])
        if frame is None:
            return None
        known = frame.filter(pl.col(metric).is_not_null() & pl.col(metric).is_not_nan())
        sides = [
            known.filter(pl.col("system") == system).select("query_id", "query", pl.col(metric).alias(name))
            for name, system in (("before", before), ("after", after))
        ]
        both = sides[0].join(sides[1].drop("query"), on="query_id")
        return both.sort(pl.col("before") - pl.col("after"), "query_id").collect()

    def top(self, query_ids: Sequence[str], systems: Sequence[str], results: int) -> pl.DataFrame | None:
        """The first results of these queries and systems: query_id, system, rank, title, grade."""
        frame = self.scan("top.parquet", ["query_id", "system", "rank", "title", "grade"])
        if frame is None:
            return None
        wanted = pl.col("query_id").is_in(list(query_ids)) & pl.col("system").is_in(list(systems))
        found = frame.filter(wanted).sort("query_id", "system", "rank").collect()
        return found.group_by("query_id", "system", maintain_order=True).head(results)


def read_log(path: Path | None) -> list[dict[str, Any]]:
    """The lines of a training log, one JSON object a line; none where there is no log."""
    if path is None or not path.exists():
        return []
    records = []
    for number, words in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(words)
        except json.JSONDecodeError:
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            raise InputError(
                f"{path}, line {number}: not a JSON object with a whole number `step`; mend or drop the line."
            )
        records.append(record)
    return records
