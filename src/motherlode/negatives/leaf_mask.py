"""The leaf of the positive as a mask: in-batch items too close to be called negatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch, Rows
from motherlode.negatives.sampler import Drawn, Floats, Negatives, Sampler


def outside_leaf(leaf: Rows, positives: Rows, items: Rows) -> NDArray[np.bool_]:
    """Where an item lies outside the leaf of the example's positive: bool [B, S] or [B, n].

    Args:
        leaf: int [N], one number for each (primary, secondary) pair.
        positives: int [B].
        items: int [S] shared or [B, n] drawn.
    """
    return leaf[positives][:, None] != leaf[items]


class LeafMaskedSampler(Sampler):
    """Another sampler whose negatives in the positive's own leaf are masked, as likely false negatives.

    Args:
        sampler: whose pools are masked.
        primary: int [N], coarse code of each item.
        secondary: int [N], fine code.
    """

    def __init__(self, sampler: Sampler, primary: ArrayLike, secondary: ArrayLike) -> None:
        coarse, fine = np.asarray(primary, dtype=np.int64), np.asarray(secondary, dtype=np.int64)
        if coarse.shape != fine.shape or coarse.ndim != 1:
            raise SettingError("primary and secondary must hold one code each for every item.")
        self.sampler = sampler
        self.needs_vectors = sampler.needs_vectors
        self._leaf = coarse * (int(fine.max(initial=0)) + 1) + fine

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`. facts["leaf_masked"] is the share of otherwise usable pairs that the leaf takes out."""
        drawn = self.sampler.draw(rng, batch)
        masks = [outside_leaf(self._leaf, batch.positives, pool.rows) & pool.mask for pool in drawn.pools]
        usable = sum(int(pool.mask.sum()) for pool in drawn.pools)
        taken = usable - sum(int(mask.sum()) for mask in masks)
        pools = tuple(replace(pool, mask=mask) for pool, mask in zip(drawn.pools, masks, strict=True))
        return replace(drawn, pools=pools, facts={**drawn.facts, "leaf_masked": taken / max(usable, 1)})

    def observe(self, batch: Batch, negatives: Negatives, item_vectors: Floats, losses: Floats) -> None:
        """See `Sampler.observe`."""
        self.sampler.observe(batch, negatives, item_vectors, losses)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """See `Sampler.state`."""
        return self.sampler.state()

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See `Sampler.load_state`."""
        self.sampler.load_state(state)
