"""Sampled softmax: a positive against real negatives, with or without logQ, and against virtual ones."""

from typing import Literal

import torch
from torch import Tensor

from motherlode.losses.rows import MASKED, reduced


def sampled_softmax(
    positive_scores: Tensor,
    scores: Tensor,
    mask: Tensor,
    temperature: Tensor | float = 0.07,
    *,
    log_q: Tensor | None = None,
    eta: Tensor | float = 0.0,
    log_weight: Tensor | None = None,
    positive_log_q: Tensor | None = None,
    virtual_scores: Tensor | None = None,
    virtual_mask: Tensor | None = None,
    virtual_log_q: Tensor | None = None,
    omega: Tensor | float = 1.0,
    reduction: Literal["sum", "mean", "none"] = "mean",
) -> Tensor:
    """Cross-entropy of the positive among itself, its sampled negatives and its virtual negatives.

        L_b = -log( P_b / (P_b + R_b + omega V_b) ),       P_b = e^{s_b / t - log q_b}
        R_b = sum_j m_bj W_bj e^{s_bj / t - eta log q_bj},  V_b = sum_v m_bv e^{s_bv / t - log q_v}

    With q_j the expected number of times that j is drawn, eta = 1 and nothing virtual, the denominator estimates that
    of the full softmax without bias. Missing log q and weights count as 0; log-sum-exp throughout.

    Args:
        positive_scores: float [B].
        scores: float [B, S]. Computed in float32 when given in half precision. Values under the mask are ignored.
        mask: bool [B, S], False at false negatives.
        temperature: positive number or 0-d tensor; may require a gradient.
        log_q: broadcastable to [B, S], log of the expected number of draws.
        eta: exponent on q, a number or broadcastable to [B, S].
        log_weight: broadcastable to [B, S], log of how often a negative counts (log W).
        positive_log_q: [B]; some corrections take it from the positive too (Yi et al., RecSys 2019).
        virtual_scores: float [B, V], negatives that were made and not drawn.
        virtual_mask: bool [B, V]; None for all.
        virtual_log_q: broadcastable to [B, V]; None for none.
        omega: weight of all virtual ones, >= 0. S / (S + V) keeps the sum's number of terms as V grows.
        reduction: "mean" over rows, "sum", or "none". A row without a usable negative adds exactly 0.

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes do not fit, or the reduction is unknown.

    Source: Bengio & Senecal 2008 for sampled softmax with log q; the exponent, the weights and the virtual part are
    ours.
    """
    if positive_scores.shape != scores.shape[:1] or scores.shape != mask.shape or scores.dim() != 2:
        raise ValueError(
            f"positive_scores must be [B], scores and mask [B, S]; got {tuple(positive_scores.shape)}, "
            f"{tuple(scores.shape)} and {tuple(mask.shape)}."
        )
    positive = _wide(positive_scores) / temperature
    if positive_log_q is not None:
        positive = positive - positive_log_q
    # what every column gets is added up while it is small: each pass over [B, S] counts
    offset = log_weight
    if log_q is not None and not (isinstance(eta, float | int) and eta == 0):
        offset = -eta * log_q if offset is None else offset - eta * log_q
    out = ~mask
    logits = _tempered(scores, out, temperature)
    if offset is not None:
        logits += offset
    parts = [positive, logits.masked_fill_(out, MASKED).logsumexp(dim=1)]
    if virtual_scores is not None and not (isinstance(omega, float | int) and omega == 0):
        parts.append(_virtual(virtual_scores, virtual_mask, virtual_log_q, temperature, omega, len(positive)))
    rows = torch.stack(parts).logsumexp(dim=0) - positive
    if reduction == "mean":
        return rows.mean()
    return reduced(rows, torch.ones_like(rows, dtype=torch.bool), reduction)


def _virtual(
    scores: Tensor,
    mask: Tensor | None,
    log_q: Tensor | None,
    temperature: Tensor | float,
    omega: Tensor | float,
    rows: int,
) -> Tensor:
    """log( omega sum_v m_v e^{s_v / t - log q_v} ): [B]."""
    mask = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
    if scores.dim() != 2 or len(scores) != rows or scores.shape != mask.shape:
        raise ValueError(
            f"virtual_scores and virtual_mask must be [{rows}, V]; got {tuple(scores.shape)} and {tuple(mask.shape)}."
        )
    out = ~mask
    logits = _tempered(scores, out, temperature)
    if log_q is not None:
        logits = logits - log_q
    weight = torch.as_tensor(omega, dtype=logits.dtype, device=logits.device).log()
    return logits.masked_fill(out, MASKED).logsumexp(dim=1) + weight.clamp(min=MASKED)


def _tempered(scores: Tensor, out: Tensor, temperature: Tensor | float) -> Tensor:
    """Scores over the temperature. What is masked out is made 0 first only where it could reach a gradient."""
    learnt = isinstance(temperature, Tensor) and temperature.requires_grad
    return (_wide(scores).masked_fill(out, 0.0) if learnt else _wide(scores)) / temperature


def _wide(scores: Tensor) -> Tensor:
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
