"""Which rows meet a condition: an inverted file of facets, memory-mapped."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.index.filters import Filter

FILES = ("text", "offsets", "indptr", "rows", "price")


class Facets:
    """The rows that hold each key, and every row's price.

    On disk, each an .npy: the keys' UTF-8 bytes one after the other in sorted order (text uint8, offsets
    int64 [F + 1]), their rows (indptr int64 [F + 1], rows int32, rising within a key) and price float64 [N].
    """

    def __init__(self, folder: Path | str) -> None:
        folder = Path(folder)
        try:
            self._text, self._offsets, self._indptr, self._rows, self._price = (
                np.load(folder / f"{name}.npy", mmap_mode=None if empty(folder / f"{name}.npy") else "r")
                for name in FILES
            )
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"{folder} is missing or damaged: build the index again.") from error

    def __len__(self) -> int:
        return len(self._price)

    def rows(self, wanted: Filter) -> NDArray[np.int64]:
        """The rows that meet a filter, rising."""
        groups = sorted((self._any(group) for group in wanted.groups()), key=len)
        found = groups[0] if groups else np.arange(len(self), dtype=np.int64)
        for group in groups[1:]:  # the smaller is looked up in the larger
            if not len(found) or not len(group):
                return found[:0]
            found = found[group[np.minimum(np.searchsorted(group, found), len(group) - 1)] == found]
        if wanted.has_price:
            low, high = (
                bound if bound is not None else other
                for bound, other in zip(wanted.price, (-np.inf, np.inf), strict=True)
            )
            price = self._price[found] if groups else self._price
            found = found[(price >= low) & (price <= high)]  # an unknown price, NaN, meets neither
        return found

    def _any(self, keys: list[str]) -> NDArray[np.int64]:
        held = [rows for rows in (self._holding(key) for key in dict.fromkeys(keys)) if len(rows)]
        if len(held) == 1:
            return held[0].astype(np.int64)
        return np.unique(np.concatenate(held)).astype(np.int64) if held else np.zeros(0, dtype=np.int64)

    def _holding(self, key: str) -> NDArray[np.int32]:
        wanted = key.encode()
        low, high = 0, len(self._offsets) - 1
        while low < high:
            middle = (low + high) // 2
            if self._key(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        if low == len(self._offsets) - 1 or self._key(low) != wanted:
            return self._rows[:0]
        return self._rows[self._indptr[low] : self._indptr[low + 1]]

    def _key(self, number: int) -> bytes:
        return self._text[self._offsets[number] : self._offsets[number + 1]].tobytes()


class FacetsWriter:
    """Collects the facets of documents on their way elsewhere, then writes them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._keys, self._rows, self._price = array("i"), array("i"), array("d")

    def watch(self, documents: Iterable[tuple[int, Mapping[str, Any]]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the documents (row, fields) as they are, rows counted from the first; keep "keys" and "price"."""
        numbers = self._numbers
        for row, fields in documents:
            for key in fields.get("keys", ()):
                self._keys.append(numbers.setdefault(key, len(numbers)))
                self._rows.append(len(self._price))
            self._price.append(fields.get("price", np.nan))
            yield row, fields

    def write(self, folder: Path) -> None:
        """Write the files of `Facets` into a folder, which is made."""
        folder.mkdir()
        encoded = [key.encode() for key in self._numbers]
        order = sorted(range(len(encoded)), key=encoded.__getitem__)
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        keys = place[np.frombuffer(self._keys, dtype=np.int32)] if len(order) else np.zeros(0, np.int32)
        rows = np.frombuffer(self._rows, dtype=np.int32) if len(order) else np.zeros(0, np.int32)
        lengths = [len(encoded[number]) for number in order]
        parts: dict[str, NDArray[Any]] = {
            "text": np.frombuffer(b"".join(encoded[number] for number in order), dtype=np.uint8),
            "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            "indptr": np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=len(order)))]).astype(np.int64),
            "rows": rows[np.argsort(keys, kind="stable")],
            "price": np.array(self._price, dtype=np.float64),
        }
        for name, values in parts.items():
            np.save(folder / f"{name}.npy", values, allow_pickle=False)


def empty(path: Path) -> bool:
    """Whether an .npy holds no bytes beyond its header: such a file cannot be memory-mapped."""
    return path.stat().st_size <= 128
