"""What the tables cover: shares of grades, queries of one grade, items nobody judged, missing fields."""

from __future__ import annotations

from typing import Any

import polars as pl

from motherlode.tables.schema import GRADES, SCHEMAS
from motherlode.tables.seen import Seen


class Coverage:
    """Running counts over the batches of the tables."""

    def __init__(self) -> None:
        self._nulls: dict[str, dict[str, int]] = {}
        self._grades = dict.fromkeys(GRADES, 0)
        self._graded: list[pl.DataFrame] = []  # per batch: query hash, bit set of its grades
        self._items = Seen()

    def add(self, kind: str, frame: pl.DataFrame) -> None:
        """Take in some rows of the table `kind`."""
        nulls = self._nulls.setdefault(kind, {})
        for field in SCHEMAS[kind]:
            if field.nullable:
                nulls[field.name] = nulls.get(field.name, 0) + frame[field.name].null_count()
        if kind != "judgements":
            return
        for grade in GRADES:
            self._grades[grade] += int((frame["grade"] == grade).sum())
        self._items.add(frame["item_id"].hash(seed=0).to_numpy())
        bits = frame.select(query=pl.col("query_id").hash(0), bits=2 ** pl.col("grade").cast(pl.UInt8))
        self._graded.append(_joined(bits))

    def facts(self, rows: dict[str, int]) -> dict[str, Any]:
        """JSON-able facts; `rows` is the number of rows of each table."""
        missing = {
            kind: {name: count / rows[kind] for name, count in nulls.items()} if rows[kind] else {}
            for kind, nulls in self._nulls.items()
        }
        facts: dict[str, Any] = {"missing": missing}
        judgements = sum(self._grades.values())
        if judgements:
            queries = _joined(pl.concat(self._graded))
            facts["grade_shares"] = {str(grade): count / judgements for grade, count in self._grades.items()}
            facts["queries_with_one_grade"] = int((queries["bits"].bitwise_count_ones() == 1).sum())
            facts["queries_without_judgements"] = rows["queries"] - queries.height
            facts["items_without_judgements"] = rows["catalogue"] - len(self._items)
        return facts


def _joined(bits: pl.DataFrame) -> pl.DataFrame:
    return bits.group_by("query").agg(pl.col("bits").bitwise_or())
