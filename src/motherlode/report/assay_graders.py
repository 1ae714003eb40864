"""Sections of the assay page about graders: agreement, calibration, cascade; one with nothing to show is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from motherlode.report import assay_pictures
from motherlode.report.assay_formats import interval, percent
from motherlode.report.formats import DASH, plain
from motherlode.report.layout import GRADES, grid, section
from motherlode.report.markup import Markup, el
from motherlode.report.tables import cell, table

Facts = Mapping[str, Any]
MEASURES = {
    "accuracy": "Accuracy",
    "within_1": "Within one grade",
    "macro_f1": "Macro F1",
    "quadratic_kappa": "Quadratic kappa",
}
PER_GRADE = {
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "truth": "Pairs of the grade",
    "predicted": "Pairs given it",
}
CEILINGS = {
    "oracle_accuracy": "Best any grader can do: accuracy",
    "panel_accuracy": "Three fresh raters: accuracy",
    "panel_within_1": "Three fresh raters: within one grade",
    "panel_quadratic_kappa": "Three fresh raters: quadratic kappa",
    "rater_accuracy": "One fresh rater: accuracy",
}


def graders(found: Facts, baselines: Facts, ceiling: Facts | None) -> Markup | None:
    """Every grader beside the baselines, confusion matrices, and what human raters reach among themselves."""
    everyone = {name: one["agreement"] for name, one in found.items()} | dict(baselines)
    if not everyone:
        return None
    rows = [
        [
            name,
            *(cell(one[key], interval(found.get(name, {}).get("interval", {}).get(key))) for key in MEASURES),
            cell(one["n"]),
            cell(one.get("unanswered", 0)),
        ]
        for name, one in everyone.items()
    ]
    note = "Against the known grades of pairs that took no part in fitting. 95 % intervals by bootstrap over queries."
    heads = ["", *MEASURES.values(), "Pairs", "Unanswered"]
    panels = [assay_pictures.confusion(name, one["confusion"]) for name, one in everyone.items() if "confusion" in one]
    first = next(iter(everyone.values()))
    of_grades = [
        [f"Grade {one['grade']}, {GRADES[one['grade']]}", *(cell(one[key]) for key in PER_GRADE)]
        for one in first.get("grades", [])
    ]
    return section(
        "How far graders agree with people",
        "In the pictures, a row holds the pairs of one true grade.",
        grid(panels),
        table(note, heads, rows),
        table(f"By grade: {next(iter(everyone))}.", ["", *PER_GRADE.values()], of_grades) if of_grades else None,
        _ceiling(ceiling) if ceiling else None,
    )


def _ceiling(found: Facts) -> Markup:
    readings, bounds = found["readings"], found["bounds"]
    rows = [
        [words, *(cell(one[key]) for one in readings.values()), _range(bounds[key])] for key, words in CEILINGS.items()
    ]
    note = (
        f"What raters reach against the grades of a panel of three, from {found['n']:,} averages. Averages leave it "
        "open: two readings of how raters differ, and the range of all that agree with the averages."
    )
    return table(note, ["", *(name.replace("_", " ") for name in readings), "range"], rows)


def calibration(found: Facts) -> Markup | None:
    """Reliability of each grade of the first grader that has it, and the calibration error of all."""
    known = {name: one for name, one in found.items() if one.get("calibration")}
    if not known:
        return None
    drawn = next(((name, one["reliability"]) for name, one in known.items() if one.get("reliability")), None)
    panels = []
    if drawn:
        panels = [
            assay_pictures.reliability(f"{drawn[0]}: grade {grade}, {GRADES[grade]}", bins)
            for grade, bins in enumerate(drawn[1])
        ]
    heads = {"ece": "ECE", "ece_mass": "ECE, equal mass", "brier": "Brier", "log_loss": "Log loss", "n": "Pairs"}
    rows = [[name, *(cell(one["calibration"][key]) for key in heads)] for name, one in known.items()]
    note = "ECE: mean distance between confidence and share right, over bins of confidence."
    return section(
        "How far probabilities can be believed",
        "A dot on the diagonal: of the pairs said to have a grade with that probability, as many have it. Whiskers: "
        "95 % intervals; a larger dot holds more pairs.",
        grid(panels) if panels else None,
        table(note, ["", *heads.values()], rows),
    )


def cascade(found: Facts | None) -> Markup | None:
    """Agreement against cost, with its members and the thresholds chosen."""
    if not found or not found.get("curve"):
        return None
    points = [
        (
            one["relative_cost"],
            one["agreement"],
            f"{percent(one['relative_cost'])} of the cost: {plain(one['agreement'])}",
        )
        for one in found["curve"]
    ]
    named = {name: (one["relative_cost"], one["agreement"]) for name, one in found.get("members", {}).items()}
    chosen = found.get("chosen")
    if chosen:
        named["chosen"] = (chosen["relative_cost"], chosen["agreement"])
    picture = assay_pictures.against("Agreement against cost", "cost over the strongest's", "agreement", points, named)
    rows: list[list[object]] = []
    if chosen:
        labels = {"agreement": "Agreement", "within_1": "Within one grade", "quadratic_kappa": "Quadratic kappa"}
        rows = [[words, cell(chosen[key])] for key, words in labels.items()]
        rows.append(["Cost, of the strongest alone", el("td", percent(chosen["relative_cost"]))])
        for at, share in enumerate(chosen["shares"]):
            rows.append([f"Answered by stage {at + 1}", el("td", percent(share))])
        for at, thresholds in enumerate(chosen["thresholds"]):
            words = " / ".join("never" if one > 1 else plain(one, 2) for one in thresholds)
            rows.append([f"Stage {at + 1} accepts grades 0 / 1 / 2 from", el("td", words)])
    return section(
        "What agreement costs",
        "The cheap grader answers where it is sure, the rest goes on. Each dot is a choice of thresholds.",
        el("div", picture, style="max-width:520px"),
        table("The thresholds chosen, measured on pairs they were not tuned on.", ["", ""], rows) if rows else None,
    )


def _range(ends: Sequence[float] | None) -> Markup:
    return el("td", DASH if ends is None else f"{plain(ends[0])} {DASH} {plain(ends[1])}")
