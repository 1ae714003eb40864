"""MoCHi and SynCo: hard negatives mixed with each other, with the user, and pushed beyond."""

from __future__ import annotations

import torch
from torch import Tensor

from motherlode.errors import SettingError
from motherlode.negatives.interpolated import interpolate
from motherlode.negatives.scored import dots
from motherlode.negatives.virtual import Virtual


def mochi_negatives(
    generator: torch.Generator,
    users: Tensor,
    candidates: Tensor,
    mask: Tensor,
    *,
    hardest: int = 16,
    mixed: int = 8,
    with_user: int = 4,
    beyond: int = 0,
) -> Virtual:
    """Unit points made from the `hardest` candidates n of each user q, all detached; gradients reach the user alone.

        mixed      norm(c n1 + (1 - c) n2),    c ~ U(0, 1)
        with_user  norm(c q + (1 - c) n),      c ~ U(0, 0.5), so the negative dominates
        beyond     norm(q + c (n - q)),        c ~ U(1, 1.5), beyond the negative as seen from the user (SynCo)

    Args:
        users: float [B, d], unit vectors.
        candidates: float [B, n, d], unit vectors of drawn items; mask: bool [B, n].
        hardest: how many of the highest-scored candidates may be parents.
        mixed, with_user, beyond: points of each kind.

    Raises:
        SettingError: a count is negative, or all are 0.

    Source: MoCHi, Kalantidis et al., NeurIPS 2020; SynCo (arXiv 2410.02401), by the rules of its public code.
    """
    if min(mixed, with_user, beyond) < 0 or mixed + with_user + beyond < 1 or hardest < 1:
        raise SettingError("MoCHi needs counts >= 0, not all 0, and at least one hardest candidate.")
    with torch.no_grad():
        scores = dots(candidates, users).masked_fill(~mask, -torch.inf)
        best = scores.topk(min(hardest, scores.shape[1]), dim=1).indices
        usable = mask.gather(1, best)
        count = usable.sum(dim=1, keepdim=True)

        def parents(n: int) -> Tensor:
            rank = (torch.rand((len(users), n), generator=generator, device=users.device) * count).long()
            column = best.gather(1, rank)  # the usable ones come first: they score above -inf
            return candidates.gather(1, column[:, :, None].expand(-1, -1, candidates.shape[2]))

        def coefficients(n: int, low: float, high: float) -> Tensor:
            drawn = torch.rand((len(users), n), generator=generator, dtype=users.dtype, device=users.device)
            return low + (high - low) * drawn

        seen = users[:, None, :]
        made = torch.cat(
            [
                interpolate(parents(mixed), parents(mixed), coefficients(mixed, 0.0, 1.0)),
                interpolate(seen, parents(with_user), coefficients(with_user, 0.0, 0.5)),
                # q + c (n - q) is the interpolation of n and q with a coefficient above 1
                interpolate(parents(beyond), seen, coefficients(beyond, 1.0, 1.5)),
            ],
            dim=1,
        )
    virtual = dots(made, users)
    return Virtual(virtual, (count > 0).expand(virtual.shape))
