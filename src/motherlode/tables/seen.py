"""Which ids have been met already, for tens of millions of them."""

from __future__ import annotations

import numpy as np


class Seen:
    """64-bit keys met so far, each with a small number it was first met with; 9 bytes a key.

    Keys lie in sorted runs that are merged when one has grown to the size of its neighbour, so adding n keys
    costs O(n log n) in all. That any two of n different ids share a hash has odds of n² / 2⁶⁵: for ten
    million ids, three in a million.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self._runs)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """int8[n]: the number each key (uint64[n]) was first met with, -1 where it is new."""
        found = np.full(len(keys), -1, dtype=np.int8)
        for known, numbers in self._runs:
            place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
            hit = known[place] == keys
            found[hit] = numbers[place[hit]]
        return found

    def add(self, keys: np.ndarray, numbers: np.ndarray | None = None) -> np.ndarray:
        """As `find`, then remember the new keys; a key twice in `keys` is new the first time only."""
        numbers = np.zeros(len(keys), dtype=np.int8) if numbers is None else numbers.astype(np.int8)
        found = self.find(keys)
        new = np.flatnonzero(found < 0)
        if len(new):
            distinct, first, inverse = np.unique(keys[new], return_index=True, return_inverse=True)
            firsts = numbers[new][first]
            repeated = first[inverse] != np.arange(len(new))
            found[new[repeated]] = firsts[inverse[repeated]]
            self._runs.append((distinct, firsts))
            while len(self._runs) > 1 and len(self._runs[-2][0]) <= 2 * len(self._runs[-1][0]):
                self._merge()
        return found

    def _merge(self) -> None:
        newer, older = self._runs.pop(), self._runs.pop()
        keys = np.concatenate([older[0], newer[0]])
        order = np.argsort(keys, kind="stable")
        self._runs.append((keys[order], np.concatenate([older[1], newer[1]])[order]))
