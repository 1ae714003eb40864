"""How often an item comes up, learnt from the stream of batches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import SettingError
from motherlode.negatives.batch import Rows


class StreamingFrequency:
    """Probability that a batch holds an item, from the steps between its appearances.

        at step t, for each distinct item:   B <- (1 - a) B + a (t - A),   A <- t,   p = clip(1 / B, 1e-6, 1)

    With hashes, item i has the slots h_1(i), ..., h_m(i) and its B is the largest of theirs: two items in one slot
    make it come up more often than either.

    Args:
        size: number of items, or of slots a hash (then rounded up to a power of two).
        rate: a, how fast old intervals are forgotten.
        hashes: m; 0 gives each item a slot of its own.
        seed: of the hash functions.

    Raises:
        SettingError: a value that cannot be.

    Source: Yi et al., RecSys 2019, Algorithm 2 and 3. Ours: the first interval seen is taken whole, and A starts
    at 0, so no starting value has to be forgotten.
    """

    def __init__(self, size: int, *, rate: float = 0.05, hashes: int = 0, seed: int = 0) -> None:
        if size < 1 or not 0 < rate <= 1 or hashes < 0:
            raise SettingError(f"size {size}, rate {rate} or hashes {hashes} cannot be: size >= 1, 0 < rate <= 1.")
        self.rate = rate
        self._bits = max(int(size - 1).bit_length(), 1)
        rng = np.random.default_rng([seed, 0x51F3])
        self._multipliers = rng.integers(1 << 62, size=hashes, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        slots = (hashes, 1 << self._bits) if hashes else (1, size)
        self._last = np.zeros(slots, dtype=np.int64)
        self._interval = np.zeros(slots, dtype=np.float64)
        self.steps = 0

    def _slots(self, items: Rows) -> Rows:
        """Slot of each item under each hash: int64 [max(m, 1), S] (multiply-shift)."""
        if not len(self._multipliers):
            return items[None, :]
        mixed = self._multipliers[:, None] * items.astype(np.uint64)[None, :]
        return (mixed >> np.uint64(64 - self._bits)).astype(np.int64)

    def update(self, items: Rows) -> None:
        """One step, whose batch holds these distinct items [S]."""
        self.steps += 1
        for last, interval, slots in zip(self._last, self._interval, self._slots(items), strict=True):
            touched = np.unique(slots)
            gap = (self.steps - last[touched]).astype(np.float64)
            before = interval[touched]
            interval[touched] = np.where(before > 0, (1 - self.rate) * before + self.rate * gap, gap)
            last[touched] = self.steps

    def probability(self, items: Rows) -> NDArray[np.float64]:
        """p of each item [S]; of one never seen, as if it came up now for the first time."""
        slots = self._slots(items)
        interval = np.take_along_axis(self._interval, slots, axis=1).max(axis=0)
        return np.clip(1 / np.where(interval > 0, interval, max(self.steps, 1)), 1e-6, 1.0)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The slots and the clock."""
        return {"last": self._last, "interval": self._interval, "steps": np.array(self.steps)}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take up what `state` gave.

        Raises:
            SettingError: it is of another size.
        """
        if state["last"].shape != self._last.shape:
            raise SettingError("The saved frequencies have another number of slots or hashes than this estimator.")
        self._last = np.array(state["last"], dtype=np.int64)
        self._interval = np.array(state["interval"], dtype=np.float64)
        self.steps = int(state["steps"])
