"""Virtual negatives beside graded rows: columns of grade 0 made from vectors, for any loss over rows."""

import torch
from torch import Tensor

from motherlode.losses.rows import columns_of
from motherlode.negatives.interpolation import Interpolation
from motherlode.negatives.scored import Scored


def nearest_negatives(scores: Tensor, grades: Tensor, mask: Tensor, most: int) -> Tensor:
    """Each row's hard negatives: its `most` items of grade 0 with the highest scores; bool [B, N]."""
    negative = mask & (grades == 0)
    count = min(most, scores.shape[1])
    best = scores.detach().masked_fill(~negative, -torch.inf).topk(count, dim=1).indices
    return torch.zeros_like(mask).scatter(1, best, True) & negative


def with_virtual(
    scores: Tensor,
    grades: Tensor,
    mask: Tensor,
    queries: Tensor,
    items: Tensor,
    *,
    hard: Tensor,
    interpolation: Interpolation,
    generator: torch.Generator,
    group: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same rows, each with its own virtual negatives as V more columns of grade 0.

        simple: e = norm(c a + (1 - c) b)          a, b hard negatives of the row, of one cluster
        hard:   e = norm(beta x + (1 - beta) h)    x of the row's highest grade (one drawn of them), h a hard negative

    No text is encoded for them. A row with fewer than two hard negatives has no simple ones, a row without a grade
    above 0 no hard ones: their places are masked, as are points too near to x.

    Args:
        scores: float [B, N], the inner products queries · items.
        grades, mask: [B, N].
        queries, items: unit vectors, float [B, d] and [N, d].
        hard: bool [B, N], what a row's hard negatives are; `nearest_negatives` finds some.
        interpolation: how many, between which, from which range.
        generator: of the draws, on the device of the scores.
        group: int64 [N], cluster of each item; None takes all hard negatives of a row for one cluster.

    Returns: scores, grades and mask, each [B, N + V], V = sum(interpolation.counts).

    Source: ESANS (arXiv 2502.16077) for the two formulas, told second-hand. Their use on graded rows of search is
    ours.
    """
    columns, real = columns_of(hard & mask)
    top = grades.float().masked_fill(~mask, -torch.inf)
    best = mask & (grades > 0) & (top == top.amax(dim=1, keepdim=True))
    chance = torch.rand(best.shape, generator=generator, device=best.device)
    positive = chance.masked_fill(~best, -1).argmax(dim=1, keepdim=True)
    places = torch.cat([columns, positive], dim=1)
    blank = scores.new_zeros((1, 1))
    parents = Scored(
        users=queries,
        vectors=items.index_select(0, places.flatten()).view(*places.shape, items.shape[1]),
        vector_scores=scores.gather(1, places),
        scores=scores,
        mask=mask,
        log_q=blank,
        eta=blank[0],
        log_weight=blank,
        positive_log_q=None,
        own_mask=real,
        own_group=torch.zeros_like(columns) if group is None else group[columns],
        own_hard=real & best.any(dim=1, keepdim=True),
    )
    made = interpolation(generator, parents)
    return (
        torch.cat([scores, made.scores], dim=1),
        torch.cat([grades, grades.new_zeros(made.scores.shape)], dim=1),
        torch.cat([mask, made.mask], dim=1),
    )
