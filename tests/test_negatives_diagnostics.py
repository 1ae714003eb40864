"""Diagnostics of drawn negatives against counting by hand and against laws that are known."""

import numpy as np
import pytest

from motherlode.negatives import Histories, SemanticSampler, UniformSampler
from motherlode.negatives.diagnostics import by_tier, density, diversity, false_negative_rate, hardness
from motherlode.negatives.sampler import Pool
from negatives_case import batch_of, catalogue

POOL = Pool(
    np.array([[1, 2, 3], [4, 2, 5]]),
    np.array([[True, True, True], [True, False, True]]),
    tier=np.array([[0, 1, 1], [0, 1, 1]], dtype=np.int8),
    tiers=("easy", "hard", "none"),
)


def test_rates_by_hand():
    rates = false_negative_rate(POOL, Histories([0, 1, 3], [3, 2, 5]))
    assert rates["easy"] == 0 and rates["hard"] == pytest.approx(2 / 3) and np.isnan(rates["none"])
    assert {name: int(drawn.sum()) for name, drawn in by_tier(POOL).items()} == {"easy": 2, "hard": 3, "none": 0}
    covered = diversity(POOL, np.array([0, 0, 1, 1, 2, 2]))
    assert covered["easy"] == {"items": 2, "clusters": 2, "cluster_share": pytest.approx(2 / 3)}
    assert covered["hard"] == {"items": 3, "clusters": 2, "cluster_share": pytest.approx(2 / 3)}


def test_hardness_is_the_percentile():
    reference = np.array([[0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    got = hardness(POOL, np.array([[0.5, 3.5, 3.0], [0.0, 9.0, -1.0]]), reference)
    assert got["easy"] == pytest.approx((0.25 + 0.5) / 2) and got["hard"] == pytest.approx((1 + 0.875 + 0) / 3)
    shop, rng = catalogue(500), np.random.default_rng(0)
    batch = batch_of(shop, 200, 0)
    scores = rng.normal(size=(200, shop.n))
    pool = UniformSampler(shop.n, 20)(rng, batch).pools[0]
    assert hardness(pool, np.take_along_axis(scores, pool.rows, 1), scores)["all"] == pytest.approx(0.5, abs=0.02)


def test_density_is_the_nearest_cosine():
    vectors = np.array([[[1.0, 0], [0, 1], [0.6, 0.8]], [[1, 0], [1, 0], [0, 1]]])
    mask = np.array([[True, True, True], [True, False, False]])
    assert density(vectors, mask) == pytest.approx((0.6 + 0.8 + 0.8) / 3)
    assert np.isnan(density(vectors[1:], mask[1:]))


def test_with_planted_substitutes_the_leaf_exclusion_shows():
    # items of a leaf substitute each other: every one is a held-out positive of whoever took one of them
    shop = catalogue(300, 6, 5)
    batch = batch_of(shop, 300, 0)
    leaf = shop.primary * 5 + shop.secondary
    latent = [np.flatnonzero((leaf == leaf[p]) & (np.arange(shop.n) != p)) for p in batch.positives]
    held_out = Histories(np.concatenate([[0], np.cumsum([len(x) for x in latent])]), np.concatenate(latent))
    kept = SemanticSampler(shop.primary, np.arange(shop.n), shop.centres)(np.random.default_rng(0), batch).pools[0]
    without = SemanticSampler(*shop.codes)(np.random.default_rng(0), batch).pools[0]
    assert false_negative_rate(without, held_out)["hard"] == 0 == false_negative_rate(without, held_out)["easy"]
    assert false_negative_rate(kept, held_out)["hard"] == pytest.approx(1 / 5, abs=0.06)
