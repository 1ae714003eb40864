"""Contrastive loss between views: every pair of views of an item against the other items' views."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def nce(left: Tensor, right: Tensor, temperature: Tensor | float) -> Tensor:
    """½ [NCE(left → right) + NCE(right → left)] of unit vectors [B, d] whose rows belong together.

        NCE(a → b) = -1/B Σ_i log( exp(a_i·b_i / τ) / Σ_j exp(a_i·b_j / τ) )

    Source: van den Oord et al. (arXiv 1807.03748), Eq. 4; both directions as in CLIP (arXiv 2103.00020).
    """
    scores = left @ right.T / temperature
    target = torch.arange(len(left), device=left.device)
    return 0.5 * (cross_entropy(scores, target) + cross_entropy(scores.T, target))


def alignment_loss(vectors: Tensor, present: Tensor, temperature: Tensor | float) -> Tensor:
    """Σ over pairs of views (m, m') of `nce` among the items that have both: 0-d.

    Every item counts once for each pair that it has: a pair's mean is weighted by its share of the batch. Pairs that
    fewer than two items have add nothing. Args: unit vectors [B, M, d], bool [B, M].
    """
    total = vectors.sum() * 0.0
    for left in range(vectors.shape[1]):
        for right in range(left + 1, vectors.shape[1]):
            rows = torch.nonzero(present[:, left] & present[:, right]).flatten()
            if len(rows) > 1:
                loss = nce(vectors[rows, left], vectors[rows, right], temperature)
                total = total + loss * (len(rows) / len(vectors))
    return total
