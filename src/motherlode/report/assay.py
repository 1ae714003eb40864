"""The assay page: how far graders agree with people, what a verdict costs, what the audit found, the ledger."""

from __future__ import annotations

from pathlib import Path

from motherlode.report.assay_audit import audit, ledger
from motherlode.report.assay_formats import gain, interval
from motherlode.report.assay_graders import MEASURES, Facts, calibration, cascade, graders
from motherlode.report.formats import plain
from motherlode.report.markup import Markup, el, join
from motherlode.report.sections import provenance
from motherlode.report.shell import write_page


def write_assay(path: Path, facts: Facts) -> Path:
    """Write one self-contained page to `path` and return it; what the facts lack is left out.

    facts: title; summary; simulated (true puts a banner up); graders {name: {agreement: of evaluation.agreement,
    interval: of agreement_interval, gain: of agreement_gain over the best baseline, calibration: of
    calibration_error, reliability: of evaluation.calibration_error.reliability}}, the first one told in full;
    baselines {name: agreement}; ceiling: of rater_ceiling; cascade {curve: of cascade_tuning.curve, chosen: of
    measure, members {name: {relative_cost, agreement}}}; audit: of audit.outcome, and `curve` {signal: [{precision,
    recall}]} where the truth is known; ledger: LedgerReport.as_dict(); provenance {name: value}.
    """
    title, summary = facts.get("title", "Assay"), facts.get("summary")
    body = join(
        el("header", el("h1", title), el("p", summary, class_="summary") if summary else None),
        headline(facts.get("graders", {})),
        graders(facts.get("graders", {}), facts.get("baselines", {}), facts.get("ceiling")),
        calibration(facts.get("graders", {})),
        cascade(facts.get("cascade")),
        audit(facts.get("audit")),
        ledger(facts.get("ledger")),
        provenance(facts.get("provenance", {})),
    )
    return write_page(path, title, body, simulated=bool(facts.get("simulated")))


def headline(found: Facts) -> Markup | None:
    """The first grader's figures, each with what it gains over the baseline or its interval."""
    if not found:
        return None
    name, first = next(iter(found.items()))
    cards = []
    for key, measure in MEASURES.items():
        over = first.get("gain", {}).get(key)
        sure = over is not None and over["low"] is not None and (over["low"] > 0 or over["high"] < 0)
        below = gain(over) if over else interval(first.get("interval", {}).get(key))
        kind = "" if not sure else "up" if over["value"] > 0 else "down"
        cards.append(
            el(
                "div",
                el("div", measure, class_="what"),
                el("div", plain(first["agreement"][key]), class_="big"),
                el("div", below, class_=f"change {kind}"),
                class_="card",
            )
        )
    words = f"{name}, {first['agreement']['n']:,} pairs with known grades"
    if first.get("gain"):
        words += "; below each figure its gain over the best baseline, with 95 % interval"
    return join(el("p", words, class_="over"), el("div", cards, class_="cards"))
