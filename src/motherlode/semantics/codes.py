"""The two-level codes of N items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError


@dataclass(frozen=True, eq=False)
class Codes:
    """Which primary cell and which secondary code every item has; both together name its leaf.

    Attributes:
        primary: int32 [N], 0 to K_p - 1.
        secondary: int32 [N], 0 to K_s - 1; of one codebook for all, or of one for each primary cell.
        primary_centres: float32 [K_p, d].
        secondary_size: K_s.
        coded: bool [N], False where an item has no view: its leaf was drawn, in proportion to the leaves' sizes.
    """

    primary: NDArray[np.int32]
    secondary: NDArray[np.int32]
    primary_centres: NDArray[np.float32]
    secondary_size: int
    coded: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not len(self.primary) == len(self.secondary) == len(self.coded):
            raise InputError(f"{len(self.primary)} primary and {len(self.secondary)} secondary codes do not pair up.")

    def __len__(self) -> int:
        return len(self.primary)

    @property
    def primary_size(self) -> int:
        """K_p."""
        return len(self.primary_centres)

    @property
    def leaf(self) -> NDArray[np.int64]:
        """int64 [N]: primary · K_s + secondary."""
        return self.primary.astype(np.int64) * self.secondary_size + self.secondary

    def primary_counts(self) -> NDArray[np.int64]:
        """Items in each primary cell: int64 [K_p]."""
        return np.bincount(self.primary, minlength=self.primary_size)

    def leaf_counts(self) -> NDArray[np.int64]:
        """Items in each leaf: int64 [K_p, K_s]."""
        counts = np.bincount(self.leaf, minlength=self.primary_size * self.secondary_size)
        return counts.reshape(self.primary_size, self.secondary_size)
