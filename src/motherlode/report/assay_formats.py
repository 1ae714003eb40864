"""How the assay page writes shares and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motherlode.report.formats import DASH, NBSP, plain, signed


def percent(value: float | None) -> str:
    """23.4 %; a dash where there is none."""
    return DASH if value is None else f"{plain(100 * value, 1)}{NBSP}%"


def interval(found: Mapping[str, Any] | None) -> str:
    """[0.612, 0.640] of {low, high}; nothing where there is none."""
    if not found or found["low"] is None:
        return ""
    return f"[{plain(found['low'])},{NBSP}{plain(found['high'])}]"


def gain(found: Mapping[str, Any]) -> str:
    """+0.121 [+0.101, +0.142] of {value, low, high}."""
    if found["value"] is None:
        return ""
    words = f" [{signed(found['low'])},{NBSP}{signed(found['high'])}]" if found["low"] is not None else ""
    return signed(found["value"]) + words
