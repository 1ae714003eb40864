"""Drawing blocks: scales, ticks, text and marks. Colours are classes of page.css, to follow dark mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from motherlode.report.markup import Markup, el

WIDTH = 360  # every panel has one width, so that text keeps its size on a telephone
Scale = Callable[[float], float]


def panel(title: str, height: float, label: str, *marks: object) -> Markup:
    """One small picture: a figure with its title above and `label` for those who cannot see it."""
    drawing = el("svg", *marks, viewBox=f"0 0 {WIDTH} {height:g}", role="img", aria_label=f"{title}: {label}")
    return el("figure", el("figcaption", title), drawing, class_="panel")


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Map low..high to start..end; an empty range maps to the middle."""
    if high == low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) within low..high."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(power * min((1, 2, 5, 10), key=lambda m: abs(np.log(m * power / rough))))
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [index * step for index in range(first, last + 1)]


def tick_text(value: float) -> str:
    """0.25, 4,000, 1e-05."""
    if value and abs(value) < 1e-3:
        return f"{value:.0e}"
    return f"{value:,.10g}".replace("-", "−")


def x_axis(scale: Scale, values: Sequence[float], top: float, bottom: float) -> list[Markup]:
    """Fine vertical lines with numbers below them."""
    return [
        mark
        for value in values
        for mark in (
            line(scale(value), top, scale(value), bottom, "grid"),
            text(scale(value), bottom + 14, tick_text(value), "tick", anchor="middle"),
        )
    ]


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return el("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=class_)


def text(x: float, y: float, words: object, class_: str, anchor: str = "start") -> Markup:
    """Words at a place."""
    return el("text", words, x=f"{x:.1f}", y=f"{y:.1f}", class_=class_, text_anchor=anchor)


def path(xs: NDArray[np.float64], ys: NDArray[np.float64], class_: str, closed: bool = False) -> Markup:
    """A line through points, or the area it encloses."""
    points = "L".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return el("path", d=f"M{points}{'Z' if closed else ''}", class_=class_)


def tip(words: str, *marks: object) -> Markup:
    """Marks that say `words` when pointed at or focused."""
    return el("g", el("title", words), *marks, tabindex="0", class_="tip")


def density(values: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian kernel density of values at the evenly spaced grid, bandwidth by Silverman's rule.

    Binned on the grid and convolved, so the cost does not grow with values times grid:
    h = 0.9 min(standard deviation, interquartile range / 1.34) n^(-1/5), no less than one grid step.
    """
    step = grid[1] - grid[0]
    quartiles = np.percentile(values, [25, 75])
    spreads = [spread for spread in (values.std(), (quartiles[1] - quartiles[0]) / 1.34) if spread > 0]
    bandwidth = max(0.9 * min(spreads, default=0.0) * len(values) ** -0.2, step)
    edges = np.append(grid - step / 2, grid[-1] + step / 2)
    counts = np.histogram(values, edges)[0]
    reach = np.arange(-len(grid) + 1, len(grid)) * step
    kernel = np.exp(-0.5 * (reach / bandwidth) ** 2) / (bandwidth * np.sqrt(2 * np.pi))
    return np.convolve(counts, kernel, mode="valid") / len(values)
