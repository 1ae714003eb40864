"""MixGCF's positive mixing: every candidate takes on some of the positive, and the best of them is the negative."""

from __future__ import annotations

import torch
from torch import Tensor

from motherlode.negatives.scored import dots
from motherlode.negatives.virtual import Virtual


def mixgcf_negatives(
    generator: torch.Generator, users: Tensor, positives: Tensor, candidates: Tensor, mask: Tensor, n: int = 1
) -> Virtual:
    """The n mixed candidates that each user scores highest.

        e'_j = a e+ + (1 - a) e_j,   a ~ U(0, 1) once an example,   negative = argmax_j u e'_j

    A user's own mixtures share a and e+, so their order is that of the candidates themselves.

    Args:
        users, positives: float [B, d].
        candidates: float [B, n_c, d], vectors of drawn items; mask: bool [B, n_c].

    Source: MixGCF, Huang et al., KDD 2021. It mixes and picks in each layer of a graph encoder; a two-tower model has
    one layer, its output (ours). n > 1 is ours.
    """
    share = torch.rand((len(users), 1), generator=generator, dtype=users.dtype, device=users.device)
    candidate_scores = dots(candidates, users)
    mixed = share * (users * positives).sum(dim=1, keepdim=True) + (1 - share) * candidate_scores
    best = mixed.detach().masked_fill(~mask, -torch.inf).topk(min(n, mask.shape[1]), dim=1).indices
    return Virtual(mixed.gather(1, best), mask.gather(1, best), {"mixed_share": float(share.mean())})
