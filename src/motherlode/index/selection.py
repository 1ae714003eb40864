"""Some rows of an index: those a search may return."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray


class Selection:
    """Distinct rows, rising, of an index of `size` rows; what searches derive from them is kept beside them."""

    def __init__(self, rows: NDArray[np.int64], size: int) -> None:
        self.rows = np.ascontiguousarray(rows, dtype=np.int64)
        self.size = size

    @classmethod
    def without(cls, rows: NDArray[np.int64], size: int) -> Selection:
        """Every row but the given ones."""
        mask = np.ones(size, dtype=bool)
        mask[rows] = False
        return cls(np.flatnonzero(mask), size)

    def __len__(self) -> int:
        return len(self.rows)

    def minus(self, rows: NDArray[np.int64]) -> Selection:
        """These rows but the given ones."""
        return Selection(self.rows[~np.isin(self.rows, rows)], self.size) if len(rows) else self

    def split(self, at: int) -> tuple[Selection, Selection]:
        """The rows below `at`, and those from there on counted from 0."""
        cut = int(np.searchsorted(self.rows, at))
        return Selection(self.rows[:cut], at), Selection(self.rows[cut:] - at, self.size - at)

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Whether each row is one of them, bool [size]."""
        mask = np.zeros(self.size, dtype=bool)
        mask[self.rows] = True
        return mask

    @cached_property
    def bits(self) -> NDArray[np.uint8]:
        """One bit a row, the first in the lowest bit of the first byte."""
        return np.packbits(self.mask, bitorder="little")

    def counts(self, groups: NDArray[np.int32], number: int) -> NDArray[np.int64]:
        """How many of the rows belong to each of `number` groups; groups int32 [size] says where each belongs."""
        if self._counted is None:
            self._counted = np.bincount(groups[self.rows], minlength=number)
        return self._counted

    _counted: NDArray[np.int64] | None = None
