"""What drawn negatives are like, tier by tier: how false, how hard, how varied, how dense."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from motherlode.negatives.batch import Histories, Rows
from motherlode.negatives.sampler import Pool


def by_tier(pool: Pool) -> dict[str, NDArray[np.bool_]]:
    """The usable draws of each tier of a drawn pool: name -> bool [B, n]. A shared pool is one tier over [B, S]."""
    tier = np.zeros(pool.mask.shape, dtype=np.int8) if pool.tier is None else pool.tier
    return {name: pool.mask & (tier == number) for number, name in enumerate(pool.tiers)}


def false_negative_rate(pool: Pool, held_out: Histories) -> Mapping[str, float]:
    """Share of each tier's draws that are held-out positives of the same user; NaN for a tier without draws.

    Args:
        pool: drawn for B examples.
        held_out: their B users' positives outside training.
    """
    rows = np.broadcast_to(pool.rows, pool.mask.shape)
    owners = np.broadcast_to(np.arange(len(rows))[:, None], rows.shape)
    false = held_out.contains(owners, rows)
    return {name: _share(false, drawn) for name, drawn in by_tier(pool).items()}


def hardness(pool: Pool, scores: NDArray[np.floating], reference: NDArray[np.floating]) -> Mapping[str, float]:
    """Mean share of a user's reference scores that lie below the negative's: 0.5 for uniform draws, 1 for the hardest.

    Args:
        scores: float [B, n], of the pool's items; values outside its mask are ignored.
        reference: float [B, R], scores of R uniform items, or of the whole catalogue. Ties count half.
    """
    ordered = np.sort(reference, axis=1)
    low = np.stack([np.searchsorted(row, s, side="left") for row, s in zip(ordered, scores, strict=True)])
    high = np.stack([np.searchsorted(row, s, side="right") for row, s in zip(ordered, scores, strict=True)])
    percentile = (low + high) / (2 * reference.shape[1])
    return {name: _share(percentile, drawn) for name, drawn in by_tier(pool).items()}


def diversity(pool: Pool, clusters: Rows) -> Mapping[str, Mapping[str, float]]:
    """What each tier's draws cover: distinct items, distinct clusters, and the share of clusters that hold an item.

    Args:
        clusters: int64 [N], cluster of each item of the catalogue.
    """
    rows = np.broadcast_to(pool.rows, pool.mask.shape)
    there = len(np.unique(clusters))
    covered = {}
    for name, drawn in by_tier(pool).items():
        items = np.unique(rows[drawn])
        met = len(np.unique(clusters[items]))
        covered[name] = {"items": float(len(items)), "clusters": float(met), "cluster_share": met / there}
    return covered


def density(vectors: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Mean cosine of a negative to its nearest other negative of the same example: the higher, the denser.

    Args:
        vectors: float [B, n, d], unit vectors, real and virtual ones alike.
        mask: bool [B, n]. Examples with fewer than two usable ones are left out; NaN where all are.
    """
    products = np.einsum("bnd,bmd->bnm", vectors, vectors)
    able = mask[:, :, None] & mask[:, None, :] & ~np.eye(mask.shape[1], dtype=np.bool_)
    nearest = np.where(able, products, -np.inf).max(axis=2)
    return _share(nearest, np.asarray(able.any(axis=2)))


def _share(values: NDArray[np.generic], drawn: NDArray[np.bool_]) -> float:
    return float(values[drawn].astype(np.float64).mean()) if drawn.any() else float("nan")
