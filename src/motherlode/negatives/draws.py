"""Drawing for each example with exclusions, and pooling for the batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch, Rows
from motherlode.negatives.sampler import Floats, Pool

TRIES = 32


def redrawn(
    draw: Callable[[Rows], Rows], batch: Batch, n: int, among: Rows | None = None
) -> tuple[Rows, NDArray[np.bool_]]:
    """Draw n items for each example, again wherever the batch forbids one: rows [B, n] and a mask.

    Rejection leaves the draws of the law `draw` conditioned on the items allowed. What is still forbidden after
    32 rounds is masked, so none gets through.

    Args:
        draw: example numbers [m] -> item rows [m].
        among: example numbers to draw for, [A]; the result is then [A, n].
    """
    owners = np.repeat(np.arange(len(batch)) if among is None else among, n)
    rows = draw(owners)
    bad = np.flatnonzero(batch.forbids(owners, rows))
    for _ in range(TRIES):
        if not len(bad):
            break
        rows[bad] = draw(owners[bad])
        bad = bad[batch.forbids(owners[bad], rows[bad])]
    mask = np.ones(len(rows), dtype=np.bool_)
    mask[bad] = False
    return rows.reshape(-1, n), mask.reshape(-1, n)


def ranks_excluding(rng: np.random.Generator, size: Rows, draw_for: Rows, owner: Rows, excluded: Rows) -> Rows:
    """A uniform draw from 0..size-1 without the excluded ranks, exactly and without rejection: int64 [m].

    The r-th of the allowed ranks is r + k, where k counts the excluded e_0 < e_1 < ... with e_i - i <= r.

    Args:
        size: int64 [B], ranks each example chooses from.
        draw_for: int64 [m], example of each draw; it must have a rank left.
        owner: int64 [x], example of each excluded rank, ascending.
        excluded: int64 [x], ascending and distinct within an example.
    """
    count = np.bincount(owner, minlength=len(size))
    start = np.concatenate([[0], np.cumsum(count)])
    shifted = excluded - (np.arange(len(owner)) - start[owner])
    drawn = (rng.random(len(draw_for)) * (size - count)[draw_for]).astype(np.int64)
    passed = np.searchsorted((owner << 32) | shifted, (draw_for << 32) | drawn, side="right") - start[draw_for]
    return drawn + passed


def shared(batch: Batch, rows: Rows, log_q: Callable[[Rows], NDArray[np.floating]] | None, eta: float = 0.0) -> Pool:
    """One pool for the batch out of draws [S'] with repeats: distinct rows, each counting as often as it was drawn.

    `log_q` maps distinct rows to the log of their expected number of draws.
    """
    distinct, counts = np.unique(rows, return_counts=True)
    return Pool(
        distinct,
        batch.shared_mask(distinct),
        None if log_q is None else log_q(distinct).astype(np.float32),
        eta,
        np.log(counts).astype(np.float32) if len(distinct) < len(rows) else None,
    )


def frequencies_of(frequencies: ArrayLike) -> NDArray[np.float64]:
    """Training frequencies as float64 [N].

    Raises:
        SettingError: not one row of finite numbers >= 0, or all are 0.
    """
    counts = np.asarray(frequencies, dtype=np.float64)
    if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any() or not counts.sum() > 0:
        raise SettingError("Item frequencies must be one finite number >= 0 an item, and not all 0.")
    return counts


def log_or_lowest(values: NDArray[np.floating]) -> Floats:
    """Natural logarithm as float32, with log 0 = -inf and no warning."""
    with np.errstate(divide="ignore"):
        return np.log(values).astype(np.float32)
