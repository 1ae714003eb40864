"""The queries that changed most, with the results of both systems side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from motherlode.report.formats import metric_name, plain, signed
from motherlode.report.layout import GRADES, Systems, section, sides
from motherlode.report.markup import Markup, el
from motherlode.report.measured import Measured

QUERIES = 5  # won, and as many lost
RESULTS = 8
Results = dict[tuple[str, str], list[dict[str, Any]]]  # (query id, system) -> rows, best first


def won_and_lost(measured: Measured, systems: Systems) -> Markup | None:
    """Queries that changed most, with the first results of both systems side by side."""
    metric = f"ndcg@{measured.metrics['cutoffs'][0]}"
    pair = sides(systems)
    changes = measured.changes(metric, *pair) if len(pair) == 2 else None
    if changes is None or changes.is_empty():
        return None
    gain = changes["after"] - changes["before"]
    won = changes.filter(gain > 0).head(QUERIES)
    lost = changes.filter(gain < 0).tail(QUERIES).reverse()
    top = measured.top([*won["query_id"], *lost["query_id"]], pair, RESULTS)
    if top is None or top.is_empty():
        return None
    results: Results = {}
    for row in top.iter_rows(named=True):
        results.setdefault((row["query_id"], row["system"]), []).append(row)
    columns = [
        el(
            "div",
            el("h3", title),
            [_query(row, pair, results, at == 0) for at, row in enumerate(rows.iter_rows(named=True))],
        )
        for title, rows in (("Won most", won), ("Lost most", lost))
        if len(rows)
    ]
    counts = [int(part.sum()) for part in (gain > 0, gain < 0, gain == 0)]
    note = "By {}: {:,} queries better, {:,} worse, {:,} the same.".format(metric_name(metric), *counts)
    return section("Queries won and lost", note, legend(), el("div", columns, class_="queries"))


def _query(row: Mapping[str, Any], pair: Sequence[str], results: Results, opened: bool) -> Markup:
    delta = row["after"] - row["before"]
    summary = el(
        "summary",
        el("span", row["query"], class_="query"),
        el("span", signed(delta, 2), class_="delta up" if delta > 0 else "delta down"),
        el("span", f"{plain(row['before'], 2)} → {plain(row['after'], 2)}", class_="from"),
    )
    lists = [el("div", el("h4", name), _results(results.get((row["query_id"], name)))) for name in pair]
    return el("details", summary, el("div", lists, class_="sides"), open="" if opened else None)


def _results(rows: list[dict[str, Any]] | None) -> Markup:
    if rows is None:
        return el("p", "No results.", class_="note")
    return el("ol", [el("li", chip(row["grade"]), el("span", row["title"])) for row in rows])


def chip(grade: int | None) -> Markup:
    """A grade in its colour; a ring where nobody judged."""
    meaning = "not judged" if grade is None else f"grade {grade}, {GRADES[grade]}"
    name = "none" if grade is None else f"grade{grade}"
    return el(
        "span",
        "·" if grade is None else grade,
        class_=f"chip {name}",
        title=meaning,
        aria_label=meaning,
        role="img",
    )


def legend() -> Markup:
    """What the chips mean."""
    parts = [el("span", chip(grade), f" {meaning}") for grade, meaning in GRADES.items()]
    return el("p", *parts, el("span", chip(None), " not judged"), class_="legend")
