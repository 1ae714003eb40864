"""What two levels of codes say about who is near whom: clusters as CSR, laws over clusters, sizes of leaves."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import InputError, SettingError
from motherlode.negatives.alias import AliasTables
from motherlode.negatives.batch import Rows
from motherlode.negatives.draws import frequencies_of

EasyBy = Literal["semantic", "uniform", "popularity"]
HardBy = Literal["uniform", "popularity"]
POPULARITY_POWER = 0.75


class Tiers:
    """The tiers round each item i with codes (p, s) of N items.

        easy   cluster c != p with P(c | p) proportional to exp(-dist(p, c) / tau), an item of c uniformly
        hard   an item of p whose secondary code is not s
        never  the leaf (p, s)

    dist is the Euclidean distance of primary centres (ours; with tau = 1 on unit vectors the law is nearly flat, no
    ratio above e^2). `easy_by` "uniform" draws uniformly from all items outside p, "popularity" by frequency ** 0.75.

    Args:
        primary, secondary: int [N].
        primary_centres: float [K_p, d].
        cluster_temperature: tau > 0.
        easy_by: law of the easy tier.
        hard_by: law of the hard tier inside the primary.
        frequencies: float [N], needed by "popularity".

    Raises:
        InputError: the codes do not fit each other or the centres.
        SettingError: a value that cannot be.

    Source: ESANS (arXiv 2502.16077), Section 3's tiers as told second-hand; options, temperature and dist are ours.
    """

    def __init__(
        self,
        primary: ArrayLike,
        secondary: ArrayLike,
        primary_centres: ArrayLike,
        *,
        cluster_temperature: float = 1.0,
        easy_by: EasyBy = "semantic",
        hard_by: HardBy = "uniform",
        frequencies: ArrayLike | None = None,
    ) -> None:
        self.primary, fine = np.asarray(primary, dtype=np.int64), np.asarray(secondary, dtype=np.int64)
        centres = np.asarray(primary_centres, dtype=np.float64)
        self._check(fine, centres, cluster_temperature)
        if easy_by not in ("semantic", "uniform", "popularity") or hard_by not in ("uniform", "popularity"):
            raise SettingError(
                f"easy_by must be semantic, uniform or popularity and hard_by uniform or popularity; "
                f"got {easy_by!r} and {hard_by!r}."
            )
        if frequencies is None and "popularity" in (easy_by, hard_by):
            raise SettingError("Draws by popularity need the items' frequencies.")
        self.n_items, self.n_primary = len(self.primary), len(centres)
        self._arrange(fine)
        weight = np.ones(self.n_items)
        if frequencies is not None:
            counts = frequencies_of(frequencies)
            if len(counts) != self.n_items:
                raise InputError(f"There are {len(counts)} frequencies for {self.n_items} items.")
            # an item never taken still gets the weight of half an interaction: a tier without one could not be drawn
            weight = np.maximum(counts, 0.5) ** POPULARITY_POWER
        self._easy_laws(centres, cluster_temperature, easy_by, weight)
        self.hard_weight = weight if hard_by == "popularity" else np.ones(self.n_items)
        self.uniform_hard = hard_by == "uniform"
        self.running = np.concatenate([[0.0], np.cumsum(self.hard_weight[self.order])])

    def _check(self, fine: Rows, centres: NDArray[np.float64], temperature: float) -> None:
        if self.primary.ndim != 1 or fine.shape != self.primary.shape or not len(fine) or centres.ndim != 2:
            raise InputError("primary and secondary must hold one code each for every item, centres be [K_p, d].")
        if min(self.primary.min(), fine.min()) < 0 or self.primary.max() >= len(centres):
            raise InputError(f"Codes must be >= 0, primary ones below the {len(centres)} centres.")
        if not temperature > 0:
            raise SettingError(f"cluster_temperature must be above 0; got {temperature}.")

    def _arrange(self, fine: Rows) -> None:
        """Items by primary, inside it by secondary: a primary is a run of places, a leaf a run inside that run."""
        self.order = np.lexsort((fine, self.primary))
        self.place = np.empty_like(self.order)
        self.place[self.order] = np.arange(self.n_items)
        self.size = np.bincount(self.primary, minlength=self.n_primary)
        self.start = np.cumsum(self.size) - self.size
        coarse, fine = self.primary[self.order], fine[self.order]
        opens = np.ones(self.n_items, dtype=np.bool_)
        opens[1:] = (coarse[1:] != coarse[:-1]) | (fine[1:] != fine[:-1])
        self.leaf = np.empty_like(self.order)
        self.leaf[self.order] = np.cumsum(opens) - 1
        self.leaf_start = np.flatnonzero(opens)
        self.leaf_size = np.bincount(self.leaf)

    def _easy_laws(
        self, centres: NDArray[np.float64], temperature: float, easy_by: EasyBy, weight: NDArray[np.float64]
    ) -> None:
        squares = (centres**2).sum(axis=1)
        distances = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * centres @ centres.T, 0))
        empty = self.size == 0
        far = np.where(empty[None, :], np.inf, distances)
        np.fill_diagonal(far, np.inf)
        self.nearest: Rows = far.argmin(axis=1)
        if easy_by == "semantic":
            closest = np.min(far, axis=1, keepdims=True)
            law = np.exp(-(far - np.where(np.isfinite(closest), closest, 0)) / temperature)
        else:
            mass = self.size if easy_by == "uniform" else np.bincount(self.primary, weight, self.n_primary)
            law = np.where(np.isfinite(far), mass[None, :].astype(np.float64), 0.0)
        #: P(c | p): float64 [K_p, K_p], rows sum to 1 and are 0 at p itself and at empty clusters
        self.probability = law / np.maximum(law.sum(axis=1, keepdims=True), 1e-300)
        self.clusters = AliasTables.dense(self.probability)
        inside = weight if easy_by == "popularity" else np.ones(self.n_items)
        #: probability of an item once its cluster is drawn: float64 [N]
        self.inside = inside / np.bincount(self.primary, inside, self.n_primary)[self.primary]
        bounds = np.append(self.start, self.n_items)
        self._within = AliasTables(bounds, inside[self.order]) if easy_by == "popularity" else None

    @property
    def others(self) -> int:
        """Number of clusters that hold an item."""
        return int((self.size > 0).sum())

    def effective_clusters(self) -> NDArray[np.float64]:
        """exp of the entropy of P(. | p): float64 [K_p]; K - 1 when flat, 1 when one cluster has it all."""
        logs = np.log(np.where(self.probability > 0, self.probability, 1.0))
        return np.exp(-(self.probability * logs).sum(axis=1))

    def cluster(self, rng: np.random.Generator, primaries: Rows) -> Rows:
        """One cluster c ~ P(. | p) for each primary [m]."""
        return self.clusters.draw(rng, primaries) - primaries * self.n_primary

    def item_of(self, rng: np.random.Generator, clusters: Rows) -> Rows:
        """One item of each cluster [m], by the easy tier's law inside it."""
        if self._within is not None:
            return self.order[self._within.draw(rng, clusters)]
        return self.order[self.start[clusters] + (rng.random(len(clusters)) * self.size[clusters]).astype(np.int64)]
