"""Angular margin against prototypes: a text belongs to one cluster or product group and not to its neighbours."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from motherlode.losses.rows import MASKED, Reduction, reduced


def prototype_margin(
    vectors: Tensor,
    targets: Tensor,
    prototypes: Tensor,
    temperature: Tensor | float = 0.05,
    *,
    margin: float = 0.2,
    neighbours: int | None = None,
    reduction: Reduction = "sum",
) -> Tensor:
    """Cross-entropy of a vector's own prototype, made harder by an angle, against the prototypes next to it.

        L = -log( e^{cos(a_y + m) / t} / ( e^{cos(a_y + m) / t} + sum_{u in N(y)} e^{cos(a_u) / t} ) )

    a_u is the angle between the vector and prototype u, y its own prototype, N(y) the prototypes nearest to y. Where
    a_y + m would pass pi, cos(a_y) - m sin(m) stands in, so that L never falls as the angle grows. This loss
    knows nothing of queries and grades, so it does not take (scores, grades, mask). For Matryoshka prefixes,
    add the losses of vectors[:, :width] and prototypes[:, :width].

    Args:
        vectors: float [B, D]; they and the prototypes are scaled to unit length here. Half precision is computed in
            float32.
        targets: int64 [B], row of the own prototype; -1 for none, which adds exactly 0.
        prototypes: float [P, D]: cluster centroids, or a learnt table; may require a gradient.
        temperature: positive number or 0-d tensor; may require a gradient.
        margin: m, in radians.
        neighbours: how many prototypes N(y) holds; None for all others.
        reduction: "sum" over rows, "mean" over the rows with a prototype, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes do not fit, or the reduction is unknown.

    Source: Pailitao-VL (arXiv 2602.13704), one prefix; ArcFace (Deng et al., arXiv 1801.07698) for the margin.
    """
    if vectors.dim() != 2 or prototypes.dim() != 2 or vectors.shape[1] != prototypes.shape[1]:
        raise ValueError(
            f"vectors must be [B, D] and prototypes [P, D]; got {tuple(vectors.shape)} and {tuple(prototypes.shape)}."
        )
    if targets.shape != vectors.shape[:1]:
        raise ValueError(f"targets must be [{len(vectors)}]; got {tuple(targets.shape)}.")
    if vectors.dtype in (torch.float16, torch.bfloat16):
        vectors = vectors.float()
    table = functional.normalize(prototypes.to(vectors.dtype), dim=1)
    cosines = functional.normalize(vectors, dim=1) @ table.T
    known = targets >= 0
    own = functional.one_hot(targets.clamp(min=0), len(table)).bool()
    edge = 1 - 10 * torch.finfo(vectors.dtype).eps  # the sine has no gradient at 1
    cosine = cosines.clamp(-edge, edge)
    turned = cosine * math.cos(margin) - (1 - cosine.square()).sqrt() * math.sin(margin)
    turned = torch.where(cosine > -math.cos(margin), turned, cosine - margin * math.sin(margin))
    logits = torch.where(own, turned, cosines) / temperature
    if neighbours is not None and neighbours < len(table) - 1:
        nearness = (table.detach() @ table.detach().T).fill_diagonal_(-torch.inf)
        near = torch.zeros_like(nearness, dtype=torch.bool)
        near.scatter_(1, nearness.topk(neighbours, dim=1).indices, True)
        logits = logits.masked_fill(~(near[targets.clamp(min=0)] | own), MASKED)
    rows = (logits.logsumexp(dim=1) - logits.masked_fill(~own, 0.0).sum(dim=1)).masked_fill(~known, 0.0)
    return reduced(rows, known, reduction)
