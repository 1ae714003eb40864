"""BMNS: many mixtures of the batch's items, as mixtures of their logits."""

from __future__ import annotations

import torch
from torch import Tensor

from motherlode.errors import SettingError
from motherlode.negatives.beta import beta_draws
from motherlode.negatives.virtual import Virtual


def bmns_negatives(
    generator: torch.Generator,
    scores: Tensor,
    mask: Tensor,
    log_q: Tensor,
    n: int = 2048,
    *,
    mixing_temperature: float = 1.0,
    beta: float = 0.5,
) -> Virtual:
    """n virtual negatives, each a mixture of all items of a shared pool with the same weights for every example.

        r ~ Beta(beta, beta) [n, S],   W = softmax((r - log q) / mixing_temperature),   virtual = scores W^T

    Scores of inner products mix as the items do. What an example must not meet is taken out of its mixtures and the
    rest made to sum to 1 again: (m s) W^T / (m W^T) (ours).

    Args:
        scores: float [B, S], inner products, or logits times the temperature where they were corrected.
        mask: bool [B, S].
        log_q: float [S].

    Raises:
        SettingError: n or a temperature or beta that cannot be.

    Source: BMNS, CIKM 2023, by the rule of its public code.
    """
    if n < 1 or mixing_temperature <= 0 or beta <= 0:
        raise SettingError("BMNS needs n >= 1 and a mixing temperature and beta above 0.")
    raw = beta_draws(generator, beta, beta, (n, scores.shape[1]), scores)
    weight = ((raw - log_q) / mixing_temperature).softmax(dim=1)
    usable = mask.to(scores.dtype)
    share = usable @ weight.T
    made = (scores.masked_fill(~mask, 0.0) @ weight.T) / share.clamp(min=1e-12)
    return Virtual(made, share > 1e-12)
