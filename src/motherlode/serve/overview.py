"""What an index holds at a glance: how much, which thresholds, and what a page can offer as filters."""

from __future__ import annotations

from typing import Any

import numpy as np

from motherlode.serve.answering import Answering

TOP = 50  # values of a filter
NAMES = 12  # attributes


def overview(answering: Answering) -> dict[str, Any]:
    """Name, version, items, legs, weights, alpha, thresholds and precision curve (None where unknown)."""
    facts, strata = answering.index.facts, answering.strata
    return {
        "name": answering.name,
        "version": answering.version,
        "items": facts["items"],
        "legs": list(answering.index.names),
        "weights": facts["weights"],
        "alpha": facts["alpha"],
        "thresholds": {str(grade): strata.threshold(grade) for grade in (1, 2)} if strata else None,
        "precision_curve": [list(point) for point in strata.curve] if strata else None,
    }


def filters(answering: Answering) -> dict[str, Any]:
    """The most frequent brands, top levels of the taxonomy, and values of the most frequent attributes."""
    import polars as pl

    index = answering.index
    alive = np.ones(len(index.items), dtype=bool)
    alive[index.dead] = False
    brands, tops, named = [], [], []
    for batch in index.items.batches(alive):
        frame = pl.DataFrame(batch.select(["brand", "taxonomy", "attributes"]))
        brands.append(_counted(frame["brand"]))
        tops.append(_counted(frame["taxonomy"].list.get(0, null_on_oob=True)))
        attributes = frame.select(pl.col("attributes").explode()).unnest("attributes").drop_nulls()
        named.append(attributes.group_by("name", "value").agg(pl.len().alias("count")))
    values = pl.concat(named).group_by("name", "value").agg(pl.col("count").sum())
    values = values.filter(pl.col("value").str.len_chars().is_between(1, 60), pl.col("name") != "price")
    names = values.group_by("name").agg(pl.col("count").sum()).sort(["count", "name"], descending=[True, False])
    return {
        "brand": _top(brands),
        "taxonomy": _top(tops),
        "attributes": {
            name: values.filter(pl.col("name") == name).sort(["count", "value"], descending=[True, False])["value"]
            .head(TOP).to_list()
            for name in names["name"].head(NAMES)
        },
    }  # fmt: skip


def _counted(column: Any) -> Any:
    return column.drop_nulls().alias("value").value_counts().select("value", "count")


def _top(parts: list[Any]) -> list[str]:
    import polars as pl

    counts = pl.concat(parts).group_by("value").agg(pl.col("count").sum())
    return list(counts.sort(["count", "value"], descending=[True, False])["value"].head(TOP))
