"""What shoppers did with judged pairs, as arrays; what a log does not say is NaN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

CHAIN = ("clicks", "adds", "purchases")


class Step(NamedTuple):
    """One step of the way to a purchase: out of `tried` chances, `done` were taken; float64 [n], NaN unknown."""

    name: str
    tried: NDArray[np.float64]
    done: NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Engagement of n pairs, float64 [n] each."""

    impressions: NDArray[np.float64]
    clicks: NDArray[np.float64]
    adds: NDArray[np.float64]
    purchases: NDArray[np.float64]
    position: NDArray[np.float64]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Counts:
        """From the columns of an engagement table (or a join with it); absent columns and nulls are unknown."""
        return cls(
            *(
                frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
                if name in frame.columns
                else np.full(frame.height, np.nan)
                for name in ("impressions", *CHAIN, "position")
            )
        )

    def steps(self, looks: NDArray[np.float64]) -> list[Step]:
        """The chain looks -> clicks -> adds -> purchases, over the columns that the log has at all.

        A log may count adds without a click: then there were at least as many chances as were taken.
        """
        found: list[Step] = []
        tried = looks
        for name in CHAIN:
            done = getattr(self, name)
            if not np.isnan(done).all():
                found.append(Step(name, np.maximum(tried, done) if found else tried, done))
                tried = done
        return found
