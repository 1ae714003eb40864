"""Sections on what makes one list of the legs, and on the thresholds between grades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motherlode.report.formats import change, metric_name, plain
from motherlode.report.layout import section
from motherlode.report.markup import Markup, el
from motherlode.report.tables import cell, table

REFUSING = ("threshold", "auc", "precision", "recall", "lost")


def blends(found: Mapping[str, Any]) -> Markup:
    """Every blend on the test beside both legs, and why the one in the index was chosen."""
    test, chosen = found["test"], found["chosen"]
    metrics = list(next(iter(test["systems"].values())))
    rows: list[list[object]] = []
    for name, means in sorted(test["systems"].items(), key=lambda pair: -pair[1][metrics[0]]):
        won = found["validation"].get(name, {}).get("ndcg@10")
        row: list[object] = [f"{name} (in the index)" if name == chosen else name, cell(won)]
        for metric in metrics:
            row.append(cell(means[metric], change(test["against"].get(name, {}).get(metric))))
        rows.append(row)
    caption = (
        f"{test['queries']:,} test queries, the whole catalogue; not judged counts as 0. Small: what {chosen} gains "
        "over it, with a paired 95 % interval. Validation: NDCG@10 of five-fold cross-validation."
    )
    heads = ["blend", "validation", *(metric_name(metric) for metric in metrics)]
    left_out = [
        el("p", f"{name} was left out: {one['cannot']}", class_="note")
        for name, one in found["validation"].items()
        if "cannot" in one
    ]
    return section("One list out of several legs", f"Chosen is {found['why']}", table(caption, heads, rows), left_out)


def thresholds(found: Mapping[str, Any]) -> Markup:
    """Where each boundary lies, what it held on validation and on the test, guarantees, and refusing."""
    rows: list[list[object]] = []
    for one in found["boundaries"]:
        for side in ("validation", "test"):
            rows.append(_boundary(f"grade {one[side]['grade']} or more, {side}", one[side]))
        rows += [_boundary(f"grade {part['grade']} or more, {name}", part) for name, part in one["slices"].items()]
    caption = (
        f"Chosen for a precision of {found['precision']:.0%} on validation queries, and fixed. Pairs: the judged ones, "
        f"and {found['random']:g} random items for each, as grade 0. Score: cosine. Precision: 95 % Wilson interval."
    )
    parts = [table(caption, ["shown as", "from score", "precision", "recall", "pairs shown"], rows)]
    parts.append(
        table(
            "Conformal: of all shown results (ten a query at most), this share is of the grade, on average over "
            "calibration sets. Share on the test with a 95 % bootstrap interval over queries; answered: queries that "
            "show anything; under a shift: the lowest share when queries of one slice come three times as often.",
            ["shown as", "stated", "from score", "share on test", "answered", "under a shift"],
            [_guarantee(one) for one in found["guarantees"]],
        )
    )
    refusing = [one for one in found["refusing"] if "cannot" not in one]
    if refusing:
        parts.append(
            table(
                "Nothing relevant: refuse a query whose best judged score is below. Of every second query the judged "
                "items of the grade were taken away.",
                ["grade", "below score", "AUC", "precision", "recall", "answerable lost"],
                [[f"{one['grade']} or more", *(cell(one[key]) for key in REFUSING)] for one in refusing],
            )
        )
    return section("Thresholds between grades", None, *parts)


def _boundary(name: str, one: Mapping[str, Any]) -> list[object]:
    interval = "" if one["low"] is None else f"[{plain(one['low'])}, {plain(one['high'])}]"
    return [
        name,
        cell(one["threshold"], one["how"] if name.endswith("validation") else ""),
        cell(one["precision"], interval),
        cell(one["recall"]),
        cell(one["shown"]),
    ]


def _guarantee(one: Mapping[str, Any]) -> list[object]:
    test = one["test"]
    interval = "" if test["share"] is None else f"[{plain(test['low'])}, {plain(test['high'])}]"
    shifted = [part["heavier"]["share"] for part in one["shifted"].values() if part["heavier"]["share"] is not None]
    threshold = cell(one["threshold"]) if one["threshold"] is not None else "nothing can be promised"
    return [
        f"grade {one['grade']} or more",
        cell(one["share"]),
        threshold,
        cell(test["share"], interval),
        cell(test["answered"]),
        cell(min(shifted, default=None)),
    ]
