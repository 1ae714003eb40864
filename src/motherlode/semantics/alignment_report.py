"""How well the views of an item find each other, beside what they do without alignment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.semantics.alignment import Aligned
from motherlode.semantics.views import Views

MOST_ITEMS = 5_000  # recall@1 among this many items at most
MOST_PAIRS = 2_000  # items whose pairwise distances make the uniformity


def measure_alignment(aligned: Aligned, views: Views, seed: int = 0) -> dict[str, Any]:
    """Diagnostics of the aligned views and of the unaligned ones, for each pair of views and each view.

    Give items that the fit has not seen for an honest figure. For each pair of views (a, b), over the n items that
    have both (a sample of at most MOST_ITEMS):

        recall@1 a → b: share of items whose b is the nearest of all n b's to their a (a tie counts as a miss)
        gap: ‖mean of a - mean of b‖        alignment: mean ‖a_i - b_i‖²

    and for each view uniformity = log mean over i ≠ j of exp(-2 ‖x_i - x_j‖²). `unaligned` has the same figures for
    each view's first principal components, to the same width and unit length; chance is 1/n. Alignment and
    uniformity as Wang and Isola (arXiv 2005.10242), the gap as Liang et al. (arXiv 2203.02053).
    """
    if len(aligned.heads) < 2:
        raise InputError("A report on alignment needs two views.")
    after = aligned.transform(views)
    before = principal_views(views.only(after.names), after.width)
    return {"aligned": _figures(after, seed), "unaligned": _figures(before, seed)}


def principal_views(views: Views, dim: int) -> Views:
    """Each view by its first `dim` principal components (zeros behind, where it has fewer), at unit length."""
    vectors = {}
    for name, given in views.vectors.items():
        held = given[views.present[name]].astype(np.float64)
        mean = held.mean(axis=0)
        directions = np.linalg.eigh((held - mean).T @ (held - mean))[1][:, ::-1][:, :dim]
        reduced = np.zeros((len(views), dim))
        reduced[:, : directions.shape[1]] = (given - mean) @ directions
        vectors[name] = reduced
    return Views.from_arrays(vectors, views.present)


def recall_at_1(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Share of rows i of `left` [n, d] whose highest inner product with rows of `right` [n, d] is with row i alone."""
    hits = 0
    for start in range(0, len(left), 1_024):
        scores = left[start : start + 1_024] @ right.T
        rows = np.arange(len(scores))
        own = scores[rows, start + rows]
        scores[rows, start + rows] = -np.inf
        hits += int((own > scores.max(axis=1, initial=-np.inf)).sum())
    return hits / len(left)


def uniformity(vectors: NDArray[np.float32]) -> float:
    """log of the mean over i ≠ j of exp(-2 ‖x_i - x_j‖²) for unit vectors [n, d], n ≥ 2."""
    potential = np.exp(-4 + 4 * (vectors.astype(np.float64) @ vectors.T))
    np.fill_diagonal(potential, 0.0)
    return float(np.log(potential.sum() / (len(vectors) * (len(vectors) - 1))))


def _figures(views: Views, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, len(views)])
    pairs: list[dict[str, Any]] = []
    for number, a in enumerate(views.names):
        for b in views.names[number + 1 :]:
            rows = _sample(views.present[a] & views.present[b], MOST_ITEMS, rng)
            if not len(rows):
                continue
            left, right = views.vectors[a][rows], views.vectors[b][rows]
            gap = left.mean(axis=0, dtype=np.float64) - right.mean(axis=0, dtype=np.float64)
            pairs.append(
                {
                    "views": [a, b],
                    "items": len(rows),
                    "chance": 1 / len(rows),
                    "recall@1": [recall_at_1(left, right), recall_at_1(right, left)],
                    "gap": float(np.linalg.norm(gap)),
                    "alignment": float(np.square(left - right).sum(axis=1).mean()),
                }
            )
    spread = {}
    for name in views.names:
        rows = _sample(views.present[name], MOST_PAIRS, rng)
        spread[name] = uniformity(views.vectors[name][rows]) if len(rows) > 1 else None
    return {"pairs": pairs, "uniformity": spread}


def _sample(mask: NDArray[np.bool_], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    rows = np.flatnonzero(mask)
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
