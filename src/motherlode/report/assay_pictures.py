"""Pictures of the assay page: confusion counts, reliability, and one quantity against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motherlode.report.formats import plain
from motherlode.report.markup import Markup, el
from motherlode.report.svg import WIDTH, Scale, line, linear, panel, path, text, tick_text, ticks, tip, x_axis

LEFT, RIGHT, TOP, BOTTOM = 44, WIDTH - 14, 22, 210  # of the plotted square
LETTER = 7  # width of a letter, about
PALEST, DARKEST = 0.06, 0.55  # a figure must stay readable on its cell
Points = Sequence[tuple[float, float, str]]  # x, y, what it says when pointed at


def confusion(title: str, counts: Sequence[Sequence[int]]) -> Markup:
    """Counts with truth in rows and the grader's grades in columns; a cell is as dark as its share of the row."""
    left, top, width, height = 76, 22, (WIDTH - 76) / len(counts), 46
    marks: list[Markup] = [text(0, 13, "grader says", "tick")]
    for grade in range(len(counts)):
        middle = left + (grade + 0.5) * width
        marks.append(text(middle, 13, grade, f"label ink{grade}", anchor="middle"))
        marks.append(text(0, top + (grade + 0.5) * height + 4, f"truth {grade}", f"label ink{grade}"))
    for row, of_row in enumerate(counts):
        total = sum(of_row)
        for column, count in enumerate(of_row):
            share = count / total if total else 0.0
            x, y = left + column * width, top + row * height
            box = el(
                "rect",
                x=f"{x + 1:.1f}",
                y=f"{y + 1:.1f}",
                width=f"{width - 2:.1f}",
                height=height - 2,
                rx=4,
                class_="bar after",
                style=f"fill-opacity:{PALEST + (DARKEST - PALEST) * share:.3f}",
            )
            middle = x + width / 2
            words = f"truth {row}, grader says {column}: {count:,} pairs, {100 * share:.1f} % of the row"
            percent = text(middle, y + 20, f"{100 * share:.0f} %", "value", anchor="middle")
            marks.append(tip(words, box, percent, text(middle, y + 36, f"{count:,}", "label", anchor="middle")))
    right = sum(of_row[row] for row, of_row in enumerate(counts))
    label = f"{right:,} of {sum(map(sum, counts)):,} on the diagonal"
    return panel(title, top + len(counts) * height + 2, label, *marks)


def reliability(title: str, bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Share that truly has the grade against the probability said, with Wilson intervals; on the diagonal is right."""
    x, y = linear(0, 1, LEFT, RIGHT), linear(0, 1, BOTTOM, TOP)
    marks = _axes(x, y, (0.0, 1.0), (0.0, 1.0), "probability said", "share true")
    marks.append(line(x(0), y(0), x(1), y(1), "floor"))
    if len(bins) > 1:
        middles = np.array([[x(one["mean"]), y(one["share"])] for one in bins])
        marks.append(path(middles[:, 0], middles[:, 1], "curve faint"))
    most = max((one["n"] for one in bins), default=1)
    for one in bins:
        at = x(one["mean"])
        words = (
            f"said {plain(one['mean'])}, true {plain(one['share'])} "
            f"[{plain(one['least'])}, {plain(one['most'])}], {one['n']:,} pairs"
        )
        radius = 2.0 + 3.5 * (one["n"] / most) ** 0.5
        dot = el("circle", cx=f"{at:.1f}", cy=f"{y(one['share']):.1f}", r=f"{radius:.1f}", class_="dot")
        marks.append(tip(words, line(at, y(one["least"]), at, y(one["most"]), "whisker"), dot))
    label = "; ".join(f"said {plain(one['mean'], 2)} true {plain(one['share'], 2)}" for one in bins)
    return panel(title, BOTTOM + 34, label or "no pairs", *marks)


def against(title: str, x_name: str, y_name: str, points: Points, named: Mapping[str, tuple[float, float]]) -> Markup:
    """A line of points of y against x, and single named points beside it, hollow."""
    xs = [point[0] for point in points] + [point[0] for point in named.values()]
    ys = [point[1] for point in points] + [point[1] for point in named.values()]
    wide, high = _extent(xs), _extent(ys)
    x, y = linear(*wide, LEFT, RIGHT), linear(*high, BOTTOM, TOP)
    marks = _axes(x, y, wide, high, x_name, y_name)
    if len(points) > 1:
        places = np.array([[x(one), y(other)] for one, other, _ in points])
        marks.append(path(places[:, 0], places[:, 1], "curve"))
    dots = points if len(points) <= 80 else points[:: len(points) // 60]
    for one, other, words in dots:
        marks.append(tip(words, el("circle", cx=f"{x(one):.1f}", cy=f"{y(other):.1f}", r=3, class_="dot")))
    for name, (one, other) in named.items():
        circle = el("circle", cx=f"{x(one):.1f}", cy=f"{y(other):.1f}", r=5, class_="dot hollow")
        anchor = "start" if x(one) + 9 + LETTER * len(name) < RIGHT else "end"
        beside = x(one) + (9 if anchor == "start" else -9)
        # below and to the right, where a front of best choices leaves room
        words = f"{name}: {x_name} {plain(one)}, {y_name} {plain(other)}"
        marks.append(tip(words, circle, text(beside, y(other) + 16, name, "label", anchor=anchor)))
    ends = [f"{y_name} {plain(other)} at {x_name} {plain(one)}" for one, other, _ in (*points[:1], *points[1:][-1:])]
    label = "; ".join([*ends, *(f"{name} {plain(one)}, {plain(other)}" for name, (one, other) in named.items())])
    return panel(title, BOTTOM + 34, label, *marks)


def _axes(
    x: Scale, y: Scale, wide: tuple[float, float], high: tuple[float, float], x_name: str, y_name: str
) -> list[Markup]:
    marks = x_axis(x, ticks(*wide), TOP, BOTTOM)
    for value in ticks(*high):
        marks += [line(LEFT, y(value), RIGHT, y(value), "grid")]
        marks += [text(LEFT - 6, y(value) + 4, tick_text(value), "tick", anchor="end")]
    marks.append(text(RIGHT, BOTTOM + 30, x_name, "tick", anchor="end"))
    marks.append(text(0, 10, y_name, "tick"))
    return marks


def _extent(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or 0.05
    return low - room, high + room
