"""Spelling statistics as arrays: the mixture over contexts for millions of letters at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from motherlode.text.alignment import LETTERS
from motherlode.text.spelling_statistics import ORDERS, START, SWAP, SpellingStatistics

WEIGHTS = (0.025, 0.05, 0.2, 0.7)  # of contexts of 0, 1, 2, 3 characters; their sum is 0.975, as printed
OTHER = len(LETTERS) + 1  # code of a character that is no letter; 0 is the start of a word, 1 to 26 are a to z
_BASE = OTHER + 1


class SpellingTables:
    """The distributions of every context and letter, one row each.

    Attributes:
        replacements: what may be typed, by number; `swap` and `nothing` are the numbers of "⇄" and "", -1 where absent.
    """

    def __init__(self, statistics: SpellingStatistics) -> None:
        self.replacements = sorted({typed for row in statistics.counts.values() for typed in row} | set(LETTERS))
        number = {typed: place for place, typed in enumerate(self.replacements)}
        self.swap, self.nothing = number.get(SWAP, -1), number.get("", -1)
        self._itself = np.array([-1, *(number[letter] for letter in LETTERS), -1])
        self._row = [np.full(_BASE ** (order + 1), -1, dtype=np.int32) for order in ORDERS]
        sizes, typed, shares, upto = [], [], [], []
        for place, (key, row) in enumerate(statistics.counts.items()):
            code = 0
            for character in key:
                code = code * _BASE + (0 if character == START else LETTERS.index(character) + 1)
            self._row[len(key) - 1][code] = place
            ordered = sorted((number[replacement], float(count)) for replacement, count in row.items())
            share = np.array([count for _, count in ordered])
            share /= share.sum()
            edge = place + np.cumsum(share)
            edge[-1] = place + 1.0  # rounding must not let a draw fall between two rows
            sizes.append(len(row))
            typed.append(np.array([replacement for replacement, _ in ordered]))
            shares.append(share)
            upto.append(edge)
        self._typed = np.concatenate([np.zeros(0, np.int64), *typed])
        self._shares = np.concatenate([np.zeros(0), *shares])
        self._upto = np.concatenate([np.zeros(0), *upto])
        self._keys = np.repeat(np.arange(len(sizes)), sizes) * len(self.replacements) + self._typed

    def itself(self, letters: NDArray[np.int64]) -> NDArray[np.int64]:
        """The replacement that leaves each letter as it is; int64 [n]."""
        return self._itself[letters]

    def rows(self, contexts: NDArray[np.int64], letters: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each letter's distribution given 0, 1, 2, 3 characters: int64 [4, n], -1 where not known.

        `contexts` [3, n] are the characters before, the nearest first.
        """
        code, found = letters.copy(), [self._row[0][letters]]
        for order in ORDERS[1:]:
            code = code + contexts[order - 1] * _BASE**order
            found.append(self._row[order][code])
        return np.stack(found).astype(np.int64)

    def weights(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The order weights renormalised over the rows that there are; float64 [4, n], zero where there is none."""
        weights = np.where(rows >= 0, np.array(WEIGHTS)[:, None], 0.0)
        total = weights.sum(axis=0)
        return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)

    def sample(
        self, rows: NDArray[np.int64], order: NDArray[np.float64], place: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """One replacement a letter from its mixture, by two uniform numbers each: int64 [n], -1 where nothing is known.

        To draw an order by its weight and then from that order's distribution is to draw from the mixture.
        """
        upto = np.cumsum(self.weights(rows), axis=0)
        known = upto[-1] > 0
        chosen = np.minimum((order >= upto[:-1]).sum(axis=0), len(ORDERS) - 1)
        row = rows[chosen, np.arange(rows.shape[1])]
        # an order of weight zero is met only where rounding closed the last one that counts too early
        row = np.where(row >= 0, row, rows.max(axis=0))
        found = np.searchsorted(self._upto, row + place, side="right")
        return np.where(known, self._typed[np.minimum(found, len(self._typed) - 1)], -1)

    def chance(self, rows: NDArray[np.int64], typed: NDArray[np.int64]) -> NDArray[np.float64]:
        """The mixture's probability of these replacements; float64 [n]."""
        total = np.zeros(rows.shape[1])
        for row, weight in zip(rows, self.weights(rows), strict=True):
            key = row * len(self.replacements) + typed
            place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
            hit = (row >= 0) & (self._keys[place] == key)
            total += np.where(hit, weight * self._shares[place], 0.0)
        return total
