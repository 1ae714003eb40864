"""InfoNCE: the positives of a query against all its items, grades above the positive one counting alike."""

import torch
from torch import Tensor

from motherlode.losses.rows import MASKED, Reduction, checked, reduced


def info_nce(
    scores: Tensor,
    grades: Tensor,
    mask: Tensor,
    temperature: Tensor | float = 0.05,
    *,
    positive_grade: int = 2,
    reduction: Reduction = "sum",
) -> Tensor:
    """Softmax cross-entropy of each positive among the items of its row, averaged over the row's positives.

        L = -1/|P| sum_{i in P} log( exp(s_i / t) / sum_j exp(s_j / t) )

    P holds the items of `positive_grade` and above; where a row has none, those of its highest grade. Either
    way an item of the row's lowest grade is no positive, and a row without positives adds exactly 0.

    With scores [B, B] of B queries and B items, grades `positive_grade` on the diagonal and 0 elsewhere and a full
    mask, this is the in-batch loss MultipleNegativesRankingLoss (scale = 1 / t); a mask that is False at
    suspected false negatives is its guarded form.

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        grades: integer or float [B, N]. Values under the mask are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        temperature: positive number or 0-d tensor; may require a gradient.
        reduction: "sum" over rows, "mean" over the rows that have a positive, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, or the reduction is unknown.

    Source: van den Oord et al. (arXiv 1807.03748), Eq. 4; several positives as in Khosla et al.
    (arXiv 2004.11362), L_out.
    """
    scores, grades = checked(scores, grades, mask)
    lowest = grades.masked_fill(~mask, torch.inf).amin(dim=1, keepdim=True)
    highest = grades.masked_fill(~mask, -torch.inf).amax(dim=1, keepdim=True)
    positives = mask & (grades >= highest.clamp(max=positive_grade)) & (grades > lowest)
    logits = (scores / temperature).masked_fill(~mask, MASKED)
    log_probability = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(~positives, 0.0)
    count = positives.sum(dim=1)
    return reduced(-log_probability.sum(dim=1) / count.clamp(min=1), count > 0, reduction)
