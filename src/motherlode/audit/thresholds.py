"""How broad a query is, and what counts as high or low among queries as broad."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray


def broadness(queries: pl.DataFrame, engagement: pl.DataFrame, catalogue: pl.DataFrame, buckets: int) -> pl.DataFrame:
    """The bucket of every query, 0 the broadest; columns query_id, words, items, nodes, bucket.

    words: of its text, few is broad. items, nodes: over how many items, and leaves of the taxonomy, its clicks are
    spread, n (n - 1) / sum c (c - 1), Simpson's 1 / sum p² without the bias of a small n; null where clicks are too
    few to tell. The buckets are equal parts of the mean rank by what is known. No label is looked at. Needs
    queries(query_id, text), engagement(query_id, item_id, clicks), catalogue(item_id, taxonomy).
    """
    leaf = catalogue.select("item_id", node=pl.col("taxonomy").list.join(" > ").fill_null(""))
    clicked = engagement.select("query_id", "item_id", pl.col("clicks").cast(pl.Float64).fill_null(0))
    clicked = clicked.join(leaf, on="item_id", how="left")
    found = queries.select("query_id", words=pl.col("text").str.strip_chars().str.split(" ").list.len())
    for name, column in (("items", "item_id"), ("nodes", "node")):
        found = found.join(_spread(clicked, column, name), on="query_id", how="left")
    # null ranks stay null, and mean_horizontal leaves them out
    broad_first = [pl.col("words").rank() / pl.len()] + [
        pl.col(name).rank(descending=True) / pl.col(name).count() for name in ("items", "nodes")
    ]
    place = pl.mean_horizontal(broad_first).rank("ordinal") - 1
    return found.with_columns(bucket=(place * buckets // pl.len()).cast(pl.Int64))


def deciles(
    rates: NDArray[np.float64],
    queries: NDArray[np.integer],
    buckets: NDArray[np.integer],
    enough: NDArray[np.bool_],
    high: float,
    low: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pairs have high, and which low engagement; two bool [n], False where looks are not enough.

    A pair's percentile is its place among its query's pairs, (mid-rank - 1/2) / number; inside each bucket the cuts
    are the `high` and `low` quantiles of these percentiles, so that short pages have a top decile too. Source: the
    engineering spec's defaults; the paper (arXiv 2602.17654 §3.2) states no thresholds.
    """
    within = (
        pl.DataFrame({"query": queries[enough], "rate": rates[enough]})
        .select(((pl.col("rate").rank().over("query") - 0.5) / pl.len().over("query")).alias("place"))["place"]
        .to_numpy()
    )
    top, bottom = np.zeros(len(rates), dtype=bool), np.zeros(len(rates), dtype=bool)
    at = np.flatnonzero(enough)
    for bucket in np.unique(buckets[enough]):
        here = buckets[enough] == bucket
        above, below = np.quantile(within[here], [high, low], method="nearest")
        top[at[here]] = within[here] >= above
        bottom[at[here]] = within[here] <= below
    return top, bottom


def doubtful(
    doubt: NDArray[np.float64], buckets: NDArray[np.integer], eligible: NDArray[np.bool_], precision: float
) -> NDArray[np.bool_]:
    """The most pairs, bool [n], whose labels are expected to be wrong in this share of cases, bucket by bucket.

    doubt [n] is the probability that the label is wrong: the longest prefix, by falling doubt, of the eligible pairs
    of a bucket whose mean doubt is at least `precision`.
    """
    chosen = np.zeros(len(doubt), dtype=bool)
    for bucket in np.unique(buckets[eligible]):
        rows = np.flatnonzero(eligible & (buckets == bucket))
        order = rows[np.argsort(-doubt[rows], kind="stable")]
        mean = np.cumsum(doubt[order]) / np.arange(1, len(order) + 1)
        chosen[order[mean >= precision]] = True
    return chosen


def _spread(clicked: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    """query_id and over how many values of `column` its clicks are spread."""
    counts = clicked.group_by("query_id", column).agg(pl.col("clicks").sum())
    total, repeated = pl.col("clicks").sum(), (pl.col("clicks") * (pl.col("clicks") - 1)).sum()
    spread = pl.when(repeated > 0).then(total * (total - 1) / repeated)
    return counts.group_by("query_id").agg(spread.alias(name))
