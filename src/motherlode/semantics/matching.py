"""Old names for new centres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from motherlode.semantics.cascade import Cascade


def match(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.int64]:
    """The order of the new centres [K, d] under which Σ_k ‖old_k - new_order[k]‖² is least: int64 [K]. Hungarian."""
    from scipy.optimize import linear_sum_assignment

    squares = np.square(old).sum(axis=1)[:, None] + np.square(new).sum(axis=1) - 2 * old @ new.T
    return linear_sum_assignment(squares)[1]


def renamed(old: Cascade, new: Cascade) -> Cascade:
    """The new centres under the codes of the old ones that they are nearest to, level by level.

    The second level is matched inside each codebook, once its primary cells have their names. Codes that one
    side does not use are matched last.
    """
    order = match(old.primary, new.primary)
    books = order if len(new.secondary) > 1 else np.zeros(1, np.int64)
    secondary, used = new.secondary[books].copy(), new.used[books].copy()
    for book in range(len(secondary)):
        inside = _match_used(old.secondary[book], old.used[book], secondary[book], used[book])
        secondary[book], used[book] = secondary[book][inside], used[book][inside]
    return Cascade(new.primary[order], secondary, used, new.marks)


def _match_used(
    old: NDArray[np.float32], old_used: NDArray[np.bool_], new: NDArray[np.float32], new_used: NDArray[np.bool_]
) -> NDArray[np.int64]:
    if old_used.all() and new_used.all():
        return match(old, new)
    from scipy.optimize import linear_sum_assignment

    squares = np.square(old[:, None, :] - new[None, :, :]).sum(axis=2)
    far = 1 + squares.max()
    return linear_sum_assignment(np.where(old_used[:, None] & new_used[None, :], squares, far))[1]
