"""The sections of the page, in the order they are read; one with nothing to show is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motherlode.report import pictures
from motherlode.report.formats import change, metric_name, plain
from motherlode.report.layout import Systems, grid, order, section, sides
from motherlode.report.markup import Markup, el, join
from motherlode.report.measured import Measured
from motherlode.report.tables import pool_note, separation_table

CURVES = {
    "loss": "Loss",
    "validation_ndcg@10": "Validation NDCG@10",
    "temperature": "Temperature",
}


def headline(measured: Measured, systems: Systems) -> Markup:
    """The figures that matter, with what changed since the baseline."""
    metrics, after = measured.metrics, systems["after"]
    found = metrics["systems"][after]
    deltas = metrics["deltas"].get(after, {})
    first, last = metrics["cutoffs"][0], metrics["cutoffs"][-1]
    figures = [(name, found["catalogue"][name]["mean"]) for name in (f"ndcg@{first}", f"recall@{last}")]
    if "separation" in found:
        figures.append(("auc_2_0", found["separation"]["auc_2_0"]["within"]))
        figures.append(("margin_2_0", found["separation"]["margin_2_0"]["mean"]))
    cards = [
        el(
            "div",
            el("div", metric_name(name), class_="what"),
            el("div", plain(value), class_="big"),
            el("div", change(deltas.get(name)), class_=f"change {_direction(deltas.get(name))}"),
            class_="card",
        )
        for name, value in figures
    ]
    over = f"{after} over {metrics['baseline']}, with 95 % intervals" if deltas else after
    return join(el("p", over, class_="over"), el("div", cards, class_="cards"))


def _direction(delta: Mapping[str, Any] | None) -> str:
    """up or down where the interval lies wholly on one side of 0."""
    if not delta or delta["low"] is None:
        return ""
    return "up" if delta["low"] > 0 else "down" if delta["high"] < 0 else ""


def metric_bars(measured: Measured, systems: Systems) -> Markup:
    """Bars with intervals for all systems."""
    metrics = measured.metrics
    first, last = metrics["cutoffs"][0], metrics["cutoffs"][-1]
    names = list(dict.fromkeys([f"ndcg@{first}", f"recall@{last}", f"recall_grade2@{last}"]))
    panels = [
        pictures.bars(
            metric_name(name),
            [
                (
                    system,
                    metrics["systems"][system]["catalogue"][name],
                    "after" if system == systems["after"] else "",
                )
                for system in order(metrics, systems)
            ],
        )
        for name in names
    ]
    return section("How well it ranks", pool_note(metrics), grid(panels))


def distributions(measured: Measured, systems: Systems) -> Markup | None:
    """Scores by grade before and after, AUCs and margins beside."""
    metrics = measured.metrics
    frames = {}
    for name in sides(systems):
        frame = measured.pairs(name)
        if frame is not None:
            frames[name] = (frame["score"].to_numpy(), frame["grade"].to_numpy())
    if not frames:
        return None
    extent = (
        float(min(scores.min() for scores, _ in frames.values())),
        float(max(scores.max() for scores, _ in frames.values())),
    )
    if extent[0] == extent[1]:
        return None
    panels = [pictures.ridges(name, *frame, extent, metrics["bands"]) for name, frame in frames.items()]
    note = (
        "Scores of the judged pairs by grade. The fine line is the mean, the strip below a ridge the band "
        "that grade aims for. Ridges further apart mean a score that can be cut at a threshold."
    )
    return section("How far apart the grades lie", note, grid(panels), separation_table(metrics, list(frames)))


def learning(records: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Learning curves of whatever the log holds."""
    panels = []
    for key, title in CURVES.items():
        points = [(r["step"], r[key]) for r in records if isinstance(r.get(key), (int, float))]
        if len(points) > 1:
            steps, values = np.array(points, dtype=np.float64).T
            finite = np.isfinite(values)
            if finite.sum() > 1:
                panels.append(pictures.curve(title, steps[finite], values[finite]))
    return section("How it learned", "Over training steps.", grid(panels)) if panels else None


def slice_forest(measured: Measured, systems: Systems) -> Markup | None:
    """Change of the trained system in every slice."""
    metrics, after = measured.metrics, systems["after"]
    if not metrics["slices"] or after not in metrics["deltas"]:
        return None
    shown = list(next(iter(metrics["slices"].values()))["deltas"][after])
    panels = []
    for name in shown:
        parts = [("all queries", metrics["deltas"][after][name])]
        parts += [(part, found["deltas"][after][name]) for part, found in metrics["slices"].items()]
        rows = [(part, found["n"], found) for part, found in parts if found["delta"] is not None]
        panels.append(pictures.forest(f"Change in {metric_name(name)}", rows))
    note = (
        f"{after} less {metrics['baseline']}, 95 % intervals, with the number of queries. A hollow dot: the "
        "interval holds 0."
    )
    return section("Where it helps", note, grid(panels))


def provenance(facts: Mapping[str, Any]) -> Markup | None:
    """What it was made from."""
    rows = [
        item
        for key, value in facts.items()
        if key != "simulated" and value is not None
        for item in (el("dt", key.replace("_", " ")), el("dd", _fact(value)))
    ]
    return section("Where it comes from", None, el("dl", rows, class_="facts")) if rows else None


def _fact(value: Any) -> object:
    if isinstance(value, Mapping):
        return [el("div", f"{key}: {inner}") for key, inner in value.items()]
    return plain(value) if isinstance(value, int) and not isinstance(value, bool) else value
