"""The tables of the page: every figure with the gains and the pool it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from motherlode.report.formats import change, metric_name, plain
from motherlode.report.layout import Systems, order, section
from motherlode.report.markup import Markup, el, join
from motherlode.report.measured import Measured

PARTS = {"auc": {"within": ", within a query", "pooled": ", all pairs"}, "band": {"share": ""}}
FAMILIES = ("ndcg", "recall", "recall_grade2", "precision", "precision_grade2")


def separation_table(metrics: Mapping[str, Any], names: Sequence[str]) -> Markup | None:
    """Margins, AUCs and band occupancy of these systems, on all judged pairs and on each slice of pairs."""
    pools = {"": metrics["systems"]} | {
        f", {part}": {name: {"separation": one} for name, one in found["systems"].items()}
        for part, found in metrics["pair_slices"].items()
    }
    columns = {
        name + pool: systems[name]["separation"]
        for pool, systems in pools.items()
        for name in names
        if "separation" in systems.get(name, {})
    }
    if not columns:
        return None
    rows: list[list[object]] = []
    for key in next(iter(columns.values())):
        family = key.split("_")[0]
        label = f"Share of grade {key[-1]} in its band" if family == "band" else metric_name(key)
        for part, words in PARTS.get(family, {"mean": ""}).items():
            rows.append([label + words, *(cell(found[key][part]) for found in columns.values())])
    note = "AUC: share of pairs in the right order, ties 1/2. Margins: mean over queries. Judged pairs only."
    return table(note, ["", *columns], rows)


def full_table(measured: Measured, systems: Systems) -> Markup:
    """Every metric of every system, over the catalogue and in the judged pool, with changes."""
    metrics = measured.metrics
    tables = []
    for pool, prefix in (("catalogue", ""), ("judged", "judged_")):
        names = [name for name in order(metrics, systems) if pool in metrics["systems"][name]]
        if not names:
            continue
        rows = []
        for key in sorted(metrics["systems"][names[0]][pool], key=_family):
            row: list[object] = [metric_name(key)]
            for name in names:
                found = metrics["systems"][name][pool][key]
                delta = metrics["deltas"].get(name, {}).get(prefix + key)
                row.append(cell(found["mean"], change(delta)))
            row.append(cell(metrics["systems"][names[0]][pool][key]["n"]))
            rows.append(row)
        tables.append(table(pool_note(metrics, pool), ["metric", *names, "queries"], rows))
    return section("Every figure", f"Small: change over {metrics['baseline']}.", *tables)


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    """A table that sorts by a click on its heads and scrolls sideways where it is too wide."""
    head = el("tr", [el("th", el("button", name) if name else None, scope="col") for name in heads])
    body = [
        el(
            "tr",
            el("th", row[0], scope="row"),
            [one if isinstance(one, Markup) else el("td", one) for one in row[1:]],
        )
        for row in rows
    ]
    # the caption stays outside what scrolls sideways, so that a narrow screen shows all of it
    scrolled = el("table", el("thead", head), el("tbody", body))
    return join(
        el("p", caption, class_="note caption"),
        el("div", scrolled, class_="scroll", tabindex="0", role="region", aria_label=caption),
    )


def cell(value: float | None, small: str = "") -> Markup:
    """A number in a table, and what changed in small below it."""
    return el("td", plain(value), el("small", small) if small else None, data_value="" if value is None else value)


def pool_note(metrics: Mapping[str, Any], pool: str = "catalogue") -> str:
    """Gains, pool, queries and how intervals were made: said with every table."""
    gains = " / ".join(f"{gain:g}" for gain in metrics["gains"])
    if pool == "judged":
        ranked = f"the judged items of each query alone ({sum(metrics['judgements']):,} pairs)"
    elif metrics["items"]:
        ranked = f"all {metrics['items']:,} items"
    else:
        ranked = "all items of the catalogue"
    return (
        f"Gains {gains} for grades 0 / 1 / 2; ranked among {ranked}; {metrics['queries']:,} queries; "
        "not judged counts as 0; 95 % intervals by paired bootstrap over queries, "
        f"{metrics['resamples']:,} resamples, seed {metrics['seed']}."
    )


def _family(key: str) -> tuple[int, int]:
    stem, _, cutoff = key.partition("@")
    return FAMILIES.index(stem), int(cutoff)
