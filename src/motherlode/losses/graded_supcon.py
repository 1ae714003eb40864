"""Grade-weighted supervised contrastive loss of one query against its graded items."""

from typing import Literal

import torch
from torch import Tensor

MASKED = -1e5  # finite: an empty row then gives zero, not NaN, in value and gradient


def graded_supcon(
    scores: Tensor,
    grades: Tensor,
    mask: Tensor,
    temperature: Tensor | float,
    reduction: Literal["sum", "mean", "none"] = "sum",
) -> Tensor:
    """Pull a query towards its relatively positive items, in proportion to their grades.

    For one row with grades r and scores s over the unmasked items,

        L = -1 / sum_{i in P} r_i * sum_{i in P} r_i * log( exp(s_i / t) / sum_j exp(s_j / t) )

    where P holds the items whose grade is above 0 and above the lowest grade of the row. The denominator covers
    the row's own items only. A row without a relative positive adds exactly 0.

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        grades: integer or float [B, N], 0 and up. Values under the mask are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        temperature: positive number or 0-d tensor; may require a gradient.
        reduction: "sum" over rows (the paper's choice), "mean" over the rows that have a positive, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, or the reduction is unknown.

    Source: Mine and Refine (arXiv 2602.17654), Eq. 2. "Above the lowest grade" is our reading of "relatively
    positive"; the mean reduction counts contributing rows only, which the paper leaves open.
    """
    if not scores.shape == grades.shape == mask.shape or scores.dim() != 2:
        raise ValueError(
            f"scores, grades and mask must share one shape [B, N]; got {tuple(scores.shape)}, "
            f"{tuple(grades.shape)} and {tuple(mask.shape)}."
        )
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    weights = positive_weights(grades, mask).to(scores.dtype)
    logits = (scores / temperature).masked_fill(~mask, MASKED)
    log_probability = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(~mask, 0.0)
    total = weights.sum(dim=1)
    rows = -(weights * log_probability).sum(dim=1) / total.clamp(min=torch.finfo(scores.dtype).tiny)
    if reduction == "none":
        return rows
    if reduction == "sum":
        return rows.sum()
    if reduction == "mean":
        return rows.sum() / (total > 0).sum().clamp(min=1)
    raise ValueError(f"reduction must be 'sum', 'mean' or 'none'; got {reduction!r}.")


def positive_weights(grades: Tensor, mask: Tensor) -> Tensor:
    """Weight r_i of each item: its grade where it is relatively positive, else 0; float [B, N]."""
    grades = grades.float()
    lowest = grades.masked_fill(~mask, torch.inf).amin(dim=1, keepdim=True)
    return torch.where(mask & (grades > 0) & (grades > lowest), grades, 0.0)
