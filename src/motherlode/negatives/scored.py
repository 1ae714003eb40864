"""From negatives and vectors to scores and the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from motherlode.losses.sampled_softmax import sampled_softmax
from motherlode.negatives.sampler import Negatives, Pool
from motherlode.negatives.virtual import Virtual

LOWEST = -1e6  # log of what is never drawn


@dataclass(frozen=True)
class Scored:
    """Scores of a batch: the columns are those of its pools, side by side.

    Attributes:
        users: [B, d].
        vectors: [B, n + 1, d], of the negatives drawn for each example (n = 0 where all pools are shared), the
            positive's last.
        vector_scores: [B, n + 1], theirs.
        scores, mask: [B, T].
        log_q, eta, log_weight: broadcastable to [B, T].
        positive_log_q: [B] or None.
        own_mask: [B, n], which of the drawn negatives are usable.
        own_group: [B, n], their clusters; 0 where the sampler names none.
        own_hard: bool [B, n], whether they were drawn as hard ones.
    """

    users: Tensor
    vectors: Tensor
    vector_scores: Tensor
    scores: Tensor
    mask: Tensor
    log_q: Tensor
    eta: Tensor
    log_weight: Tensor
    positive_log_q: Tensor | None
    own_mask: Tensor
    own_group: Tensor
    own_hard: Tensor

    @property
    def positives(self) -> Tensor:
        """Vectors of the positives: [B, d]."""
        return self.vectors[:, -1]

    @property
    def positive(self) -> Tensor:
        """Scores of the positives: [B]."""
        return self.vector_scores[:, -1]

    @property
    def own(self) -> Tensor:
        """Vectors of the negatives drawn for each example: [B, n, d]."""
        return self.vectors[:, :-1]

    @property
    def own_scores(self) -> Tensor:
        """Their scores: [B, n]."""
        return self.vector_scores[:, :-1]

    def loss(
        self,
        temperature: Tensor | float,
        virtual: Virtual | None = None,
        *,
        omega: Tensor | float = 1.0,
        reduction: Literal["sum", "mean", "none"] = "mean",
    ) -> Tensor:
        """`losses.sampled_softmax` of these scores, each pool corrected by its own eta."""
        return sampled_softmax(
            self.positive,
            self.scores,
            self.mask,
            temperature,
            log_q=self.log_q,
            eta=self.eta,
            log_weight=self.log_weight,
            positive_log_q=self.positive_log_q,
            virtual_scores=None if virtual is None else virtual.scores,
            virtual_mask=None if virtual is None else virtual.mask,
            omega=omega,
            reduction=reduction,
        )


def score(negatives: Negatives, users: Tensor, items: Tensor) -> Scored:
    """Score users against positives and negatives: a matrix product for each shared pool, a gather for the rest.

    Args:
        negatives: from a sampler.
        users: float [B, d]. Scores are inner products: give unit vectors for cosines.
        items: float [U, d], vectors of negatives.items, in that order.

    Raises:
        ValueError: users or items are not as many as the negatives say.
    """
    if len(users) != len(negatives.positive) or len(items) != len(negatives.items):
        raise ValueError(
            f"There must be {len(negatives.positive)} users and {len(negatives.items)} items; "
            f"got {len(users)} and {len(items)}."
        )
    device = users.device
    drawn = [index for pool, index in zip(negatives.pools, negatives.index, strict=True) if pool.rows.ndim == 2]
    # one gather of all that an example meets alone, its positive last, and one scatter on the way back
    places = torch.from_numpy(np.concatenate([*drawn, negatives.positive[:, None]], axis=1)).to(device)
    vectors = items.index_select(0, places.flatten()).view(*places.shape, items.shape[1])
    vector_scores = dots(vectors, users)
    columns, begin = [], 0
    for pool, index in zip(negatives.pools, negatives.index, strict=True):
        if pool.rows.ndim == 1:
            source = items if pool.vectors is None else torch.from_numpy(pool.vectors).to(users)
            scores = users @ source.index_select(0, torch.from_numpy(index).to(device)).T
        else:
            scores = vector_scores[:, begin : begin + index.shape[1]]
            begin += index.shape[1]
        columns.append((scores, pool))
    return Scored(
        users,
        vectors,
        vector_scores,
        _side_by_side([scores for scores, _ in columns]),
        _side_by_side([torch.from_numpy(pool.mask) for _, pool in columns]).to(device),
        _columns([pool.log_q if pool.eta else None for _, pool in columns], columns, users),
        torch.cat([users.new_full((pool.mask.shape[1],), pool.eta) for _, pool in columns]),
        _columns([pool.log_weight for _, pool in columns], columns, users),
        None if negatives.positive_log_q is None else torch.from_numpy(negatives.positive_log_q).to(users),
        *_own([pool for pool in negatives.pools if pool.rows.ndim == 2], users),
    )


def _columns(values: list, columns: list[tuple[Tensor, Pool]], like: Tensor) -> Tensor:
    """Per-pool arrays [S] or [B, S] side by side, 0 where a pool has none; [1, T] if none needs a row an example."""
    if all(value is None for value in values):
        return like.new_zeros((1, 1))
    rows = len(like) if any(value is not None and value.ndim == 2 for value in values) else 1
    parts = []
    for value, (_, pool) in zip(values, columns, strict=True):
        width = pool.mask.shape[1]
        if value is None:
            parts.append(like.new_zeros((1, 1)).expand(rows, width))
        else:
            parts.append(torch.from_numpy(value).to(like).expand(rows, width))
    # log q = -inf stands under the mask alone; as a finite number it cannot make a NaN there
    return _side_by_side(parts).clamp(min=LOWEST)


def _side_by_side(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def dots(vectors: Tensor, users: Tensor) -> Tensor:
    """Inner product of each user [B, d] with its own vectors [B, n, d]: [B, n]."""
    # batched products of a few rows each spend more on the call than on the sum
    if vectors.shape[1] < 24:
        return (vectors * users[:, None, :]).sum(dim=2)
    return torch.bmm(vectors, users[:, :, None]).squeeze(2)


def _own(drawn: list[Pool], users: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mask, clusters and hardness of the negatives drawn for each example: each [B, n]."""
    if not drawn:
        flags = users.new_zeros((len(users), 0)).bool()
        return flags, flags.long(), flags
    groups, hard = [], []
    for pool in drawn:
        blank = torch.zeros(pool.mask.shape, dtype=torch.long)
        groups.append(blank if pool.group is None else torch.from_numpy(pool.group).long().expand(blank.shape))
        hard.append(blank.bool() if pool.tier is None else torch.from_numpy(pool.tier) > 0)
    return (
        _side_by_side([torch.from_numpy(pool.mask) for pool in drawn]).to(users.device),
        _side_by_side(groups).to(users.device),
        _side_by_side(hard).to(users.device),
    )
