"""How the page writes numbers and names."""

from __future__ import annotations

from collections.abc import Mapping

MINUS, DASH = "−", "–"
NBSP = "\u00a0"  # keeps a figure and its unit, and both ends of an interval, on one line
FAMILIES = {"ndcg": "NDCG", "recall": "Recall", "precision": "Precision", "auc": "AUC", "margin": "Margin"}


def plain(value: float | None, digits: int = 3) -> str:
    """0.322, 1,204; a dash where there is none."""
    if value is None:
        return DASH
    return (f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}").replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """+0.041, −0.020."""
    return f"{value:+,.{digits}f}".replace("-", MINUS)


def change(delta: Mapping[str, float | None] | None) -> str:
    """A difference and its interval: "+26.1 % [22.0, 30.2]", absolute where a ratio has no meaning."""
    if not delta or delta["delta"] is None:
        return ""
    keys, scale, digits, unit = ("delta", "low", "high"), 1, 3, ""
    if delta["relative_low"] is not None:
        keys, scale, digits, unit = ("relative", "relative_low", "relative_high"), 100, 1, f"{NBSP}%"
    middle, low, high = (delta[key] for key in keys)
    text = signed(scale * (middle or 0.0), digits) + unit
    if low is None or high is None:
        return text
    return f"{text} [{plain(scale * low, digits)},{NBSP}{plain(scale * high, digits)}]"


def metric_name(key: str) -> str:
    """ndcg@10 -> NDCG@10; recall_grade2@100 -> Recall@100, grade 2; margin_2_0 -> Margin 2 v 0."""
    key, judged = key.removeprefix("judged_"), key.startswith("judged_")
    stem, _, cutoff = key.partition("@")
    worst = stem.startswith("worst_")
    family, *rest = stem.removeprefix("worst_").split("_")
    name = FAMILIES.get(family, family)
    if worst:
        name = f"Worst {name.lower()}"
    if cutoff:
        name += f"@{cutoff}" + (", grade 2" if rest else "")
    elif rest:
        name += f" {' v '.join(rest)}"
    return name + (", judged pool" if judged else "")
