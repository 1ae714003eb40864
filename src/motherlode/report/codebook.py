"""The codebook inspector: how well the views agree, how evenly codes are used, and what lies in a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from motherlode.report import pictures
from motherlode.report.assay_formats import percent
from motherlode.report.formats import plain
from motherlode.report.layout import grid, section
from motherlode.report.markup import Markup, el
from motherlode.report.tables import cell, table

if TYPE_CHECKING:
    from motherlode.semantics.codes import Codes

CELLS, LEAVES, ITEMS = 24, 6, 5  # coarse cells shown, leaves of each, titles of each
NEIGHBOURS = 3
NAMES = {"primary": "coarse cell", "leaf": "leaf"}


def views_section(views: Mapping[str, Any]) -> Markup:
    """Which views there are, and how often the right item is the nearest from one view to another."""
    rows: list[list[object]] = [[name, el("td", percent(views["present"][name]))] for name in views["names"]]
    content: list[Markup] = [table("Views, and the share of items that have them.", ["view", "items"], rows)]
    found = views.get("alignment")
    if found:
        before = {tuple(one["views"]): one for one in found["unaligned"]["pairs"]}
        rows = []
        for one in found["aligned"]["pairs"]:
            plainly = before[tuple(one["views"])]
            for way, (left, right) in enumerate((one["views"], one["views"][::-1])):
                rows.append(
                    [
                        f"{left} → {right}",
                        cell(one["recall@1"][way]),
                        cell(plainly["recall@1"][way]),
                        cell(one["chance"]),
                        cell(one["gap"]),
                        cell(plainly["gap"]),
                    ]
                )
        words = (
            "How often an item's own view is the nearest of all, among items that the alignment has not seen: aligned, "
            "by principal components alone, by chance. Gap: distance between the means of two views."
        )
        content.append(table(words, ["", "recall@1", "unaligned", "chance", "gap", "unaligned gap"], rows))
    return section("What is known of an item", None, *content)


def codes_section(described: Mapping[str, Any]) -> Markup:
    """Use, purity and co-occurrence of both levels of codes."""
    usage: list[list[object]] = []
    for level in ("primary", "leaf"):
        one = described[level]
        sizes = one["quantiles"]
        usage.append(
            [
                NAMES[level],
                cell(one["codes"]),
                cell(one["used"]),
                _rounded(one["perplexity"]),
                cell(one["largest"]),
                *(_rounded(sizes[key]) for key in ("10%", "50%", "90%")),
            ]
        )
    words = (
        f"{described['items']:,} items, {described['uncoded']:,} without any view; "
        f"{percent(described['aliased'])} share their leaf with another. Perplexity: how many cells there would be if "
        "all used ones were alike."
    )
    heads = ["", "cells", "used", "perplexity", "largest", "10 % hold up to", "50 %", "90 %"]
    content = [table(words, heads, usage)]
    pure: list[list[object]] = [
        [name, *(cell(one[key]) for key in ("primary", "primary by chance", "leaf", "leaf by chance"))]
        for name, one in (described.get("purity") or {}).items()
    ]
    if pure:
        words = (
            "Share of items that carry the commonest label of their cell, beside random codes of the same sizes: "
            "small cells are pure by themselves."
        )
        content.append(table(words, ["label", "coarse", "by chance", "leaf", "by chance"], pure))
    met: list[list[object]] = [
        [NAMES[level], cell(one["share"]), cell(one["chance"]), cell(one["lift"])]
        for level, one in (described.get("together") or {}).items()
    ]
    if met:
        words = (
            "How often a user's next item, held out of training, lies in the cell of the one before; chance keeps how "
            "popular items are."
        )
        content.append(table(words, ["same", "share", "by chance", "times chance"], met))
    return section("Semantic codes", None, *content)


def inspector(codes: Codes, titles: Sequence[str]) -> Markup:
    """The largest coarse cells, each with its leaves, some of their items, and the cells nearest to it."""
    counts, leaves = codes.primary_counts(), codes.leaf_counts()
    ranked = np.sort(counts)[::-1]
    panels = [
        pictures.curve("Items of a coarse cell, largest first", np.arange(1, len(ranked) + 1.0), ranked.astype(float)),
        pictures.curve(
            "Items of a leaf, largest first",
            np.arange(1, int((leaves > 0).sum()) + 1.0),
            np.sort(leaves[leaves > 0])[::-1].astype(float),
        ),
    ]
    shown = [int(one) for one in np.argsort(-counts, kind="stable")[:CELLS] if counts[one]]
    near = _nearest(codes, counts)
    by_leaf = np.argsort(codes.leaf, kind="stable")
    starts = np.searchsorted(codes.leaf[by_leaf], np.arange(leaves.size + 1))
    details = []
    for place, primary in enumerate(shown):
        order = [int(one) for one in np.argsort(-leaves[primary], kind="stable")[:LEAVES] if leaves[primary, one]]
        lists = []
        for secondary in order:
            leaf = primary * codes.secondary_size + secondary
            rows = by_leaf[starts[leaf] : starts[leaf + 1]]
            some = rows[np.linspace(0, len(rows) - 1, min(ITEMS, len(rows))).astype(np.int64)]
            told = [el("li", el("span", titles[row])) for row in some]
            lists.append(el("div", el("h4", f"leaf {primary}.{secondary}: {plain(len(rows))}"), el("ol", told)))
        words = ", ".join(str(one) for one in near[primary])
        summary = el(
            "summary",
            el("span", f"Cell {primary}", class_="query"),
            el(
                "span",
                f"{plain(int(counts[primary]))} items in {int((leaves[primary] > 0).sum())} leaves",
                class_="from",
            ),
            el("span", f"nearest: {words}" if words else "", class_="from"),
        )
        details.append(el("details", summary, el("div", lists, class_="sides"), open="" if place == 0 else None))
    rest = int((counts > 0).sum()) - len(shown)
    note = "The largest leaves of each cell, with some of their items."
    note += f" {rest:,} smaller cells are not shown." if rest else ""
    columns = [el("div", details[side::2]) for side in (0, 1)]
    return section("What shares a code", note, grid(panels), el("h3", "Cells"), el("div", columns, class_="queries"))


def _rounded(value: float) -> Markup:
    return el("td", plain(value, 1), data_value=value)


def _nearest(codes: Codes, counts: NDArray[np.int64]) -> list[list[int]]:
    """The used cells with the nearest centres of every cell, itself left out."""
    centres = codes.primary_centres.astype(np.float64)
    squares = (centres**2).sum(axis=1)
    distance = squares[:, None] + squares[None, :] - 2 * centres @ centres.T
    distance[:, counts == 0] = np.inf
    np.fill_diagonal(distance, np.inf)
    order = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
    return [[int(one) for one in row if np.isfinite(distance[cell_, one])] for cell_, row in enumerate(order)]
