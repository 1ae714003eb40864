"""Who is mixed with whom: pairs of an example's own negatives, drawn inside a cluster."""

from __future__ import annotations

import torch
from torch import Tensor

from motherlode.negatives.scored import Scored


def pairs(
    generator: torch.Generator, scored: Scored, m: int, products: Tensor, *, same_cluster: bool = True
) -> tuple[Tensor, Tensor, Tensor, float]:
    """m pairs of different usable items of each example, of one cluster, or of two when `same_cluster` is False.

    The first is any usable item; the second is drawn from the partners it has. Without a partner it is the usable
    item with the largest inner product.

    Args:
        products: float [B, >= n, >= n], inner products of an example's negatives with each other.

    Returns:
        first, second: int64 [B, m], columns of scored.own.
        mask: bool [B, m], False where fewer than two are usable.
        crossed: share of the usable pairs that had to take the nearest item.
    """
    usable, n = scored.own_mask, scored.own_mask.shape[1]
    first = uniform_choice(generator, usable, m)
    chance = torch.rand(first.shape, generator=generator, device=first.device)
    # columns before examples, [n, m, B]: long inner loops, where rows of n would be many short ones
    picked, allowed = first.T.contiguous(), usable.T[:, None, :].contiguous()
    group = scored.own_group.T.contiguous()
    partners = ((group[:, None, :] == group.gather(0, picked)) == same_cluster) & allowed
    partners.scatter_(0, picked[None], False)
    ranks = partners.cumsum(dim=0, dtype=torch.int32)
    count = ranks[-1]
    rank = (chance.T * count).int() + 1
    second = (ranks < rank).sum(dim=0).clamp(max=n - 1).T.contiguous()  # the rank-th True
    mask = (usable.sum(dim=1, keepdim=True) > 1).expand(first.shape)
    alone = ((count == 0).T & mask).flatten().nonzero()[:, 0]
    if len(alone):
        at, of = alone // m, first.flatten()[alone]
        allowed = usable.index_select(0, at).scatter_(1, of[:, None], False)
        near = products.flatten(0, 1).index_select(0, at * products.shape[1] + of)[:, :n]
        second.view(-1)[alone] = near.masked_fill(~allowed, -torch.inf).max(dim=1).indices
    return first, second, mask, len(alone) / max(int(mask.sum()), 1)


def uniform_choice(generator: torch.Generator, usable: Tensor, m: int) -> Tensor:
    """m columns of each row, uniform over its usable ones, with replacement: int64 [B, m]; 0 where it has none."""
    count = usable.sum(dim=1, keepdim=True)
    rank = (torch.rand((len(usable), m), generator=generator, device=usable.device) * count).long()
    order = usable.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    return order.gather(1, rank)
