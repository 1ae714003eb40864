"""Semantic negatives without draws of their own: weights on one pool that the batch shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch, Rows
from motherlode.negatives.draws import log_or_lowest
from motherlode.negatives.hard_tier import HardTier
from motherlode.negatives.sampler import Drawn, Floats, Sampler
from motherlode.negatives.semantic import SemanticSampler


class SemanticWeightsSampler(Sampler):
    """The semantic sampler's negatives as log-weights on another sampler's shared pool.

        w_bj = E_b(j) / R_j,    E_b(j) = easy q_easy(j | b) + hard q_hard(j | b)

    R_j is the expected number of times that the pool draws j. The weighted sum over the pool of any function of the
    items then has the same expectation as its sum over the draws of `semantic`, for a matrix product instead of a
    gather and with no more items to encode. Its variance is larger: of S uniform items only about S |C_p| / N lie in
    the positive's primary, and the whole hard tier rests on them.

    Args:
        semantic: whose law is meant.
        pool: a sampler of one shared pool that knows its log q, such as uniform or popularity with shared=True, or
            in-batch with known frequencies (what that takes from the positive's logit is dropped).
    """

    def __init__(self, semantic: SemanticSampler, pool: Sampler) -> None:
        self.semantic, self.pool = semantic, pool

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`.

        Raises:
            SettingError: the pool sampler drew for each example, drew several pools, or does not know its log q.
        """
        drawn = self.pool.draw(rng, batch)
        pool = drawn.pools[0]
        if len(drawn.pools) > 1 or pool.rows.ndim > 1 or pool.log_q is None:
            raise SettingError("Semantic weights need one shared pool that knows its log q; use shared=True.")
        if pool.log_weight is not None and pool.log_weight.ndim > 1:
            raise SettingError("Semantic weights need a pool that counts its items alike for every example.")
        offset = (0 if pool.log_weight is None else pool.log_weight) - pool.log_q
        weight, reachable = self._log_weights(batch, pool.rows, offset)
        reachable &= pool.mask
        weighed = replace(
            pool,
            mask=reachable,
            log_q=weight - offset if self.semantic.eta else None,
            eta=self.semantic.eta,
            log_weight=weight,
            group=self.semantic.tiers.primary[pool.rows],
        )
        return Drawn((weighed,), facts={**drawn.facts, "reachable": float(reachable.mean())})

    def _log_weights(self, batch: Batch, rows: Rows, offset: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """log E_b(j) + offset_j, float32 [B, S], and where E is above 0 by the codes; something finite elsewhere.

        Columns before rows: the easy law shrinks to [K_p, S], whose rows are then copied. The hard tier touches the
        few columns of one primary an example, which are found by sorting.
        """
        semantic, tiers = self.semantic, self.semantic.tiers
        own, clusters = tiers.primary[batch.positives], tiers.primary[rows]
        easy = log_or_lowest(tiers.probability[:, clusters] * (semantic.easy * tiers.inside[rows]))
        met = np.isfinite(easy)
        expected, reachable = np.where(met, easy + offset, np.float32(0))[own], met[own]
        if batch.histories is not None and semantic.easy:
            expected -= np.log(semantic.easy_mass_left(batch)).astype(np.float32)[:, None]
        hard_tier = HardTier.of(tiers, batch)
        columns = np.argsort(clusters, kind="stable")
        bounds = np.searchsorted(clusters[columns], np.arange(tiers.n_primary + 1))
        first, width = bounds[hard_tier.primary], np.diff(bounds)[hard_tier.primary]
        at = np.repeat(np.arange(len(batch)), width)
        column = columns[np.arange(len(at)) - np.repeat(np.cumsum(width) - width, width) + np.repeat(first, width)]
        rate = hard_tier.rate(semantic.hard)[at] * tiers.hard_weight[rows[column]]
        fit = (tiers.leaf[rows[column]] != tiers.leaf[batch.positives][at]) & (rate > 0)
        at, column, rate = at[fit], column[fit], rate[fit]
        rate *= np.exp(offset[column].astype(np.float64))
        known = np.where(reachable[at, column], np.exp(expected[at, column].astype(np.float64)), 0.0)
        expected[at, column] = np.log(known + rate)
        reachable[at, column] = True
        return expected, reachable
