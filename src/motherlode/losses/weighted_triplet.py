"""Hinge between the items of two grades, with a weight and a margin for every pair of grades."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motherlode.losses.rows import Reduction, checked, columns_of, reduced


@dataclass(frozen=True)
class TripletPair:
    """Items of grade `higher` are to score `margin` above those of grade `lower`; a miss costs `weight`."""

    higher: int
    lower: int
    weight: float
    margin: float


TRIPLET_PAIRS = (TripletPair(2, 0, 1.0, 0.4), TripletPair(1, 0, 0.5, 0.2), TripletPair(2, 1, 0.5, 0.2))


def weighted_triplet(
    scores: Tensor,
    grades: Tensor,
    mask: Tensor,
    *,
    pairs: Sequence[TripletPair] = TRIPLET_PAIRS,
    average: bool = False,
    reduction: Reduction = "sum",
) -> Tensor:
    """Keep the scores of two grades a margin apart.

        L = sum_{(a, b)} w_ab sum_{i of grade a, j of grade b} [m_ab - s_i + s_j]+

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        grades: integer or float [B, N]; other grades than those of the pairs, and values under the mask, are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        average: mean over the item pairs of a pair of grades instead of the sum, so that a row with many
            items weighs no more than another.
        reduction: "sum" over rows, "mean" over the rows that hold a pair, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, or a pair is out of order.

    Source: the hybrid triplet baseline of Mine and Refine (arXiv 2602.17654, §5); weights and margins are ours.
    """
    scores, grades = checked(scores, grades, mask)
    total = scores.new_zeros(len(scores))
    contributing = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    for pair in pairs:
        if pair.higher <= pair.lower:
            raise ValueError(f"{pair} is out of order: its higher grade must be above its lower one.")
        columns, real = columns_of(mask & (grades == pair.higher))
        both = real[:, :, None] & (mask & (grades == pair.lower))[:, None, :]
        gap = pair.margin - scores.gather(1, columns)[:, :, None] + scores[:, None, :]
        hinge = gap.clamp(min=0).masked_fill(~both, 0.0).sum(dim=(1, 2))
        count = both.sum(dim=(1, 2))
        total = total + pair.weight * (hinge / count.clamp(min=1) if average else hinge)
        contributing = contributing | (count > 0)
    return reduced(total, contributing, reduction)
