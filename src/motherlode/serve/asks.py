"""What is asked of an index, in the form that answers are remembered by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from motherlode.errors import InputError
from motherlode.index.filters import Filter
from motherlode.index.protocol import Mode

PRICE = re.compile(r"\s*(-?\d{1,15}(?:\.\d{1,6})?)?\s*\.\.\s*(-?\d{1,15}(?:\.\d{1,6})?)?\s*")
EVERYTHING = Filter()


@dataclass(frozen=True)
class Ask:
    """A search, or with `item_id` a search for what is like an item.

    Attributes:
        query: what a customer typed; for a similar item the words that say what is to be other, or nothing.
        k: results.
        mode: which legs answer.
        grade: the least stratum that is shown.
        explain: whether the legs' own scores and ranks are told.
        wanted: only items that meet it.
        item_id: the item that results are to be like.
    """

    query: str
    k: int = 10
    mode: Mode = "hybrid"
    grade: int = 0
    explain: bool = False
    wanted: Filter = EVERYTHING
    item_id: str | None = None


def filter_of(conditions: Sequence[str]) -> Filter:
    r"""The filter of conditions "name:value".

    "brand:Acme" (any of several), "taxonomy:Home/Tools" (one path; a slash inside a level is written \/),
    "price:10..50", "price:..50", "price:10..", and "attribute:value" for any other name (any of several values of one
    name). Raises InputError for anything else.
    """
    if not conditions:
        return EVERYTHING
    brands: list[str] = []
    paths: list[tuple[str, ...]] = []
    prices: list[tuple[float | None, float | None]] = []
    attributes: dict[str, list[str]] = {}
    for condition in conditions:
        name, colon, value = condition.partition(":")
        name, value = name.strip(), value.strip()
        if not (colon and name and value):
            raise InputError(f"The filter {condition[:80]!r} is not of the form name:value.")
        match name.casefold():
            case "brand":
                brands.append(value)
            case "taxonomy":
                levels = (level.replace("\\/", "/").strip() for level in re.split(r"(?<!\\)/", value))
                paths.append(tuple(level for level in levels if level))
            case "price":
                found = PRICE.fullmatch(value)
                if not found or found.group(1) is found.group(2) is None:
                    raise InputError(f"The filter {condition[:80]!r} is no range of prices: write price:10..50.")
                low, high = (float(bound) if bound else None for bound in found.groups())
                prices.append((low, high))
            case _:
                attributes.setdefault(name, []).append(value)
    if len(paths) > 1 or len(prices) > 1:
        raise InputError(f"Give one filter of '{'taxonomy' if len(paths) > 1 else 'price'}', not several.")
    return Filter(
        paths[0] if paths else (),
        tuple(brands),
        prices[0] if prices else (None, None),
        tuple((name, tuple(values)) for name, values in attributes.items()),
    )
