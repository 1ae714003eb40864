"""The hard tier of a batch: same primary, other leaf, exactly without what each example must not meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.negatives.batch import Batch, Rows
from motherlode.negatives.draws import ranks_excluding, redrawn
from motherlode.negatives.tiers import Tiers


@dataclass(frozen=True)
class HardTier:
    """Where each of B examples finds its hard negatives.

    Where nothing is left in the example's own primary, they come from the nearest other primary (`fallback`), and
    where nothing is left there either, from nowhere (`left` = 0).

    Attributes:
        tiers: the codes.
        batch: positives and histories.
        primary: int64 [B], the primary drawn from.
        fallback: bool [B], whether that is the nearest other one.
        skip_start, skip_size: int64 [B], the run of places inside the primary that the positive's leaf takes up.
        left: int64 [B], items allowed.
        weight_left: float64 [B], their weight; the same number for uniform draws.
    """

    tiers: Tiers
    batch: Batch
    primary: Rows
    fallback: NDArray[np.bool_]
    skip_start: Rows
    skip_size: Rows
    left: Rows
    weight_left: NDArray[np.float64]
    _owner: Rows
    _held: Rows

    @classmethod
    def of(cls, tiers: Tiers, batch: Batch) -> HardTier:
        """Find the primaries and count what is left in them."""
        leaf = tiers.leaf[batch.positives]
        own = cls._at(tiers, batch, tiers.primary[batch.positives], np.zeros(len(batch), dtype=np.bool_), leaf)
        gone = own.left == 0
        if not gone.any():
            return own
        primary = np.where(gone, tiers.nearest[own.primary], own.primary)
        return cls._at(tiers, batch, primary, gone, leaf)

    @classmethod
    def _at(cls, tiers: Tiers, batch: Batch, primary: Rows, fallback: NDArray[np.bool_], leaf: Rows) -> HardTier:
        skip_start = np.where(fallback, 0, tiers.leaf_start[leaf] - tiers.start[primary])
        skip_size = np.where(fallback, 0, tiers.leaf_size[leaf])
        owner = held = np.zeros(0, dtype=np.int64)
        if batch.histories is not None:
            owner, held = batch.histories.owner, batch.histories.items
            there = tiers.primary[held] == primary[owner]
            owner, held = owner[there], held[there]
            there = fallback[owner] | (tiers.leaf[held] != leaf[owner])
            owner, held = owner[there], held[there]
        left = tiers.size[primary] - skip_size - np.bincount(owner, minlength=len(batch))
        if fallback.any() and tiers.others < 2:
            left = np.where(fallback, 0, left)  # "nearest" names the only cluster there is
        weight = left.astype(np.float64)
        if not tiers.uniform_hard:
            start = tiers.start[primary]
            weight = tiers.running[start + tiers.size[primary]] - tiers.running[start]
            weight -= tiers.running[start + skip_start + skip_size] - tiers.running[start + skip_start]
            weight -= np.bincount(owner, tiers.hard_weight[held], len(batch))
        return cls(tiers, batch, primary, fallback, skip_start, skip_size, left, weight, owner, held)

    def rate(self, n: int) -> NDArray[np.float64]:
        """Expected draws of an allowed item for each unit of its weight, when n are drawn: float64 [B]."""
        return np.where(self.left > 0, n / np.maximum(self.weight_left, 1e-300), 0.0)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Rows, NDArray[np.bool_]]:
        """n items for each example: rows [B, n] and a mask, False where nothing was left."""
        rows = np.repeat(self.batch.positives[:, None], n, axis=1)
        mask = np.zeros(rows.shape, dtype=np.bool_)
        if not n:
            return rows, mask
        able = np.flatnonzero(self.left > 0)
        if self.tiers.uniform_hard:
            owners = np.repeat(able, n)
            ranks = ranks_excluding(rng, self.tiers.size[self.primary] - self.skip_size, owners, *self._ranks())
            rows[able] = self._items(owners, ranks).reshape(-1, n)
            mask[able] = True
        elif len(able):
            rows[able], mask[able] = redrawn(lambda owners: self._by_weight(rng, owners), self.batch, n, able)
        return rows, mask

    def _ranks(self) -> tuple[Rows, Rows]:
        """Histories as ranks in the primary without the leaf: owners and ranks, ascending."""
        rank = self.tiers.place[self._held] - self.tiers.start[self.primary[self._owner]]
        rank -= np.where(rank >= self.skip_start[self._owner], self.skip_size[self._owner], 0)
        keys = np.sort((self._owner << 32) | rank)
        return keys >> 32, keys & ((1 << 32) - 1)

    def _items(self, owners: Rows, ranks: Rows) -> Rows:
        skipped = ranks + np.where(ranks >= self.skip_start[owners], self.skip_size[owners], 0)
        return self.tiers.order[self.tiers.start[self.primary[owners]] + skipped]

    def _by_weight(self, rng: np.random.Generator, owners: Rows) -> Rows:
        """By weight: a point on the running sum over the primary, from which the leaf's stretch is cut out."""
        running, start = self.tiers.running, self.tiers.start[self.primary[owners]]
        low, high = running[start], running[start + self.tiers.size[self.primary[owners]]]
        cut = start + self.skip_start[owners]
        cut_low, cut_high = running[cut], running[cut + self.skip_size[owners]]
        point = low + rng.random(len(owners)) * (high - low - (cut_high - cut_low))
        beyond = point >= cut_low
        place = np.searchsorted(running, point + np.where(beyond, cut_high - cut_low, 0.0), side="right") - 1
        # rounding must not carry a point into the leaf or out of the primary
        after = cut + self.skip_size[owners]
        last = start + self.tiers.size[self.primary[owners]] - 1
        place = np.clip(np.where(beyond, np.maximum(place, after), place), start, last)
        place = np.where((place >= cut) & (place < after), cut - 1, place)
        return self.tiers.order[place]
