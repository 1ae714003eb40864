"""The four pictures of the page: bars, ridges, curves and forest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.report.formats import plain, signed
from motherlode.report.layout import GRADES
from motherlode.report.markup import Markup, el
from motherlode.report.svg import (
    WIDTH,
    density,
    line,
    linear,
    panel,
    path,
    text,
    tick_text,
    ticks,
    tip,
    x_axis,
)

GRID = 240  # points of a density
SMOOTH = 0.05  # share of the steps the smoothed loss looks back on


def bars(title: str, rows: Sequence[tuple[str, Mapping[str, Any], str]]) -> Markup:
    """A bar a system (name, {mean, low, high}, class) with a whisker for its interval."""
    row_height, top = 36, 4
    bottom = top + row_height * len(rows)
    greatest = max(max(found["mean"] or 0, found["high"] or 0) for _, found, _ in rows)
    scale = linear(0, greatest or 1, 0, WIDTH - 56)
    marks: list[Markup] = x_axis(scale, ticks(0, greatest or 1), top, bottom)
    for index, (name, found, kind) in enumerate(rows):
        y = top + index * row_height
        mean, low, high = found["mean"], found["low"], found["high"]
        words = f"{name}: {plain(mean)}" + ("" if low is None else f" [{plain(low)}, {plain(high)}]")
        drawn = [text(0, y + 13, name, "label"), text(WIDTH, y + 28, plain(mean), "value", anchor="end")]
        if mean is not None:
            drawn.append(el("rect", x=0, y=y + 18, width=f"{scale(mean):.1f}", height=12, rx=2, class_=f"bar {kind}"))
        if low is not None:
            drawn += [line(scale(low), y + 24, scale(high), y + 24, "whisker")]
            drawn += [line(scale(end), y + 20, scale(end), y + 28, "whisker") for end in (low, high)]
        marks.append(tip(words, *drawn))
    label = "; ".join(f"{name} {plain(found['mean'])}" for name, found, _ in rows)
    return panel(title, bottom + 20, label, *marks)


def ridges(
    title: str,
    scores: NDArray[np.float32],
    grades: NDArray[np.int8],
    extent: tuple[float, float],
    bands: Mapping[str, Sequence[float | None]],
) -> Markup:
    """Smoothed distribution of scores, a ridge a grade; the upright line is the mean, the strip the band."""
    left, right, row_height, top = 58, WIDTH - 8, 62, 4
    bottom = top + 3 * row_height
    scale = linear(*extent, left, right)
    grid = np.linspace(*extent, GRID)
    curves = {grade: scores[grades == grade].astype(np.float64) for grade in GRADES}
    heights = {grade: density(values, grid) for grade, values in curves.items() if len(values) > 1}
    tallest = max((curve.max() for curve in heights.values()), default=1.0)
    marks: list[Markup] = x_axis(scale, ticks(*extent), top, bottom)
    for index, (grade, meaning) in enumerate(GRADES.items()):
        base = top + (index + 1) * row_height
        values = curves[grade]
        drawn = [*_band(bands.get(str(grade)), extent, scale, base), line(left, base, right, base, "floor")]
        words = f"Grade {grade}, {meaning}: {len(values):,} pairs"
        if grade in heights:
            ys = base - heights[grade] / tallest * (row_height - 8)
            xs = np.array([scale(x) for x in grid])
            outline = np.concatenate([[xs[0]], xs, [xs[-1]]]), np.concatenate([[base], ys, [base]])
            mean = float(values.mean())
            drawn.append(path(*outline, f"ridge grade{grade}", closed=True))
            drawn.append(line(scale(mean), base, scale(mean), base - row_height + 12, f"mean grade{grade}"))
            words += f", mean score {plain(mean)}"
        drawn.append(text(0, base - 4, f"grade {grade}", f"label ink{grade}"))
        marks.append(tip(words, *drawn))
    means = "; ".join(f"grade {grade} mean {plain(float(v.mean()))}" for grade, v in curves.items() if len(v))
    return panel(title, bottom + 20, means, *marks)


def _band(band: Sequence[float | None] | None, extent: tuple[float, float], scale: Any, base: float) -> list[Markup]:
    if band is None:
        return []
    low = extent[0] if band[0] is None else max(band[0], extent[0])
    high = extent[1] if band[1] is None else min(band[1], extent[1])
    if high <= low:
        return []
    return [
        el(
            "rect",
            x=f"{scale(low):.1f}",
            y=base,
            width=f"{scale(high) - scale(low):.1f}",
            height=4,
            class_="band",
        )
    ]


def curve(title: str, steps: NDArray[np.float64], values: NDArray[np.float64]) -> Markup:
    """A quantity over training steps: each value faintly, and where there are many, a smoothed line."""
    left, right, top, bottom = 44, WIDTH - 8, 10, 150
    low, high = float(values.min()), float(values.max())
    x, y = linear(float(steps[0]), float(steps[-1]), left, right), linear(low, high, bottom, top)
    marks: list[Markup] = x_axis(x, ticks(float(steps[0]), float(steps[-1])), bottom, bottom)
    for value in ticks(low, high):
        marks += [line(left, y(value), right, y(value), "grid")]
        marks += [text(left - 6, y(value) + 4, tick_text(value), "tick", anchor="end")]
    many = len(steps) > 60
    shown = _thin(steps, values) if many else (steps, values)
    xs, ys = np.array([x(step) for step in shown[0]]), np.array([y(value) for value in shown[1]])
    marks.append(path(xs, ys, "curve faint" if many else "curve"))
    if many:
        smooth = _smooth(shown[1])
        marks.append(path(xs, np.array([y(value) for value in smooth]), "curve"))
    else:
        marks += [
            tip(
                f"step {int(step):,}: {plain(float(value), 4)}",
                el("circle", cx=f"{x(step):.1f}", cy=f"{y(value):.1f}", r=3.5, class_="dot"),
            )
            for step, value in zip(steps, values, strict=True)
        ]
    label = f"from {plain(float(values[0]), 4)} to {plain(float(values[-1]), 4)} over {len(steps):,} points"
    return panel(title, bottom + 20, label, *marks)


def _thin(steps: NDArray[np.float64], values: NDArray[np.float64], most: int = 400) -> tuple[Any, Any]:
    """Means over at most `most` neighbouring bins: a file of a million steps is still a small picture."""
    bins = np.array_split(np.arange(len(steps)), min(most, len(steps)))
    return np.array([steps[part].mean() for part in bins]), np.array([values[part].mean() for part in bins])


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running mean over a window centred on each point, narrower at the ends."""
    reach = max(1, round(SMOOTH * len(values) / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, last = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def forest(title: str, rows: Sequence[tuple[str, int, Mapping[str, Any]]]) -> Markup:
    """A difference with its interval a slice (name, queries, delta); hollow where the interval holds 0."""
    left, right, row_height, top = 148, WIDTH - 10, 26, 4
    bottom = top + row_height * len(rows)
    ends = [float(found[key]) for *_, found in rows for key in ("delta", "low", "high") if found[key] is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    scale = linear(low, high, left, right)
    marks: list[Markup] = x_axis(scale, ticks(low, high, 3), top, bottom)
    marks.append(line(scale(0), top, scale(0), bottom, "zero"))
    for index, (name, queries, found) in enumerate(rows):
        y = top + (index + 0.5) * row_height
        short = name if len(name) <= 17 else name[:16] + "…"
        drawn = [text(0, y + 4, short, "label"), text(left - 10, y + 4, f"{queries:,}", "tick", anchor="end")]
        words = f"{name}, {queries:,} queries: {signed(found['delta'])}"
        sure = False
        if found["low"] is not None:
            sure = found["low"] > 0 or found["high"] < 0
            drawn.append(line(scale(found["low"]), y, scale(found["high"]), y, "whisker"))
            words += f" [{signed(found['low'])}, {signed(found['high'])}]"
        x = scale(found["delta"])
        drawn.append(el("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4.5, class_="dot" if sure else "dot hollow"))
        marks.append(tip(words, *drawn))
    label = "; ".join(f"{name} {signed(found['delta'])}" for name, _, found in rows)
    return panel(title, bottom + 20, label, *marks)
