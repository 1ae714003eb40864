"""The grade of any pair of the generated shop, exact, from what the query states and what the item is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import read_json
from motherlode.errors import InputError, MissingError
from motherlode.shop.assortment import HARD, ORDERED, SLOTS, assortment
from motherlode.shop.items import Codes, codes, item_ids, members
from motherlode.shop.truth_tables import VERSION


def grade(queries: Codes, items: Codes) -> NDArray[np.int8]:
    """Grades int8 [n] of n pairs, row by row.

    Same leaf category, with m stated constraints (brand and attributes) not met:
      0 if a hard one is not met, or an ordered one by more than one step, or m > 1; else 2 - m.
    The item's leaf is a complement of the query's: 1, but 0 where both leaves have the same hard attribute
    (always their first) and the query states it and the item differs. Anything else: 0.
    """
    shop = assortment()
    unequal = (queries.values >= 0) & (queries.values != items.values)
    kinds = shop.kinds[queries.leaf]
    far = np.abs(queries.values - items.values) > 1
    refused = (unequal & ((kinds == HARD) | ((kinds == ORDERED) & far))).any(axis=1)
    missed = unequal.sum(axis=1) + ((queries.brand >= 0) & (queries.brand != items.brand))
    own = np.where(refused | (missed > 1), 0, 2 - missed)

    shared_hard = (kinds[:, 0] == HARD) & (shop.slots[queries.leaf, 0] == shop.slots[items.leaf, 0])
    complement = shop.complements[queries.leaf, items.leaf] & ~(shared_hard & unequal[:, 0])
    return np.where(queries.leaf == items.leaf, own, complement).astype(np.int8)


class Truth:
    """What is known of the generated shop in `folder` (written by `generate.write`)."""

    def __init__(self, folder: Path | str) -> None:
        import pyarrow.parquet as pq

        folder = Path(folder)
        if not (folder / "truth" / "queries.parquet").exists():
            raise MissingError(f"{folder} holds no truth/queries.parquet: only a generated shop has a known truth.")
        self.parameters: dict[str, Any] = read_json(folder / "truth" / "parameters.json")
        if self.parameters["version"] != VERSION:
            raise InputError(
                f"{folder} holds a shop of version {self.parameters['version']}, but version {VERSION} "
                "is installed and would derive other items: generate it anew."
            )
        self.seed, self.items = int(self.parameters["seed"]), int(self.parameters["items"])
        table = pq.read_table(folder / "truth" / "queries.parquet")
        self.query_ids: list[str] = table["query_id"].to_pylist()
        self.queries = Codes(
            table["leaf"].to_numpy().astype(np.int64),
            table["brand_code"].to_numpy().astype(np.int64),
            np.stack([table[f"value_{slot}"].to_numpy().astype(np.int64) for slot in range(SLOTS)], axis=1),
        )

    def grade(self, query_ids: Sequence[str], item_ids: Sequence[str]) -> NDArray[np.int8]:
        """True grades int8 [n] of the pairs (query_ids[k], item_ids[k]); InputError on an unknown id.

        Items are derived from the seed again, not read, so memory is that of the pairs.
        """
        rows = _numbers(query_ids, "q", len(self.query_ids), "query")
        numbers = _numbers(item_ids, "i", self.items, "item")
        if len(rows) != len(numbers):
            raise InputError(
                f"{len(rows)} query ids and {len(numbers)} item ids do not make pairs: give as many of each."
            )
        return grade(self.queries.take(rows), codes(self.seed, numbers))

    def relevant(self, query_id: str) -> tuple[list[str], NDArray[np.int8]]:
        """Every item with grade 1 or 2 for the query, in catalogue order, and those grades int8."""
        row = _numbers([query_id], "q", len(self.query_ids), "query")
        leaf = int(self.queries.leaf[row[0]])
        leaves = [leaf, *np.flatnonzero(assortment().complements[leaf]).tolist()]
        numbers = np.sort(np.concatenate([members(self.seed, one, self.items) for one in leaves]))
        grades = grade(self.queries.take(np.repeat(row, len(numbers))), codes(self.seed, numbers))
        return item_ids(numbers[grades > 0]), grades[grades > 0]


def _numbers(ids: Sequence[str], letter: str, bound: int, what: str) -> NDArray[np.int64]:
    """The numbers in ids such as i00000012."""
    numbers = np.empty(len(ids), dtype=np.int64)
    for place, text in enumerate(ids):
        digits = text[1:]
        if text[:1] != letter or not (digits.isascii() and digits.isdigit()) or int(digits) >= bound:
            raise InputError(
                f"The generated shop has no {what} '{text}' (position {place}): use the ids of its tables."
            )
        numbers[place] = int(digits)
    return numbers
