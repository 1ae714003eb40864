"""Synthetic queries without a model: brand, category, attributes and the head of the title put together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from motherlode.tables.hashing import hash_ids, mix
from motherlode.text.overlap import token_overlap

# parts of an item, in the order they are written; a template is used where the item has all of its parts
TEMPLATES = (
    ("category",),
    ("brand", "category"),
    ("value", "category"),
    ("category", "value"),
    ("brand", "value", "category"),
    ("parent", "value"),
    ("brand", "head"),
    ("value", "head"),
    ("head",),
    ("brand", "parent"),
)
LONGEST = 8  # words of a query
VALUE = 3  # words of an attribute's value: longer ones are sentences
HEAD = 3  # words at the end of a title's first phrase, where English titles name the thing
# what ends the first phrase of a title; a hyphen within a word does not
_BREAK = re.compile(r"[,;:|(\[/\u3001\u3002\uff0c\uff08]|\s[-–—]\s|\s(?:with|for|in|by)\s", re.IGNORECASE)
_NUMBER = re.compile(r"\d")


class TemplateGenerator:
    """One query an item from its features, by templates in an order drawn from (seed, item id).

    The first template whose parts the item has and whose words overlap with the title by no more than the ceiling.
    category: the taxonomy's last level; parent: the one before; brand; value: one of the attributes; head: the last
    words of the title's first phrase, without brand and numbers. All in lower case. Where a catalogue holds titles
    alone, every word is the title's, and only a ceiling of 1 leaves anything. Source: after Instacart's queries made
    from permuted catalogue data (Xie et al., arXiv 2209.05555); the templates are ours.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def queries(self, items: pl.DataFrame, ceiling: float) -> Sequence[str | None]:
        """A query for each row: item_id and title, and where the frame has them brand, taxonomy and attributes."""
        keys = hash_ids(items["item_id"], self.seed, "template")
        order = np.stack([mix(keys, np.full(len(keys), turn, np.uint64)) for turn in range(len(TEMPLATES))], axis=1)
        return [
            _query(item, np.argsort(order[row]).tolist(), int(keys[row]), ceiling)
            for row, item in enumerate(items.iter_rows(named=True))
        ]


def _query(item: Mapping[str, Any], order: list[int], key: int, ceiling: float) -> str | None:
    parts = _parts(item, key)
    for number in order:
        template = TEMPLATES[number]
        if not all(parts.get(part) for part in template):
            continue
        words = " ".join(parts[part] for part in template).split()
        query = " ".join(dict.fromkeys(words))  # "oak" of the value and of the category is said once
        if len(query.split()) <= LONGEST and token_overlap(query, item["title"]) <= ceiling:
            return query
    return None


def _parts(item: Mapping[str, Any], key: int) -> dict[str, str]:
    path = [_line(level) for level in item.get("taxonomy") or () if level and level.strip()]
    brand = _line(item.get("brand"))
    values = [_line(one["value"]) for one in item.get("attributes") or () if one and one["value"]]
    values = [value for value in values if 0 < len(value.split()) <= VALUE and value != brand]
    return {
        "category": path[-1] if path else "",
        "parent": path[-2] if len(path) > 1 else "",
        "brand": brand,
        "value": values[key % len(values)] if values else "",
        "head": _head(item["title"], brand),
    }


def _head(title: str, brand: str) -> str:
    owned = set(brand.split())
    phrase = _BREAK.split(title, maxsplit=1)[0]
    words = [word for word in _line(phrase).split() if not _NUMBER.search(word) and word not in owned]
    return " ".join(words[-HEAD:])


def _line(text: str | None) -> str:
    return " ".join(text.casefold().split()) if text else ""
