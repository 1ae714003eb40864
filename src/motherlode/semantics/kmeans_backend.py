"""Codebooks by k-means: faiss does the iterations, k-means++ the start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import SettingError
from motherlode.semantics.balance import capped_kmeans
from motherlode.semantics.cascade import Cascade, missing_marks, residuals
from motherlode.semantics.nearest import nearest, offsets
from motherlode.semantics.views import Block

ITERATIONS = 20  # from a k-means++ start these reach what faiss reaches in its 25 from random points
START_POINTS = 32  # points for each centre that k-means++ draws from; the iterations use all


def fit_kmeans(
    sample: Block,
    sizes: tuple[int, int],
    per_primary: bool,
    balance: float | None,
    seed: int,
    start: Cascade | None = None,
) -> Cascade:
    """K-means on the means, then K-means on the concatenated residuals to the nearest primary centre.

    `sample` must hold items with at least one view; `sizes` = (K_p, K_s). `start` gives centres to go on from. Raises
    SettingError where there are fewer distinct points than centres.
    """
    mean = sample.mean()
    primary = _primary(mean, sizes[0], balance, seed, start)
    first = nearest(mean, primary, offsets(primary))
    marks = missing_marks(sample, primary[first]) if start is None else start.marks
    residual = residuals(sample, primary[first], marks)
    if not per_primary:
        begin = None if start is None else start.secondary[0]
        second = kmeans(residual, sizes[1], seed + 1, begin, "secondary")[None]
        return Cascade(primary, second, np.ones((1, sizes[1]), bool), marks)
    second = np.zeros((sizes[0], sizes[1], residual.shape[1]), np.float32)
    used = np.zeros(sizes, bool)
    for cell in range(sizes[0]):
        members = residual[first == cell]
        begin = None if start is None or not start.used[cell].all() else start.secondary[cell]
        centres = _few(members, sizes[1], seed + 1 + cell, begin)
        second[cell, : len(centres)], used[cell, : len(centres)] = centres, True
    return Cascade(primary, second, used, marks)


def kmeans(
    points: NDArray[np.float32],
    size: int,
    seed: int,
    start: NDArray[np.float32] | None = None,
    level: str = "",
    iterations: int = ITERATIONS,
) -> NDArray[np.float32]:
    """`size` centres of points [n, d] by Lloyd's iterations: float32 [size, d]. Deterministic by seed.

    Empty cells are refilled by splitting the largest, as faiss does. Raises SettingError where the points are too few.
    """
    import faiss

    if start is None:
        start = kmeans_start(points, size, np.random.default_rng([seed, size]), level)
    trained = faiss.Kmeans(
        points.shape[1],
        size,
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,  # `kmeans_start` has refused what is too few; the rest is the user's choice
        max_points_per_centroid=max(1, len(points)),  # the sample was drawn before
    )
    trained.train(np.ascontiguousarray(points), init_centroids=start)
    return np.ascontiguousarray(trained.centroids)


def kmeans_start(
    points: NDArray[np.float32], size: int, rng: np.random.Generator, level: str = ""
) -> NDArray[np.float32]:
    """k-means++: each next centre is a point drawn in proportion to its squared distance to the nearest chosen one.

    Drawn from a sample of START_POINTS points for each centre, or from all where these are too alike. SettingError for
    fewer than `size` distinct points. Arthur and Vassilvitskii 2007.
    """
    sampled = points
    if len(points) > START_POINTS * size:
        sampled = points[np.sort(rng.choice(len(points), START_POINTS * size, replace=False))]
    chosen = _spread(sampled, size, rng)
    if len(chosen) < size and len(sampled) < len(points):
        chosen = _spread(points, size, rng)
    if len(chosen) < size:
        raise SettingError(
            f"{size} {level} codes need {size} different items and there are {len(chosen)}: "
            f"ask for fewer {level} codes."
        )
    return chosen


def _spread(points: NDArray[np.float32], size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Up to `size` points by k-means++: as many as there are distinct ones."""
    rows: list[int] = []
    squares = np.square(points).sum(axis=1)
    distance = np.ones_like(squares)  # the first is drawn evenly
    for number in range(size):
        total = distance.cumsum(dtype=np.float64)
        if not len(total) or total[-1] <= 0:
            break
        row = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
        rows.append(min(row, len(points) - 1))
        gap = squares - 2 * (points @ points[rows[-1]]) + squares[rows[-1]]
        gap[gap < 1e-6 * (squares + squares[rows[-1]])] = 0.0  # a copy of the chosen point, up to rounding
        distance = np.minimum(distance, gap) if number else gap
    return points[rows]


def _primary(
    mean: NDArray[np.float32], size: int, balance: float | None, seed: int, start: Cascade | None
) -> NDArray[np.float32]:
    begin = None if start is None else start.primary
    centres = kmeans(mean, size, seed, begin, "primary")
    return centres if balance is None else capped_kmeans(mean, centres, balance)


def _few(members: NDArray[np.float32], size: int, seed: int, start: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Up to `size` centres: as many as there are distinct members, at least one."""
    distinct = np.unique(members, axis=0) if len(members) <= 4 * size else members
    if not len(distinct):
        return np.zeros((1, members.shape[1]), np.float32)
    if len(distinct) <= size:
        return distinct
    try:
        return kmeans(members, size, seed, start)
    except SettingError:  # copies: distinct up to rounding only
        return np.unique(members, axis=0)[:size]
