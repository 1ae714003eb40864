"""True grades of queries made from the generated shop's items: what a text states is what it takes of its item."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from motherlode.shop.assortment import SLOTS, assortment
from motherlode.shop.items import UNSTATED, Codes, codes
from motherlode.shop.truth import Truth, grade


class SyntheticTruth(Truth):
    """The shop's truth, of these queries (query_id, text, made_from) too; `numbers` holds those it can tell.

    A query means its item's leaf, and those of its item's brand and values that its words name in any of the shop's
    spellings. One that names neither leaf nor category (as "utensils oak") has no true grades and is left out.
    """

    def __init__(self, folder: Path, queries: pl.DataFrame) -> None:
        super().__init__(folder)
        made_from = codes(self.seed, np.array([int(one[1:]) for one in queries["made_from"].to_list()], np.int64))
        stated = [_stated(made_from, row, text) for row, text in enumerate(queries["text"].to_list())]
        known = [row for row, one in enumerate(stated) if one is not None]
        held = np.array([stated[row] for row in known], np.int64).reshape(len(known), 2 + SLOTS)
        self.made = Codes(held[:, 0], held[:, 1], held[:, 2:])
        self.numbers = {queries["query_id"][row]: place for place, row in enumerate(known)}

    def grade(self, query_ids: Sequence[str], item_ids: Sequence[str]) -> np.ndarray:
        """Grades int8 [n] of pairs of synthetic queries, or of the shop's own."""
        if query_ids and query_ids[0] not in self.numbers:
            return super().grade(query_ids, item_ids)
        rows = np.array([self.numbers[one] for one in query_ids], np.int64)
        items = np.array([int(one[1:]) for one in item_ids], np.int64)
        return grade(self.made.take(rows), codes(self.seed, items))


def _stated(items: Codes, row: int, text: str) -> tuple[int, ...] | None:
    """Leaf, brand and values that the text takes of item `row`; None where it does not name the leaf."""
    shop = assortment()
    leaf, brand = int(items.leaf[row]), int(items.brand[row])
    nouns = [shop.phrases[one] for one in (*shop.nouns[leaf], *shop.plurals[leaf]) if one >= 0]
    if not any(_names(text, one) for one in (*nouns, shop.paths[leaf][-1])):
        return None
    values = []
    for slot in range(SLOTS):
        value = int(items.values[row, slot])
        forms = shop.spellings[shop.slots[leaf, slot], value] if value >= 0 else []
        values.append(value if any(_names(text, shop.phrases[one]) for one in forms if one >= 0) else UNSTATED)
    return leaf, brand if _names(text, shop.phrases[shop.brand_phrases[brand]]) else UNSTATED, *values


def _names(text: str, phrase: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase.casefold())}(?!\w)", text) is not None
