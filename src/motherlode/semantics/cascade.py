"""Centres of the two levels, and the residual that the second level quantises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.semantics.nearest import nearest, offsets
from motherlode.semantics.views import CHUNK, Block


@dataclass(frozen=True, eq=False)
class Cascade:
    """What a back-end learns.

    Attributes:
        primary: centres float32 [K_p, d].
        secondary: centres float32 [1, K_s, D] shared by all primary cells, or [K_p, K_s, D] one codebook for
            each; D = M · d + M.
        used: bool [1 or K_p, K_s]: False for a code that exists in name only (a primary cell with too few items).
        marks: float32 [M], what the residual holds for each missing view (see `residuals`).
    """

    primary: NDArray[np.float32]
    secondary: NDArray[np.float32]
    used: NDArray[np.bool_]
    marks: NDArray[np.float32]

    def second_codes(self, residual: NDArray[np.float32], first: NDArray[np.int32]) -> NDArray[np.int32]:
        """s_i = argmin_k ‖r_i - c^S_k‖² in the codebook that the primary code chooses: int32 [n]."""
        half = offsets(self.secondary, self.used)
        if len(self.secondary) == 1:
            return nearest(residual, self.secondary[0], half[0])
        second = np.empty(len(first), np.int32)
        order = np.argsort(first, kind="stable")
        cells, starts = np.unique(first[order], return_index=True)
        for cell, rows in zip(cells, np.split(order, starts[1:]), strict=True):
            second[rows] = nearest(residual[rows], self.secondary[cell], half[cell])
        return second


def residuals(block: Block, centres: NDArray[np.float32], marks: NDArray[np.float32]) -> NDArray[np.float32]:
    """r_i = [x_i^1 - c; ...; x_i^M - c; q_1; ...; q_M] with c the item's primary centre: float32 [n, M·d + M].

    A missing view m has a block of zeros and q_m = marks[m]; else q_m = 0, so that with nothing missing
    ‖r_i‖² = M ‖x̄_i - c‖² + Σ_m ‖x_i^m - x̄_i‖². Args: block of n items, their centres [n, d], marks [M].
    """
    count, views, width = block.vectors.shape
    result = np.empty((count, views * width + views), np.float32)
    np.subtract(block.vectors, centres[:, None, :], out=result[:, : views * width].reshape(count, views, width))
    missing = ~block.present
    if missing.any():
        result[:, : views * width].reshape(count, views, width)[missing] = 0.0
    result[:, views * width :] = np.where(missing, marks, 0.0)
    return result


def missing_marks(block: Block, centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """The root mean square of ‖x^m - c‖ over the items that have view m: float32 [M].

    With it, an item that lacks a view is as far from one that has it as two unrelated residuals are from each
    other, so neither "missing" nor "present" draws items together more than content does. Ours.
    """
    step = -(-len(centres) // CHUNK)  # a part of a large sample will do
    vectors, present = block.vectors[::step], block.present[::step]
    squares = np.square(vectors - centres[::step, None, :]).sum(axis=2)
    count = np.maximum(present.sum(axis=0), 1)
    return np.sqrt((squares * present).sum(axis=0) / count).astype(np.float32)
