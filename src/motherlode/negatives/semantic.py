"""Semantic negatives: easy ones from other clusters, hard ones from the positive's cluster but never from its leaf."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch, Rows
from motherlode.negatives.draws import log_or_lowest, redrawn
from motherlode.negatives.hard_tier import HardTier
from motherlode.negatives.sampler import Drawn, Pool, Sampler
from motherlode.negatives.tiers import EasyBy, HardBy, Tiers

TIERS = ("easy", "hard", "hard_fallback")


class SemanticSampler(Sampler):
    """`easy` items of other primary clusters and `hard` items of the same primary but another leaf, for each example.

        q_easy(j) = P(c_j | p) P(j | c_j),    q_hard(j) = 1 / (|C_p| - |leaf|)     (uniform hard draws)

    both made to sum to 1 over what the example's history leaves. log q, worked out where eta is not 0, holds
    log(easy q_easy + hard q_hard). The positive, its leaf and the history are excluded exactly. Where the primary has
    nothing left, hard draws come from the nearest other primary, are labelled so and counted in
    facts["hard_fallback"]; where that has nothing left either they are masked and counted in facts["dropped"].
    Drawing takes constant time: alias tables over
    clusters, a rank in a run of places inside (by popularity, a search in a running sum).

    Args:
        primary, secondary, primary_centres: codes int [N] and centres float [K_p, d].
        easy, hard: negatives an example of each tier.
        per_cluster: easy items drawn from each easy cluster drawn; 2 gives interpolation its pairs and leaves every
            single draw's law as it is.
        cluster_temperature, easy_by, hard_by, frequencies: see `Tiers`.
        eta: exponent on log q. The proposal is meant to shape the loss, so it is 0 unless you know better.

    Raises:
        SettingError: counts that cannot be, or easy draws with fewer than two clusters.

    Source: ESANS (arXiv 2502.16077) for the tiers, told second-hand; counts, exclusions and fallback are ours.
    """

    def __init__(
        self,
        primary: ArrayLike,
        secondary: ArrayLike,
        primary_centres: ArrayLike,
        *,
        easy: int = 6,
        hard: int = 4,
        per_cluster: int = 1,
        cluster_temperature: float = 1.0,
        easy_by: EasyBy = "semantic",
        hard_by: HardBy = "uniform",
        frequencies: ArrayLike | None = None,
        eta: float = 0.0,
    ) -> None:
        self.tiers = Tiers(
            primary,
            secondary,
            primary_centres,
            cluster_temperature=cluster_temperature,
            easy_by=easy_by,
            hard_by=hard_by,
            frequencies=frequencies,
        )
        if min(easy, hard) < 0 or easy + hard < 1 or per_cluster < 1 or easy % per_cluster:
            raise SettingError(
                f"easy {easy} and hard {hard} must be >= 0, not both 0, easy a multiple of per_cluster {per_cluster}."
            )
        if easy and self.tiers.others < 2:
            raise SettingError("Easy negatives need items in two primary clusters: set easy=0 or make more codes.")
        self.easy, self.hard, self.per_cluster, self.eta = easy, hard, per_cluster, eta
        used = self.tiers.size > 0
        self._effective = float(self.tiers.effective_clusters()[used].mean())

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`. facts["effective_clusters"] is the mean of exp(H(P(. | p))) over the clusters."""
        hard_tier = HardTier.of(self.tiers, batch)
        easy, easy_mask = self._easy(rng, batch)
        hard, hard_mask = hard_tier.draw(rng, self.hard)
        rows = np.concatenate([easy, hard], axis=1)
        mask = np.concatenate([easy_mask, hard_mask], axis=1)
        tier = np.zeros(rows.shape, dtype=np.int8)
        tier[:, self.easy :] = 1 + hard_tier.fallback[:, None]
        log_q = log_or_lowest(self.expected(batch, hard_tier, rows)) if self.eta else None
        facts = {"effective_clusters": self._effective, "dropped": float((~mask).sum())}
        if self.hard:
            facts["hard_fallback"] = float(hard_tier.fallback.sum())
        pool = Pool(rows, mask, log_q, self.eta, tier=tier, tiers=TIERS, group=self.tiers.primary[rows])
        return Drawn((pool,), facts=facts)

    def _easy(self, rng: np.random.Generator, batch: Batch) -> tuple[Rows, NDArray[np.bool_]]:
        if not self.easy:
            return np.zeros((len(batch), 0), dtype=np.int64), np.ones((len(batch), 0), dtype=np.bool_)
        own = self.tiers.primary[batch.positives]
        clusters = self.tiers.cluster(rng, np.repeat(own, self.easy // self.per_cluster))
        first = [self.tiers.item_of(rng, np.repeat(clusters, self.per_cluster))]
        # a refused draw takes a new cluster too, or clusters full of history would keep their share of draws
        return redrawn(
            lambda owners: first.pop() if first else self.tiers.item_of(rng, self.tiers.cluster(rng, own[owners])),
            batch,
            self.easy,
        )

    def easy_mass_left(self, batch: Batch) -> NDArray[np.float64]:
        """1 minus the easy tier's probability of the example's history: float64 [B]."""
        if batch.histories is None:
            return np.ones(len(batch))
        owner, held = batch.histories.owner, batch.histories.items
        own = self.tiers.primary[batch.positives]
        taken = self.tiers.probability[own[owner], self.tiers.primary[held]] * self.tiers.inside[held]
        return np.maximum(1 - np.bincount(owner, taken, len(batch)), 1e-12)

    def expected(self, batch: Batch, hard_tier: HardTier, rows: Rows) -> NDArray[np.float64]:
        """Expected number of draws of each of an example's items: easy q_easy + hard q_hard, float64 [B, n].

        0 where the codes keep the item away; leaving out the history is the caller's to do.
        """
        tiers, own = self.tiers, self.tiers.primary[batch.positives]
        clusters = tiers.primary[rows]
        expected = tiers.probability[own[:, None], clusters] * (self.easy * tiers.inside[rows])
        expected /= self.easy_mass_left(batch)[:, None]
        hard = (clusters == hard_tier.primary[:, None]) & (tiers.leaf[rows] != tiers.leaf[batch.positives][:, None])
        return expected + hard * hard_tier.rate(self.hard)[:, None] * tiers.hard_weight[rows]
