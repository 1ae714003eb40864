"""Clusters as ClusterNS uses them: the next cluster is hard, the own one is not negative at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch
from motherlode.negatives.draws import redrawn, shared
from motherlode.negatives.sampler import Drawn, Pool, Sampler
from motherlode.negatives.tiers import Tiers


class ClusterSampler(Sampler):
    """In-batch negatives outside the positive's cluster, and n items of the cluster nearest to it.

    In the original the hard negative is the second-nearest centroid itself. Content centres do not lie in the
    towers' space, so items of that cluster stand for it (ours). What is left out of the batch, the same-cluster
    items, can be given to `bidirectional_margin_loss`.

    Args:
        primary: int [N], cluster of each item.
        primary_centres: float [K_p, d].
        n: items of the nearest cluster, an example.

    Raises:
        SettingError: n is below 1, or there is one cluster only.

    Source: ClusterNS, Deng et al. (arXiv 2305.09892).
    """

    def __init__(self, primary: ArrayLike, primary_centres: ArrayLike, n: int = 1) -> None:
        codes = np.asarray(primary, dtype=np.int64)
        self._tiers = Tiers(codes, np.zeros_like(codes), primary_centres)
        if n < 1 or self._tiers.others < 2:
            raise SettingError(f"n must be at least 1 and items lie in two clusters or more; n is {n}.")
        self.n = n

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        own = self._tiers.primary[batch.positives]
        nearest = self._tiers.nearest[own]
        rows, mask = redrawn(lambda owners: self._tiers.item_of(rng, nearest[owners]), batch, self.n)
        others = shared(batch, batch.positives, None)
        apart = others.mask & (own[:, None] != self._tiers.primary[others.rows])
        in_batch = Pool(others.rows, apart, log_weight=others.log_weight)
        drawn = Pool(rows, mask, group=self._tiers.primary[rows])
        return Drawn((in_batch, drawn), facts={"same_cluster": 1 - float(apart.sum() / max(others.mask.sum(), 1))})
