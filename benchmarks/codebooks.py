"""Cascaded codebooks against two bare faiss k-means, one after the other: CPU time, and how well both quantise.

    OMP_NUM_THREADS=1 python benchmarks/codebooks.py [items=100000] [rounds=3] [primary=256] [secondary=16]

Items of the generated shop have three views. The rival is what one would write with faiss alone, at its defaults: a
k-means of the means, the nearest centre of every item, a k-means of the concatenated residuals, the nearest again. Ours
is `CascadedCodebooks().fit(views).assign(views)`. Both in turns, in one process.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from common import write
from motherlode.semantics.codebooks import LEAST_SAMPLE, POINTS_PER_CENTRE, CascadedCodebooks
from motherlode.semantics.views import Views
from motherlode.shop.views import VIEWS, vectors

Labels = tuple[NDArray[np.int64], NDArray[np.int64]]


def made(items: int) -> Views:
    """The generated shop's views; what an item lacks is the sum of its others, so that both sides see the same."""
    drawn = {view: vectors(0, view, np.arange(items)) for view in VIEWS}
    filled = sum(values * present[:, None] for values, present in drawn.values())
    return Views.from_arrays({view: np.where(mask[:, None], one, filled) for view, (one, mask) in drawn.items()})


def bare(parts: list[NDArray[np.float32]], sizes: tuple[int, int], seed: int) -> Labels:
    mean = np.mean(parts, axis=0)
    primary, first = _kmeans(mean, sizes[0], seed)
    residual = np.concatenate([one - primary[first] for one in parts], axis=1)
    return first, _kmeans(residual, sizes[1], seed)[1]


def _kmeans(points: NDArray[np.float32], size: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    most = max(POINTS_PER_CENTRE, LEAST_SAMPLE // size)  # as many points as ours learns from
    trained = faiss.Kmeans(points.shape[1], size, seed=seed + 1, max_points_per_centroid=most)
    trained.train(np.ascontiguousarray(points))
    assert trained.centroids is not None and trained.index is not None
    return trained.centroids, trained.index.search(np.ascontiguousarray(points), 1)[1][:, 0]


def ours(views: Views, sizes: tuple[int, int], seed: int) -> Labels:
    codes = CascadedCodebooks(*sizes, seed=seed).fit(views).assign(views)
    return codes.primary.astype(np.int64), codes.secondary.astype(np.int64)


def error(parts: list[NDArray[np.float32]], labels: Labels) -> dict[str, float]:
    """Mean squared distance to the mean of the own cell: of the means, and of the residuals to the primary cells."""
    first, second = labels
    mean = np.mean(parts, axis=0)
    centre = _means(mean, first)
    residual = np.concatenate([one - centre[first] for one in parts], axis=1)
    found = {}
    for name, points, numbers in (("primary", mean, first), ("secondary", residual, second)):
        found[name] = round(float(np.square(points - _means(points, numbers)[numbers]).sum(1).mean()), 5)
    return found


def _means(points: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    sums = np.zeros((labels.max() + 1, points.shape[1]), np.float64)
    np.add.at(sums, labels, points)
    return (sums / np.maximum(np.bincount(labels), 1)[:, None]).astype(np.float32)


def timed(work: Callable[[], Labels]) -> tuple[float, Labels]:
    begin = time.process_time()
    labels = work()
    return time.process_time() - begin, labels


def main(words: list[str]) -> None:
    given = {"items": 100_000, "rounds": 3, "primary": 256, "secondary": 16}
    given |= {key: int(value) for key, value in (word.split("=", 1) for word in words)}
    sizes = (given["primary"], given["secondary"])
    views = made(given["items"])
    parts = list(views.vectors.values())
    seconds: dict[str, list[float]] = {"motherlode": [], "faiss": []}
    errors: dict[str, list[dict[str, float]]] = {"motherlode": [], "faiss": []}
    for seed in range(given["rounds"]):
        works: dict[str, Callable[[], Labels]] = {
            "motherlode": lambda seed=seed: ours(views, sizes, seed),  # type: ignore[misc]
            "faiss": lambda seed=seed: bare(parts, sizes, seed),  # type: ignore[misc]
        }
        for name, work in works.items():
            spent, labels = timed(work)
            seconds[name].append(round(spent, 2))
            errors[name].append(error(parts, labels))
    found: dict[str, Any] = {
        **given,
        "views": len(parts),
        "width": parts[0].shape[1],
        "cpu_s": seconds,
        "times_faiss": round(float(np.median(seconds["motherlode"]) / np.median(seconds["faiss"])), 2),
        "target": 1.1,
        "error": errors,
    }
    write("codebooks", found)


if __name__ == "__main__":
    faiss.omp_set_num_threads(1)
    main(sys.argv[1:])
