"""The bidirectional margin: items too close to be negatives should be near, but not as near as the positive."""

from __future__ import annotations

import torch
from torch import Tensor


def bidirectional_margin_loss(
    false_scores: Tensor, positive_scores: Tensor, mask: Tensor, *, upper: float = 0.2, lower: float = 0.5
) -> Tensor:
    """Mean over the masked-in pairs of relu(d + upper) + relu(-d - lower), with d = s_false - s_positive.

    It is 0 while d lies in [-lower, -upper].

    Args:
        false_scores: float [B, F], scores of items in the positive's own cluster.
        positive_scores: float [B].
        mask: bool [B, F].

    Source: ClusterNS, Deng et al. (arXiv 2305.09892), who add it with weight 1e-4.
    """
    gap = (false_scores - positive_scores[:, None]).masked_fill(~mask, 0.0)
    outside = torch.relu(gap + upper) + torch.relu(-gap - lower)
    return outside.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)
