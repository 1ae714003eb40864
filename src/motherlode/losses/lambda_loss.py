"""LambdaLoss: pairwise logistic loss, each pair weighted by what its swap would change in NDCG."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from motherlode.losses.rows import Reduction, checked, ordered_pairs, reduced, valued


def lambda_loss(
    scores: Tensor,
    grades: Tensor,
    mask: Tensor,
    scale: Tensor | float = 20.0,
    *,
    gains: Sequence[float] = (0.0, 0.5, 1.0),
    reduction: Reduction = "sum",
) -> Tensor:
    """Order the items of a row, minding most the pairs that NDCG minds most.

        L = sum_{grade_i > grade_j} |dNDCG_ij| log2(1 + exp(-scale (s_i - s_j)))
        |dNDCG_ij| = |G_i - G_j| |1 / log2(1 + rank_i) - 1 / log2(1 + rank_j)| / ideal DCG

    Ranks (from 1, ties in order of column) are those of the present scores among the row's items; the weights have
    no gradient.

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        grades: integer or float [B, N], 0 and up. Values under the mask are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        scale: inverse temperature; positive number or 0-d tensor.
        gains: of grade 0, 1, 2 ..., not negative; in between (an expected grade) interpolated.
        reduction: "sum" over rows, "mean" over the rows with two grades, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, a grade has no gain, or the reduction is unknown.

    Source: Wang et al., The LambdaLoss Framework (CIKM 2018), Eq. 10 with LambdaRank's weights (Burges 2010).
    """
    scores, grades = checked(scores, grades, mask)
    gain = valued(gains, grades).masked_fill(~mask, 0.0)
    order = scores.detach().masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True, stable=True)
    discounts = 1 / torch.arange(2, scores.shape[1] + 2, device=scores.device, dtype=scores.dtype).log2()
    discount = torch.zeros_like(gain).scatter(1, order, discounts.expand_as(gain))
    ideal = (gain.sort(dim=1, descending=True).values * discounts).sum(dim=1)
    columns, pairs = ordered_pairs(grades, mask)

    def gap(values: Tensor) -> Tensor:
        return values.gather(1, columns)[:, :, None] - values[:, None, :]

    weight = gap(gain).abs() * gap(discount).abs() / ideal.where(ideal > 0, 1.0)[:, None, None]
    miss = -functional.logsigmoid(scale * gap(scores)) / math.log(2)
    rows = (weight * miss).masked_fill(~pairs, 0.0).sum(dim=(1, 2))
    return reduced(rows, pairs.flatten(1).any(dim=1), reduction)
