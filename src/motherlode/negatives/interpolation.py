"""Virtual negatives by interpolation (EDIS): between two negatives of a cluster, and between positive and hard one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from motherlode.errors import SettingError
from motherlode.negatives.beta import beta_draws
from motherlode.negatives.interpolated import TINY, InterpolatedScores, squares_and_product
from motherlode.negatives.pairs import pairs, uniform_choice
from motherlode.negatives.scored import Scored, dots
from motherlode.negatives.virtual import Virtual

Reading = Literal["half_width", "coefficient", "hard_share"]
Detach = Literal["positive", "none", "all"]
_PRINTED_HALF_WIDTH = 0.5  # U(-0.5, 1.5), the printed range of the hard coefficient


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
        cap: largest beta, None for none; `RisingHardness` lets it grow as training goes on.
        shape: (a, b) puts beta at a Beta(a, b) draw of its range in place of a uniform one; with strength 0 it is
            that draw itself.
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
    shape: tuple[float, float] | None = None
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
        if self.shape is not None and (min(self.shape) <= 0 or self.reading == "coefficient"):
            raise SettingError(f"shape holds two numbers above 0 and goes with a range of betas; got {self.shape}.")

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
            if self.shape is None:
                beta = torch.rand((rows, n), generator=generator, dtype=like.dtype, device=like.device)
            else:
                beta = beta_draws(generator, *self.shape, (rows, n), like)
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
        n, hard_usable = scored.own_mask.shape[1], scored.own_mask & scored.own_hard
        # the positive is column n, so that simple and hard points are made in one go
        vectors, scores = self._parents(scored)
        plain = vectors.detach()
        products = torch.bmm(plain, plain.transpose(1, 2))
        first, second, mask, crossed = pairs(generator, scored, n_simple, products, same_cluster=self.same_cluster)
        parent = uniform_choice(generator, hard_usable, n_hard)
        share = torch.rand(first.shape, generator=generator, dtype=scores.dtype, device=scores.device)
        beta = self.betas(generator, len(scores), n_hard, scores)
        positive = torch.full_like(parent, n)
        one, two = torch.cat([first, positive], dim=1), torch.cat([second, parent], dim=1)
        coefficient = torch.cat([share, beta], dim=1)
        if self.renormalise:
            squares = products.diagonal(dim1=1, dim2=2)
            unit = not squares.numel() or float((squares - 1).abs().max()) < 2e-3
            virtual = InterpolatedScores.apply(
                vectors, scores, products, one, two, coefficient, unit, self.detach != "none"
            )
        else:
            virtual = coefficient * scores.gather(1, one) + (1 - coefficient) * scores.gather(1, two)
        near = self._near(products, positive, parent, beta)
        real = hard_usable.any(dim=1, keepdim=True).expand_as(near)
        too_near = float((near & real).sum() / real.sum().clamp(min=1))
        return Virtual(
            virtual, torch.cat([mask, real & ~near], dim=1), {"cross_cluster": crossed, "too_near": too_near}
        )

    def _parents(self, scored: Scored) -> tuple[Tensor, Tensor]:
        """Vectors [B, n + 1, d] of the negatives and the positive, and their scores, detached as told."""
        vectors, scores = scored.vectors, scored.vector_scores
        if self.detach == "all":
            vectors = vectors.detach()
            return vectors, dots(vectors, scored.users)
        if self.detach == "positive":
            fixed = (scored.users * vectors[:, -1].detach()).sum(dim=1, keepdim=True)
            scores = torch.cat([scores[:, :-1], fixed], dim=1)
        return vectors, scores

    def _near(self, products: Tensor, positive: Tensor, parent: Tensor, beta: Tensor) -> Tensor:
        """Which hard points come too near to the positive: bool [B, m]."""
        whole, other, product = squares_and_product(products, positive, parent, False)
        rest = 1 - beta
        length = (beta**2 * whole + rest**2 * other + 2 * beta * rest * product).clamp(min=TINY).sqrt()
        cosine = (beta * whole + rest * product) / (length * whole.clamp(min=TINY).sqrt())
        return ((beta - 1).abs() < self.dead_zone) | (cosine > self.max_cosine)
