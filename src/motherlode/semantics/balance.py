"""Cells with a cap on their size: stable assignment, and centres that fit it."""

import numpy as np
from numpy.typing import NDArray

from motherlode.semantics.nearest import costs, nearest, offsets

ROUNDS = 10  # of capped assignment and new means


def cap_of(balance: float, items: int, cells: int) -> int:
    """The most items a cell may hold: ⌈balance · items / cells⌉."""
    return int(np.ceil(balance * items / cells))


def capped_nearest(points: NDArray[np.float32], centres: NDArray[np.float32], cap: int) -> NDArray[np.int32]:
    """Each point to a centre, no centre with more than `cap` points: int32 [n].

    The assignment is stable: a point that is not at a nearer centre finds that centre full of points that are all
    at least as near to it. Points apply to their nearest centre; a full centre keeps its nearest `cap` and sends the
    others to their next choice (Gale and Shapley 1962). Needs cap · K ≥ n.
    """
    count, cells = len(points), len(centres)
    if cap * cells < count:
        raise ValueError(f"{cells} cells of at most {cap} cannot hold {count} points.")
    half = offsets(centres)
    cell = nearest_in_blocks(points, centres)
    squares = 0.5 * np.square(points).sum(axis=1)
    distance = np.einsum("nd,nd->n", points, centres[cell])
    distance = half[cell] - distance + squares  # ½‖x - c‖², comparable between points
    choice = np.zeros(count, np.int64)  # how many centres have turned the point down
    while True:
        sizes = np.bincount(cell, minlength=cells)
        crowded = np.flatnonzero(sizes > cap)
        if not len(crowded):
            return cell
        rows = np.flatnonzero(np.isin(cell, crowded))
        rows = rows[np.lexsort((rows, distance[rows], cell[rows]))]
        starts = np.searchsorted(cell[rows], cell[rows], side="left")
        refused = rows[np.arange(len(rows)) - starts >= cap]
        choice[refused] += 1
        for begin in range(0, len(refused), 8_192):
            part = refused[begin : begin + 8_192]
            cost = costs(points[part], centres, half)
            order = np.argsort(cost, axis=1, kind="stable")
            cell[part] = np.take_along_axis(order, choice[part, None], axis=1)[:, 0]
            distance[part] = cost[np.arange(len(part)), cell[part]] + squares[part]


def capped_kmeans(points: NDArray[np.float32], centres: NDArray[np.float32], balance: float) -> NDArray[np.float32]:
    """Centres [K, d] moved to the means of capped cells, ROUNDS times or until nobody moves."""
    cap = cap_of(balance, len(points), len(centres))
    previous = None
    for _ in range(ROUNDS):
        cell = capped_nearest(points, centres, cap)
        if previous is not None and (cell == previous).all():
            break
        previous = cell
        sums = np.zeros(centres.shape, np.float64)
        np.add.at(sums, cell, points)
        sizes = np.bincount(cell, minlength=len(centres))[:, None]
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres).astype(np.float32)
    return centres


def nearest_in_blocks(
    points: NDArray[np.float32], centres: NDArray[np.float32], size: int = 16_384
) -> NDArray[np.int32]:
    """`nearest` without a matrix of all points and centres at once."""
    half = offsets(centres)
    parts = [nearest(points[begin : begin + size], centres, half) for begin in range(0, len(points), size)]
    return np.concatenate(parts) if parts else np.empty(0, np.int32)
