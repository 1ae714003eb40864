"""The page of a recommender: how well it ranks, where, how it learned, whom it helped, what its codes hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.errors import SettingError
from motherlode.report import codebook, pictures, sections
from motherlode.report.formats import change, metric_name, plain, signed
from motherlode.report.layout import grid, section
from motherlode.report.markup import Markup, el, join
from motherlode.report.shell import write_page
from motherlode.report.tables import cell, table

if TYPE_CHECKING:
    from motherlode.semantics.codes import Codes

HEADLINE = ("recall@50", "recall@200", "ndcg@50")
PARTS = ("head", "torso", "tail", "cold")
NEITHER = {"step", "epoch", "loss", "lr", "gradient_norm", "seconds", "encoded_items"}  # drawn elsewhere, or dull


def write_recommend(
    out: Path,
    *,
    title: str,
    metrics: Mapping[str, Any],
    trained: str,
    examples: Sequence[Mapping[str, Any]],
    log: Sequence[Mapping[str, Any]],
    views: Mapping[str, Any],
    described: Mapping[str, Any],
    codes: Codes,
    titles: Sequence[str],
    facts: Mapping[str, Any],
) -> Path:
    """Write the page to `out` and return it.

    metrics, examples: as the stage `recommend_evaluate` writes them; trained: the system they are about.
    log: lines of the training log. views, described: what the stages `views` and `codes` say of themselves.
    codes, titles: of the N items, for the inspector. facts: what was made from what.
    Raises SettingError where `metrics` has no such system.
    """
    if trained not in metrics["systems"]:
        raise SettingError(f"The metrics have no system '{trained}': they have {', '.join(metrics['systems'])}.")
    body = join(
        el("header", el("h1", title), el("p", _summary(metrics), class_="summary")),
        _headline(metrics, trained),
        _bars(metrics, trained),
        _slices(metrics, trained),
        _learning(log),
        _users(examples),
        codebook.views_section(views),
        codebook.codes_section(described),
        codebook.inspector(codes, titles),
        _table(metrics, trained),
        sections.provenance(facts),
    )
    return write_page(out, title, body, simulated=bool(metrics["simulated"]))


def _summary(metrics: Mapping[str, Any]) -> str:
    left = "".join(f" {name} is left out: it {why}." for name, why in metrics["left out"].items())
    return (
        f"{metrics['users']:,} users, each ranked over all {metrics['items']:,} items but those they had; "
        f"95 % intervals by paired bootstrap over users, {metrics['resamples']:,} resamples, "
        f"seed {metrics['seed']}.{left}"
    )


def _headline(metrics: Mapping[str, Any], trained: str) -> Markup:
    best = metrics["best baseline"]
    deltas = metrics["against"].get(best, {})
    cards = []
    for name in HEADLINE:
        delta = deltas.get(name)
        sure = bool(delta) and delta["low"] is not None
        kind = "up" if sure and delta["low"] > 0 else "down" if sure and delta["high"] < 0 else ""
        cards.append(
            el(
                "div",
                el("div", metric_name(name), class_="what"),
                el("div", plain(metrics["systems"][trained][name]["mean"]), class_="big"),
                el("div", change(delta), class_=f"change {kind}"),
                class_="card",
            )
        )
    over = f"{trained} over {best}, the best baseline, with 95 % intervals" if best else trained
    return join(el("p", over, class_="over"), el("div", cards, class_="cards"))


def _bars(metrics: Mapping[str, Any], trained: str) -> Markup:
    panels = [
        pictures.bars(
            metric_name(name),
            [
                (system, found[name], "after" if system == trained else "")
                for system, found in metrics["systems"].items()
            ],
        )
        for name in HEADLINE
    ]
    return section("How well it ranks", "The whole catalogue is ranked; what a user had is left out.", grid(panels))


def _slices(metrics: Mapping[str, Any], trained: str) -> Markup | None:
    """Recall by how popular the target was in training, and the change over every baseline there."""
    found = metrics["systems"]
    parts = [part for part in PARTS if metrics["targets"][part]]
    panels = []
    for part in parts:
        name = f"recall@50/{part}"
        rows = [(system, one[name], "after" if system == trained else "") for system, one in found.items()]
        panels.append(pictures.bars(f"Recall@50, {part}: {metrics['targets'][part]:,} targets", rows))
    for base, deltas in metrics["against"].items():
        named = [("all targets", deltas["recall@50"])] + [(part, deltas[f"recall@50/{part}"]) for part in parts]
        forest = [(part, one["n"], one) for part, one in named if one["delta"] is not None]
        panels.append(pictures.forest(f"Recall@50 over {base}", forest))
    note = (
        "By the target's popularity in training: head are the most popular 10 % of the trained items, torso the next "
        "40 %, tail the rest, cold those without a training event. A hollow dot: the interval holds 0."
    )
    return section("Where it helps", note, grid(panels)) if panels else None


def _learning(log: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Loss, validation, and what the sampler says of its negatives."""
    keys = list(dict.fromkeys(key for record in log for key in record))
    validations = [key for key in keys if key in {f"validation_{name}" for name in HEADLINE}]
    others = [key for key in keys if key not in NEITHER and not key.startswith("validation_")]
    names = {"loss": "Loss"} | {
        key: f"Validation {metric_name(key.removeprefix('validation_'))}" for key in validations
    }
    names |= {key: key.replace("_", " ").capitalize() for key in others}
    panels = []
    for key, title in names.items():
        points = [(record["step"], record[key]) for record in log if isinstance(record.get(key), (int, float))]
        steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
        finite = np.isfinite(values)
        if finite.sum() > 1 and (key not in others or np.ptp(values[finite]) > 0):
            panels.append(pictures.curve(title, steps[finite], values[finite]))
    return section("How it learned", "Over training steps.", grid(panels)) if panels else None


def _users(examples: Sequence[Mapping[str, Any]]) -> Markup | None:
    columns = []
    for title, chosen in (
        ("Won most", [one for one in examples if one["gain"] > 0]),
        ("Lost most", [one for one in examples if one["gain"] < 0]),
    ):
        if chosen:
            columns.append(el("div", el("h3", title), [_user(one, at == 0) for at, one in enumerate(chosen)]))
    note = "By NDCG@50 against the best baseline. A filled mark: the user took it next."
    return section("Users won and lost", note, el("div", columns, class_="queries")) if columns else None


def _user(one: Mapping[str, Any], opened: bool) -> Markup:
    summary = el(
        "summary",
        el("span", f"User {one['user']}", class_="query"),
        el("span", signed(one["gain"], 2), class_="delta up" if one["gain"] > 0 else "delta down"),
        el("span", f"{one['events']:,} events before", class_="from"),
    )
    lists = [
        el("div", el("h4", "had, latest last"), _list([(title, False) for title in one["history"]])),
        el("div", el("h4", "took next"), _list([(title, True) for title in one["targets"]])),
    ]
    for name, rows in one["lists"].items():
        head = f"{name}, NDCG@50 {plain(one['values'][name], 2)}"
        lists.append(el("div", el("h4", head), _list([(row["title"], row["hit"]) for row in rows])))
    return el("details", summary, el("div", lists, class_="sides"), open="" if opened else None)


def _list(rows: Sequence[tuple[str, bool]]) -> Markup:
    marks = {True: ("grade2", "✓", "taken next"), False: ("none", "·", "not taken")}
    items = []
    for title, hit in rows:
        kind, sign, words = marks[hit]
        mark = el("span", sign, class_=f"chip {kind}", title=words, aria_label=words, role="img")
        items.append(el("li", mark, el("span", title)))
    return el("ol", items)


def _table(metrics: Mapping[str, Any], trained: str) -> Markup:
    """Every figure of every system; small, what the trained one gains over it."""
    names = list(metrics["systems"])
    rows = []
    for key, found in metrics["systems"][trained].items():
        row: list[object] = [_name(key)]
        row += [
            cell(metrics["systems"][name][key]["mean"], change(metrics["against"].get(name, {}).get(key)))
            for name in names
        ]
        rows.append([*row, cell(found["n"])])
    return section(
        "Every figure",
        f"Small: change of {trained} over that system.",
        table(_summary(metrics), ["metric", *names, "users"], rows),
    )


def _name(key: str) -> str:
    metric, _, part = key.partition("/")
    return metric_name(metric) + (f", {part}" if part else "")
