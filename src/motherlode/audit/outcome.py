"""The numbers of an audit, beside the paper's."""

from __future__ import annotations

from typing import Any

import polars as pl

from motherlode.evaluation.calibration_error import wilson

PAPER = {"share": 0.30, "diff_rate": 0.234, "win_rate": 0.818, "changed_share": 0.0574}  # arXiv 2602.17654 §3.2


def outcome(
    annotated: int, sample: pl.DataFrame, rejudged: pl.DataFrame, decided: pl.DataFrame, looks: float
) -> dict[str, Any]:
    """Rates of an audit, each as {hits, n, rate, low, high} with a 95 % Wilson interval.

    looked_at = sampled pairs with at least `looks` looks. doubted = doubted / sampled. diff_rate = judge ≠ label
    among re-judged pairs with an answer. win_rate, label_rate, neither_rate = whose grade the people chose among the
    discrepancies they settled. changed_share = labels changed / annotated pairs; changed_of_sample = labels changed /
    sampled pairs: what auditing everything would come to. product = share sampled · diff_rate · win_rate, which is
    how the paper's 5.74 % comes about (0.30 · 0.234 · 0.818): it is changed_share only if every sampled pair is
    judged again, so where the sample is first cut down to disagreements it says too much. changes counts (label,
    decided).
    """
    settled = decided.filter(pl.col("decided").is_not_null())
    wins = settled.filter(pl.col("decided") == pl.col("verdict")).height
    label_wins = settled.filter(pl.col("decided") == pl.col("label")).height
    changed = settled.filter(pl.col("decided") != pl.col("label"))
    answered = rejudged.filter(pl.col("verdict").is_not_null())
    diff, win = _rate(decided.height, answered.height), _rate(wins, settled.height)
    share = sample.height / annotated if annotated else None
    factors = (share, diff["rate"], win["rate"])
    return {
        "annotated": annotated,
        "sampled": sample.height,
        "looked_at": sample.filter(pl.col("looks") >= looks).height,
        "doubted": _rate(rejudged.height, sample.height),
        "unanswered": rejudged.height - answered.height,
        "diff_rate": diff,
        "discrepancies": decided.height,
        "settled": settled.height,
        "tied": decided.filter((pl.col("people") > 0) & pl.col("decided").is_null()).height,
        "win_rate": win,
        "label_rate": _rate(label_wins, settled.height),
        "neither_rate": _rate(settled.height - wins - label_wins, settled.height),
        "changed_share": _rate(changed.height, annotated),
        "changed_of_sample": _rate(changed.height, sample.height),
        "product": share * factors[1] * factors[2] if share is not None and None not in factors else None,
        "changes": changed.group_by("label", "decided").len("count").sort("label", "decided").to_dicts(),
        "kinds": _by(rejudged, decided, "kind"),
        "buckets": _by(rejudged, decided, "bucket"),
        "paper": PAPER,
    }


def _by(rejudged: pl.DataFrame, decided: pl.DataFrame, column: str) -> list[dict[str, Any]]:
    """Doubted, discrepant and changed pairs, by the values of a column."""
    fate = decided.select("query_id", "item_id", discrepant=True, changed=pl.col("decided") != pl.col("label"))
    joined = rejudged.join(fate, on=["query_id", "item_id"], how="left")
    counts = [pl.len().alias("doubted"), pl.col("discrepant").sum(), pl.col("changed").sum()]
    return joined.group_by(column).agg(counts).sort(column).to_dicts()


def _rate(hits: int, count: int) -> dict[str, Any]:
    low, high = wilson(hits, count)
    rate = hits / count if count else None
    return {"hits": hits, "n": count, "rate": rate, "low": float(low), "high": float(high)}
