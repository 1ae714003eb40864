"""Nearest centres by squared Euclidean distance, a block of items at a time."""

import numpy as np
from numpy.typing import NDArray


def offsets(centres: NDArray[np.float32], used: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """½‖c‖² of centres [..., K, d]: float32 [..., K]; infinite where `used` is False, so that nobody goes there."""
    half = (0.5 * np.square(centres, dtype=np.float64).sum(axis=-1)).astype(np.float32)
    return half if used is None else np.where(used, half, np.float32(np.inf))


def costs(points: NDArray[np.float32], centres: NDArray[np.float32], half: NDArray[np.float32]) -> NDArray[np.float32]:
    """½‖c‖² - x·c, which orders centres as ‖x - c‖² does: points [n, d], centres [K, d] -> float32 [n, K]."""
    products = points @ centres.T
    np.subtract(half, products, out=products)
    return products


def nearest(points: NDArray[np.float32], centres: NDArray[np.float32], half: NDArray[np.float32]) -> NDArray[np.int32]:
    """argmin_k ‖x - c_k‖², the lowest k at a tie: int32 [n]."""
    return costs(points, centres, half).argmin(axis=1).astype(np.int32)
