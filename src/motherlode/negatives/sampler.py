"""What a sampler is, and what it hands back: items to encode once, and who meets which of them with what weight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from motherlode.negatives.batch import Batch, Rows

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pool:
    """Negatives of one kind: shared by the whole batch (rows [S]) or drawn for each example (rows [B, n]).

    A shared pool costs one matrix product of users and items, drawn ones a gather; a batch may have several pools.

    Attributes:
        rows: int64 [S] or [B, n], item rows of the catalogue.
        mask: bool [B, S] or [B, n], False where the example must not meet the item.
        log_q: float32, [S], [B, S] or [B, n]: log of the expected number of times the item is among the example's
            negatives, so that eta = 1 makes the loss an estimate of the full softmax. None where it is not known.
        eta: exponent on that number in the loss; 0 leaves it aside.
        log_weight: float32 [S] or [B, S], added to the logits: how many times the item counts. None for once.
        tier: int8 [B, n], place in `tiers`, for diagnostics. None where there is one tier.
        tiers: names of the tiers.
        group: int64, the shape of rows: cluster of each item, for mixing inside clusters. None where there is none.
        vectors: float32 [S, d], frozen vectors to use in place of encoding the rows (a bank). None to encode.
    """

    rows: Rows
    mask: NDArray[np.bool_]
    log_q: Floats | None = None
    eta: float = 0.0
    log_weight: Floats | None = None
    tier: NDArray[np.int8] | None = None
    tiers: tuple[str, ...] = ("all",)
    group: Rows | None = None
    vectors: Floats | None = None


@dataclass(frozen=True)
class Drawn:
    """What a sampler draws before the batch's items are made distinct.

    Attributes:
        pools: of catalogue rows.
        positive_log_q: float32 [B], what to take from the positive's own logit; None for nothing.
        facts: counts and shares for the log.
    """

    pools: tuple[Pool, ...]
    positive_log_q: Floats | None = None
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Negatives:
    """A batch's negatives, ready for the towers.

    Attributes:
        items: int64 [U], distinct item rows, positives among them: encode these once.
        positive: int64 [B], place of each example's positive in items.
        pools: the pools, with catalogue rows.
        index: for each pool, places in items (or in the pool's own vectors), the shape of its rows.
        positive_log_q: float32 [B] or None.
        facts: counts and shares for the log.
    """

    items: Rows
    positive: Rows
    pools: tuple[Pool, ...]
    index: tuple[Rows, ...]
    positive_log_q: Floats | None
    facts: Mapping[str, float]

    @classmethod
    def of(cls, batch: Batch, drawn: Drawn) -> Negatives:
        """Number the distinct items of the positives and of all pools."""
        asked = [batch.positives, *(pool.rows.ravel() for pool in drawn.pools if pool.vectors is None)]
        items, place = _distinct(np.concatenate(asked))
        positive, *places = np.split(place, np.cumsum([len(rows) for rows in asked])[:-1])
        index = tuple(
            np.arange(len(pool.rows)) if pool.vectors is not None else places.pop(0).reshape(pool.rows.shape)
            for pool in drawn.pools
        )
        return cls(items, positive, drawn.pools, index, drawn.positive_log_q, drawn.facts)


def _distinct(rows: Rows) -> tuple[Rows, Rows]:
    """`np.unique` with the inverse, for rows and counts below 2^31: sorting keys beats sorting an order by far."""
    keys = np.sort((rows << 32) | np.arange(len(rows)))
    ordered, at = keys >> 32, keys & 0xFFFFFFFF
    opens = np.ones(len(rows), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=opens[1:])
    place = np.empty(len(rows), dtype=np.int64)
    place[at] = np.cumsum(opens) - 1
    return ordered[opens], place


class Sampler(ABC):
    """Names the negatives of a batch. Plain numpy: it runs in a data loader's worker or in the training loop.

        negatives = sampler(rng, Batch(positives, histories))
        scored = score(negatives, user_tower(...), item_tower(negatives.items))
        loss = scored.loss(temperature)

    Attributes:
        needs_vectors: whether the batch must come with user_vectors and item_vectors.
    """

    needs_vectors: bool = False

    @abstractmethod
    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """Draw the pools; `__call__` makes their items distinct."""

    def __call__(self, rng: np.random.Generator, batch: Batch) -> Negatives:
        """Negatives of the batch. The positive of an example and its history are masked or never drawn."""
        return Negatives.of(batch, self.draw(rng, batch))

    # most samplers keep nothing, so these two do nothing unless overridden
    def observe(self, batch: Batch, negatives: Negatives, item_vectors: Floats, losses: Floats) -> None:  # noqa: B027
        """After the step: vectors [U, d] of negatives.items and losses [B], for samplers that learn from them."""

    def state(self) -> dict[str, NDArray[np.generic]]:
        """What must be kept for an exact resume; empty for samplers without a memory."""
        return {}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:  # noqa: B027
        """Take up what `state` gave."""
