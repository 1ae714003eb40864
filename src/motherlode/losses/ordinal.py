"""Cross-entropy that knows the order of the grades."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Reduction = Literal["mean", "sum", "none"]


def ordinal_cross_entropy(logits: Tensor, targets: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Binary cross-entropy of every threshold "grade k or above", read off one softmax over the grades.

    With p = softmax(logits), P_k = sum_{g >= k} p_g and T_k the same of the targets,

        L = - sum_{k=1}^{K-1} [ T_k log P_k + (1 - T_k) log(1 - P_k) ]

    A miss by two grades pays at two thresholds, a miss by one at one. Each term is a proper scoring rule, so the
    loss is least where p is the true distribution; with K = 2 it is plain cross-entropy.

    Args:
        logits: float [B, K]. Computed in float32 when given in half precision.
        targets: int64 [B] grades, or float [B, K] probabilities where raters disagree.
        reduction: over the rows.

    Raises:
        ValueError: shapes do not fit, or the reduction is unknown.

    Source: ours; the logarithmic form of the ranked probability score (Epstein 1969).
    """
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    classes = logits.shape[-1]
    if targets.dim() == 1:
        targets = functional.one_hot(targets, classes)
    if logits.dim() != 2 or logits.shape != targets.shape:
        raise ValueError(
            f"logits must be [B, K] and targets [B] or [B, K]; got {tuple(logits.shape)} and {tuple(targets.shape)}."
        )
    targets = targets.to(logits.dtype)
    log_p = logits.log_softmax(dim=1)
    # log of sums of probabilities from either end: stable however sure the model is
    below = torch.logcumsumexp(log_p, dim=1)[:, :-1]
    above = torch.logcumsumexp(log_p.flip(1), dim=1).flip(1)[:, 1:]
    reached = targets.flip(1).cumsum(1).flip(1)[:, 1:]
    rows = -(reached * above + (1 - reached) * below).sum(dim=1)
    if reduction == "none":
        return rows
    if reduction == "mean":
        return rows.mean()
    if reduction == "sum":
        return rows.sum()
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none'; got {reduction!r}.")
