"""Virtual negatives by interpolation (EDIS): between two negatives of a cluster, and between positive and hard one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from motherlode.errors import SettingError
from motherlode.negatives.scored import Scored, dots
from motherlode.negatives.virtual import Virtual

Reading = Literal["half_width", "coefficient", "hard_share"]
Detach = Literal["positive", "none", "all"]
_PRINTED_HALF_WIDTH = 0.5  # U(-0.5, 1.5), the printed range of the hard coefficient
_TINY = 1e-12


def interpolate(first: Tensor, second: Tensor, coefficient: Tensor, *, renormalise: bool = True) -> Tensor:
    """The point c a + (1 - c) b, brought back to the unit sphere unless told otherwise.

    Without renormalising, inner products only mix: u (c a + (1 - c) b) = c u a + (1 - c) u b is never above the
    larger of the two for c in [0, 1].

    Args:
        first, second: float [..., d].
        coefficient: float [...]; values outside [0, 1] extrapolate.
    """
    mixed = coefficient[..., None] * first + (1 - coefficient[..., None]) * second
    return mixed / mixed.norm(dim=-1, keepdim=True).clamp(min=_TINY) if renormalise else mixed


def interpolated_scores(
    first_scores: Tensor,
    second_scores: Tensor,
    first_squares: Tensor,
    second_squares: Tensor,
    products: Tensor,
    coefficient: Tensor,
    *,
    renormalise: bool = True,
) -> Tensor:
    """Score of `interpolate(a, b, c)` from the parents' scores alone, without making the point.

        u e = (c u a + (1 - c) u b) / sqrt(c^2 |a|^2 + (1 - c)^2 |b|^2 + 2 c (1 - c) a b)

    so a virtual negative costs a few numbers in place of d. All arguments broadcast together.
    """
    rest = 1 - coefficient
    mixed = coefficient * first_scores + rest * second_scores
    if not renormalise:
        return mixed
    squares = coefficient**2 * first_squares + rest**2 * second_squares + 2 * coefficient * rest * products
    return mixed / squares.clamp(min=_TINY).sqrt()


@dataclass(frozen=True)
class Interpolation:
    """Virtual negatives out of the drawn ones of a batch, at no forward pass.

        simple: a, b of one cluster,  e = norm(c a + (1 - c) b),              c ~ U(0, 1)
        hard:   h of the hard tier,   e = norm(beta e_pos + (1 - beta) h)

    `strength` is the lambda whose meaning the sources leave open; `reading` says which it is here:
        "half_width"   beta ~ U(-strength, 1 + strength); 0.5 is the printed range [-0.5, 1.5], 0 is U(0, 1)
        "coefficient"  beta = strength
        "hard_share"   of simple + hard virtual ones the share `strength` is hard, beta ~ U(-0.5, 1.5)

    A hard point too near to the positive is masked: |beta - 1| < dead_zone, or cos(e, e_pos) > max_cosine. Where an
    example has no other usable item of a's cluster, b is its usable item nearest to a; it is counted in
    facts["cross_cluster"]. Where it has no hard item, its hard points are masked.

    Attributes:
        simple, hard: virtual negatives an example.
        strength, reading: above.
        renormalise: False leaves points inside the sphere, which only re-weights logits.
        dead_zone, max_cosine: above; 0 and a number above 1 switch them off.
        cap: largest beta, smaller with early training if hardness is to grow; None for none.
        detach: "positive" lets no gradient reach the positive through its own virtual negatives, which would push it
            away; "none" lets all through; "all" reaches users alone.
        same_cluster: False pairs items of different clusters, the control that shows what clusters are worth.

    Raises:
        SettingError: a value that cannot be.

    Source: ESANS (arXiv 2502.16077) for the two formulas, told second-hand. Renormalising, the guard, the detaching and
    the counts are ours.
    """

    simple: int = 6
    hard: int = 4
    strength: float = _PRINTED_HALF_WIDTH
    reading: Reading = "half_width"
    renormalise: bool = True
    dead_zone: float = 0.15
    max_cosine: float = 0.95
    cap: float | None = None
    detach: Detach = "positive"
    same_cluster: bool = True

    def __post_init__(self) -> None:
        if min(self.simple, self.hard) < 0 or self.dead_zone < 0:
            raise SettingError("simple, hard and dead_zone of an interpolation must be >= 0.")
        if self.reading not in ("half_width", "coefficient", "hard_share") or self.detach not in (
            "positive",
            "none",
            "all",
        ):
            raise SettingError(
                f"reading must be half_width, coefficient or hard_share and detach positive, none or all; "
                f"got {self.reading!r} and {self.detach!r}."
            )
        if self.reading == "hard_share" and not 0 <= self.strength <= 1:
            raise SettingError(f"As a hard share, strength lies in [0, 1]; got {self.strength}.")
        if self.reading == "half_width" and self.strength < -0.5:
            raise SettingError(f"As a half-width, strength is at least -0.5; got {self.strength}.")

    @property
    def counts(self) -> tuple[int, int]:
        """Simple and hard virtual negatives an example, after the share."""
        if self.reading != "hard_share":
            return self.simple, self.hard
        hard = round(self.strength * (self.simple + self.hard))
        return self.simple + self.hard - hard, hard

    def betas(self, generator: torch.Generator, rows: int, n: int, like: Tensor) -> Tensor:
        """Hard coefficients: float [rows, n]."""
        if self.reading == "coefficient":
            beta = like.new_full((rows, n), self.strength)
        else:
            width = _PRINTED_HALF_WIDTH if self.reading == "hard_share" else self.strength
            beta = torch.rand((rows, n), generator=generator, dtype=like.dtype, device=like.device)
            beta = beta * (1 + 2 * width) - width
        return beta if self.cap is None else beta.clamp(max=self.cap)

    def __call__(self, generator: torch.Generator, scored: Scored) -> Virtual:
        """Virtual negatives of the batch: scores and mask [B, simple + hard].

        Raises:
            SettingError: no sampler of the batch drew items for each example.
        """
        if not scored.own.shape[1]:
            raise SettingError("Interpolation mixes items drawn for each example; this batch has shared pools alone.")
        n_simple, n_hard = self.counts
        group, usable = scored.own_group, scored.own_mask
        hard_usable = usable & scored.own_hard
        first, second, mask, crossed = pairs(generator, scored, n_simple, same_cluster=self.same_cluster)
        parent = _uniform_choice(generator, hard_usable, n_hard)
        columns = torch.cat([first, second, parent], dim=1)
        vectors = scored.own.detach() if self.detach == "all" else scored.own
        # all parents in one gather, and one scatter on the way back
        flat = columns + torch.arange(len(group), device=group.device)[:, None] * group.shape[1]
        parents = vectors.flatten(0, 1).index_select(0, flat.flatten()).view(*columns.shape, vectors.shape[2])
        scores = dots(vectors, scored.users) if self.detach == "all" else scored.own_scores
        scores = scores.gather(1, columns)
        split = [n_simple, n_simple, n_hard]
        one, two, hard = parents.split(split, dim=1)
        one_scores, two_scores, hard_scores = scores.split(split, dim=1)
        one_squares, two_squares, hard_squares = squares(parents).split(split, dim=1)
        draw = torch.rand(first.shape, generator=generator, dtype=scores.dtype, device=scores.device)
        simple = interpolated_scores(
            one_scores,
            two_scores,
            one_squares,
            two_squares,
            (one * two).sum(dim=2),
            draw,
            renormalise=self.renormalise,
        )
        made, near = self._hard(generator, scored, hard, hard_scores, hard_squares)
        real = hard_usable.any(dim=1, keepdim=True).expand_as(near)
        too_near = float((near & real).sum() / real.sum().clamp(min=1))
        return Virtual(
            torch.cat([simple, made], dim=1),
            torch.cat([mask, real & ~near], dim=1),
            {"cross_cluster": crossed, "too_near": too_near},
        )

    def _hard(
        self, generator: torch.Generator, scored: Scored, parents: Tensor, scores: Tensor, parent_squares: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scores of points between the positive and its hard parents [B, m, d], and which come too near to it."""
        positive, positive_scores = scored.positives, scored.positive
        if self.detach != "none":
            positive = positive.detach()
            positive_scores = (scored.users * positive).sum(dim=1)
        products = dots(parents, positive)
        positive_squares = squares(positive)[:, None]
        beta = self.betas(generator, len(parents), parents.shape[1], scores)
        made = interpolated_scores(
            positive_scores[:, None],
            scores,
            positive_squares,
            parent_squares,
            products,
            beta,
            renormalise=self.renormalise,
        )
        with torch.no_grad():
            # the cosine to the positive is the score that a user standing on the positive would give
            cosine = (
                interpolated_scores(positive_squares, products, positive_squares, parent_squares, products, beta)
                / positive_squares.clamp(min=_TINY).sqrt()
            )
        return made, ((beta - 1).abs() < self.dead_zone) | (cosine > self.max_cosine)


def squares(vectors: Tensor) -> Tensor:
    """Squared lengths [..., d] -> [...]; for unit vectors 1 and without a gradient.

    The gradient of a length is radial, and what made the vectors of unit length takes that out again.
    """
    lengths = vectors.detach().norm(dim=-1)
    if not lengths.numel() or float((lengths - 1).abs().max()) < 1e-3:
        return torch.ones_like(lengths)
    return (vectors**2).sum(dim=-1)


def pairs(
    generator: torch.Generator, scored: Scored, m: int, *, same_cluster: bool = True
) -> tuple[Tensor, Tensor, Tensor, float]:
    """m pairs of different usable items of each example, of one cluster, or of two when `same_cluster` is False.

    The first is any usable item; the second is drawn from the partners it has. Without a partner it is the usable
    item with the largest inner product.

    Returns:
        first, second: int64 [B, m], columns of scored.own.
        mask: bool [B, m], False where fewer than two are usable.
        crossed: share of the usable pairs that had to take the nearest item.
    """
    group, usable, n = scored.own_group, scored.own_mask, scored.own_mask.shape[1]
    first = _uniform_choice(generator, usable, m)
    others = usable[:, None, :] & (torch.arange(n, device=group.device) != first[:, :, None])  # [B, m, n]
    partners = others & ((group[:, None, :] == group.gather(1, first)[:, :, None]) == same_cluster)
    ranks = partners.cumsum(dim=2, dtype=torch.int32)
    count = ranks[:, :, -1]
    rank = (torch.rand(first.shape, generator=generator, device=group.device) * count).int() + 1
    second = (ranks < rank[:, :, None]).sum(dim=2).clamp(max=n - 1)  # the rank-th True of the row
    mask = (usable.sum(dim=1, keepdim=True) > 1).expand(first.shape)
    alone = (count == 0) & mask
    if alone.any():
        at, of = alone.nonzero(as_tuple=True)
        vectors = scored.own.detach()[at]
        products = dots(vectors, vectors[torch.arange(len(at)), first[at, of]])
        second[at, of] = products.masked_fill(~others[at, of], -torch.inf).argmax(dim=1)
    return first, second, mask, float(alone.sum() / mask.sum().clamp(min=1))


def _uniform_choice(generator: torch.Generator, usable: Tensor, m: int) -> Tensor:
    """m columns of each row, uniform over its usable ones, with replacement: int64 [B, m]; 0 where it has none."""
    count = usable.sum(dim=1, keepdim=True)
    rank = (torch.rand((len(usable), m), generator=generator, device=usable.device) * count).long()
    order = usable.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    return order.gather(1, rank)
