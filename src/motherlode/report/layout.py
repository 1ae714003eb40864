"""What the sections share: their frame, the grades' meanings, the order in which systems are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from motherlode.report.markup import Markup, el

GRADES = {2: "relevant", 1: "moderately relevant", 0: "irrelevant"}
Systems = Mapping[str, str]  # role (before, after, lexical, blend) -> name of the system


def section(title: str, note: str | None, *content: object) -> Markup:
    """A titled part of the page."""
    return el("section", el("h2", title), el("p", note, class_="note") if note else None, *content)


def grid(panels: Sequence[Markup]) -> Markup:
    """Panels beside one another as the width allows."""
    return el("div", list(panels), class_="grid")


def order(metrics: Mapping[str, Any], systems: Systems) -> list[str]:
    """The named systems in their telling order, then all others."""
    named = [systems[role] for role in ("lexical", "before", "after", "blend") if role in systems]
    return list(dict.fromkeys([*named, *metrics["systems"]]))


def sides(systems: Systems) -> list[str]:
    return [systems[role] for role in ("before", "after") if role in systems]
