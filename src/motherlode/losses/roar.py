"""ROAR: a contrastive loss plus the odds ratio between neighbouring grades."""

import torch
from torch import Tensor
from torch.nn import functional

from motherlode.losses.info_nce import info_nce
from motherlode.losses.rows import MASKED, Reduction, checked, ordered_pairs, reduced


def roar(
    scores: Tensor,
    grades: Tensor,
    mask: Tensor,
    temperature: Tensor | float = 0.02,
    *,
    odds_temperature: Tensor | float = 0.01,
    beta: float = 0.1,
    positive_grade: int = 2,
    reduction: Reduction = "sum",
) -> Tensor:
    """InfoNCE plus beta times a term that puts every grade's odds above those of the next lower grade.

        L = L_InfoNCE + beta mean_{(i, j)} -log sigmoid( log odds_i - log odds_j ),    odds = P / (1 - P)

    P is the softmax of s / odds_temperature over the row's items and (i, j) run over the item pairs of neighbouring
    grades among those the row holds. The mean is taken over the pairs of two grades, then over the
    boundaries, so that many items of grade 0 do not drown the boundary above.

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        grades: integer or float [B, N]. Values under the mask are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        temperature: of InfoNCE.
        positive_grade: see `info_nce`.
        reduction: "sum" over rows, "mean" over the rows with two grades, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, or the reduction is unknown.

    Source: ROAR (arXiv 2606.01504), Stage 2, with its defaults; several items of one grade are our extension.
    """
    contrastive = info_nce(scores, grades, mask, temperature, positive_grade=positive_grade, reduction="none")
    scores, grades = checked(scores, grades, mask)
    columns, pairs = ordered_pairs(grades, mask)
    odds = _log_odds(scores / odds_temperature, mask)
    miss = -functional.logsigmoid(odds.gather(1, columns)[:, :, None] - odds[:, None, :])
    weight = _neighbour_weights(grades, mask, columns, pairs)
    rows = contrastive + beta * (weight * miss.masked_fill(~pairs, 0.0)).sum(dim=(1, 2))
    return reduced(rows, pairs.flatten(1).any(dim=1), reduction)


def _log_odds(logits: Tensor, mask: Tensor) -> Tensor:
    """log P - log(1 - P) of every item; [B, N].

    1 - P of the likeliest item is summed from the others, and that of the others, which is at least a half, is
    taken from P: neither cancels however sure the model is.
    """
    logits = logits.masked_fill(~mask, MASKED)
    total = logits.logsumexp(dim=1, keepdim=True)
    first = torch.zeros_like(mask).scatter(1, logits.argmax(dim=1, keepdim=True), True)
    others = logits.masked_fill(first, MASKED).logsumexp(dim=1, keepdim=True)
    log_p = (logits - total).masked_fill(first | ~mask, -1.0)  # any value whose complement has a gradient
    odds = torch.where(first, logits - others, log_p - torch.log(-torch.expm1(log_p)))
    return odds.masked_fill(~mask, 0.0)


def _neighbour_weights(grades: Tensor, mask: Tensor, columns: Tensor, pairs: Tensor) -> Tensor:
    """1 / (pairs of the two grades * boundaries of the row) where grade_j is the next below grade_i, else 0."""
    own, below = grades.gather(1, columns), grades[:, None, :].expand(pairs.shape)
    following = below.masked_fill(~pairs, -torch.inf).amax(dim=2, keepdim=True)
    neighbours = pairs & (below == following)
    alike = ((own[:, :, None] == below) & mask[:, None, :]).sum(dim=2).to(grades.dtype)  # of the grade of i
    real = pairs.any(dim=2)
    boundaries = (real / alike.clamp(min=1)).sum(dim=1)[:, None, None]
    count = (alike * neighbours.sum(dim=2))[:, :, None] * boundaries
    return neighbours / count.where(real[:, :, None], 1.0)
