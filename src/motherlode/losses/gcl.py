"""Generalised contrastive learning: cross-entropy of every pair, weighted by how relevant it is."""

from collections.abc import Sequence

from torch import Tensor

from motherlode.losses.rows import MASKED, Reduction, checked, reduced, valued


def gcl(
    scores: Tensor,
    grades: Tensor,
    mask: Tensor,
    temperature: Tensor | float = 0.05,
    *,
    weights: Sequence[float] = (0.0, 1.0, 2.0),
    symmetric: bool = False,
    reduction: Reduction = "sum",
) -> Tensor:
    """Weighted contrastive cross-entropy; a pair of high grade counts for more, within its row and between rows.

        L_b = -sum_i w_bi log( exp(s_bi / t) / sum_j exp(s_bj / t) ),    w_bi = weights[grade_bi]

    `symmetric` takes the mean with the other direction, where query b competes for item i with the queries that
    share it: exp(s_bi / t) / sum_c exp(s_ci / t). That needs column i to be one and the same item in every row.
    "mean" divides by the sum of all weights, which is the published form. Where every row has one positive, of
    weight 1, L is InfoNCE.

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        grades: integer or float [B, N], 0 and up. Values under the mask are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        temperature: positive number or 0-d tensor; may require a gradient.
        weights: of grade 0, 1, 2 ...; in between (an expected grade) interpolated.

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, a grade has no weight, or the reduction is unknown.

    Source: Zhu et al., Generalized Contrastive Learning (arXiv 2404.08535); grade weights in place of their
    100 ranks, and the exact form, are ours.
    """
    scores, grades = checked(scores, grades, mask)
    weight = valued(weights, grades).masked_fill(~mask, 0.0)
    logits = (scores / temperature).masked_fill(~mask, MASKED)
    log_probability = logits - logits.logsumexp(dim=1, keepdim=True)
    if symmetric:
        log_probability = (log_probability + logits - logits.logsumexp(dim=0, keepdim=True)) / 2
    rows = -(weight * log_probability.masked_fill(~mask, 0.0)).sum(dim=1)
    total = weight.sum()
    if reduction == "mean":
        return rows.sum() / total.where(total > 0, 1.0)
    return reduced(rows, weight.sum(dim=1) > 0, reduction)
