"""One self-contained page a run: everything inline, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motherlode.errors import SettingError
from motherlode.report import blending, queries, sections, tables
from motherlode.report.markup import el, join
from motherlode.report.measured import Measured, read_log
from motherlode.report.shell import write_page

ROLES = ("before", "after", "lexical", "blend")


def write(
    folder_evaluate: Path,
    out: Path,
    *,
    title: str,
    facts: Mapping[str, Any],
    fit_log: Path | None,
    systems: Mapping[str, str],
    blends: Mapping[str, Any] | None = None,
    thresholds: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of an evaluation to `out` and return `out`.

    folder_evaluate holds metrics.json and where known per_query.parquet, pairs.parquet, top.parquet; what is
    absent is left out of the page. facts: what was made from what (`summary` is the sentence under the
    title, `simulated` true puts a banner up, the rest is listed). fit_log: the training log, or None.
    systems: which system plays which role, after (needed), before, lexical, blend. blends, thresholds: the
    metrics.json of these stages. Raises MissingError
    without metrics.json, SettingError for a role or a system that is not known, InputError for a table or a
    log that cannot be read.
    """
    measured = Measured(folder_evaluate)
    _check(systems, measured)
    summary = facts.get("summary")
    body = join(
        el("header", el("h1", title), el("p", summary, class_="summary") if summary else None),
        sections.headline(measured, systems),
        sections.metric_bars(measured, systems),
        sections.distributions(measured, systems),
        sections.learning(read_log(fit_log)),
        sections.slice_forest(measured, systems),
        blending.blends(blends) if blends else None,
        blending.thresholds(thresholds) if thresholds else None,
        queries.won_and_lost(measured, systems),
        tables.full_table(measured, systems),
        sections.provenance({key: value for key, value in facts.items() if key != "summary"}),
    )
    return write_page(out, title, body, simulated=bool(facts.get("simulated")))


def _check(systems: Mapping[str, str], measured: Measured) -> None:
    unknown = set(systems) - set(ROLES)
    if unknown or "after" not in systems:
        raise SettingError(
            f"systems names the roles {', '.join(ROLES)}, `after` always; given are {', '.join(systems)}."
        )
    for role, name in systems.items():
        if name not in measured.metrics["systems"]:
            there = ", ".join(measured.metrics["systems"])
            raise SettingError(f"{measured.folder / 'metrics.json'} has no system '{name}' ({role}): it has {there}.")
