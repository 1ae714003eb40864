"""Positive-aware mining: a negative must score clearly below the positive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import SettingError
from motherlode.evaluation.judged import Judged
from motherlode.mining.miner import Mined, keep, lowest_positive, pool

FILLED = 0.9  # share of the wanted negatives that a tuned rho has to find


@dataclass(frozen=True)
class PercPosMiner:
    """The nearest items whose score is below that of the lowest of the best known positives
    by a margin.

        relative (TopK-PercPos):  s- <= s+ - (1 - rho) |s+|, which for s+ > 0 is rho s+
        absolute (TopK-MarginPos): s- <= s+ - margin

    with rho = 0.95 or margin = 0.05. Source: NV-Retriever (arXiv 2407.15831). One rho does not suit every encoder: on
    some catalogues it rejects nearly everything. `tune` (ours) raises a rho that finds less than nine tenths of the
    wanted negatives until it does, at most to 1. The facts tell rho or margin, and the share of the pool `rejected`.

    Attributes:
        kind: which margin.
        value: rho of the relative one, the margin of the absolute one; None: that of the paper.
        depth: nearest items to look through.
        tune: whether to raise rho.
    """

    kind: Literal["relative", "absolute"] = "relative"
    value: float | None = None
    depth: int = 100
    tune: bool = False

    def __post_init__(self) -> None:
        if self.tune and self.kind == "absolute":
            raise SettingError("Only the relative margin can be tuned: leave out tune=True, or take kind='relative'.")

    @property
    def name(self) -> str:
        """percpos, percpos tuned or marginpos."""
        return "marginpos" if self.kind == "absolute" else "percpos tuned" if self.tune else "percpos"

    def mine(self, queries: NDArray[np.float32], items: NDArray[np.float32], known: Judged, n: int) -> Mined:
        """See `Miner.mine`."""
        near = pool(queries, items, known, max(self.depth, n))
        positive = lowest_positive(queries, items, known)[:, None].astype(np.float64)
        usable = (near.rows >= 0) & np.isfinite(positive)
        if self.kind == "absolute":
            value = 0.05 if self.value is None else self.value
            passed = near.scores <= positive - value
        else:
            value = 0.95 if self.value is None else self.value
            least = self._least(near.scores, positive)
            if self.tune:
                value = tuned(np.where(usable, least, np.inf), n, value)
            passed = least <= value
        found = keep(near, passed & usable, n)
        rejected = 1 - float((passed & usable).sum() / max(usable.sum(), 1))
        return Mined(
            found.rows, found.scores, {"margin" if self.kind == "absolute" else "rho": value, "rejected": rejected}
        )

    @staticmethod
    def _least(scores: NDArray[np.float32], positive: NDArray[np.float64]) -> NDArray[np.float64]:
        """The smallest rho at which each candidate passes: 1 - (s+ - s-) / |s+|."""
        scale = np.where(np.isfinite(positive) & (positive != 0), np.abs(positive), 1.0)
        return 1 - (np.where(np.isfinite(positive), positive, 0.0) - scores) / scale


def tuned(least: NDArray[np.float64], n: int, rho: float) -> float:
    """The smallest rho in [rho, 1] at which `FILLED` of the wanted n a query are found, 1 where none is.

    least float64 [Q, M]: the smallest rho at which each candidate passes, inf for what is none. Queries without any
    candidate do not count.
    """
    wanted = np.sort(least[np.isfinite(least).any(axis=1)], axis=1)[:, :n]
    if not wanted.size:
        return rho
    needed = np.sort(wanted, axis=None)[int(np.ceil(FILLED * wanted.size)) - 1]
    return float(max(rho, min(needed, 1.0)))
