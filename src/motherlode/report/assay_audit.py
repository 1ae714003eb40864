"""Sections of the assay page about the audit and the ledger; one with nothing to show is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from motherlode.report import assay_pictures
from motherlode.report.assay_formats import percent
from motherlode.report.formats import DASH, plain, signed
from motherlode.report.layout import grid, section
from motherlode.report.markup import Markup, el
from motherlode.report.tables import cell, table

Facts = Mapping[str, Any]
RATES = {
    "doubted": "Sampled pairs that engagement contradicts",
    "diff_rate": "Judge differs from the label",
    "win_rate": "People side with the judge",
    "label_rate": "People side with the label",
    "neither_rate": "People choose the third grade",
    "changed_share": "Labels changed, of all",
    "changed_of_sample": "Labels changed, of the sample",
}
COUNTS = {
    "annotated": "Annotated pairs",
    "sampled": "Sampled pairs",
    "discrepancies": "Discrepancies",
    "settled": "Settled by people",
}


def audit(found: Facts | None) -> Markup | None:
    """The audit's counts and rates beside the paper's, and precision against recall where the truth is known."""
    if not found:
        return None
    rows: list[list[object]] = [[words, cell(found[key]), ""] for key, words in COUNTS.items() if key in found]
    paper = found.get("paper", {})
    for key, words in RATES.items():
        one = found.get(key)
        if one:
            small = f"{percent(one['low'])} {DASH} {percent(one['high'])} of {one['n']:,}"
            value = el("td", percent(one["rate"]), el("small", small) if one["n"] else None)
            rows.append([words, value, percent(paper[key]) if key in paper else ""])
    panels = []
    for name, curve in found.get("curve", {}).items():
        points = [
            (one["recall"], one["precision"], f"recall {plain(one['recall'])}, precision {plain(one['precision'])}")
            for one in sorted(curve, key=lambda one: (one["recall"], -one["precision"]))
        ]
        panels.append(assay_pictures.against(f"Planted errors found: {name}", "recall", "precision", points, {}))
    return section(
        "What the audit found",
        "Labels that engagement contradicts, judged again, and settled by people. 95 % Wilson intervals.",
        el("div", grid(panels), style="max-width:520px" if len(panels) == 1 else None) if panels else None,
        table("Counts and rates.", ["", "here", "paper"], rows),
    )


def ledger(found: Facts | None) -> Markup | None:
    """Verdicts by judge, and agreement between judges and between versions of one."""
    if not found or not found["judges"]:
        return None
    rows = [
        [
            _judge(one["judge"]),
            el("td", one["judge"]["rubric"]),
            cell(one["verdicts"]),
            *(cell(count) for count in one["grades"]),
            el("td", plain(one["cost"], 2), data_value=one["cost"]),
            cell(one["withdrawn"]),
            el("td", one["last"][:16].replace("T", " ")),
        ]
        for one in found["judges"]
    ]
    heads = ["Judge", "Rubric", "Verdicts", "Grade 0", "Grade 1", "Grade 2", "Cost", "Taken back", "Last"]
    total = sum(one["verdicts"] for one in found["judges"])
    compared = [
        _compared(words, found[key])
        for key, words in (("agreement", "Two judges on the same pairs."), ("drift", "Two versions of one judge."))
        if found.get(key)
    ]
    note = "Every verdict is kept with its judge, version and rubric; a pair is judged once per version."
    return section("The ledger", note, table(f"{total:,} verdicts.", heads, rows), *compared)


def _compared(caption: str, rows: Sequence[Facts]) -> Markup:
    heads = ["First", "Second", "Shared pairs", "Changed", "Within one grade", "Quadratic kappa", "Mean shift"]
    return table(
        caption,
        heads,
        [
            [
                _judge(one["first"]),
                el("td", _judge(one["second"])),
                cell(one["shared"]),
                *(cell(one[key]) for key in ("changed", "within_1", "quadratic_kappa")),
                el("td", signed(one["mean_shift"]), data_value=one["mean_shift"]),
            ]
            for one in rows
        ],
    )


def _judge(one: Facts) -> str:
    return f"{one['name']}@{one['version']}"
