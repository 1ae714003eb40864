"""Semantic draws: their laws from the formula, what they never draw, and the same law as weights on a shared pool."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import InputError, SettingError
from motherlode.negatives import (
    Batch,
    Histories,
    Interpolation,
    PopularitySampler,
    SemanticSampler,
    SemanticWeightsSampler,
    UniformSampler,
    flat_cluster_sampler,
    score,
)
from motherlode.negatives.tiers import Tiers
from negatives_case import agrees, batch_of, catalogue


def law_of(shop, positive, history, easy_by="semantic", hard_by="uniform", tau=1.0):
    """Easy and hard law over all items, item by item from the definition: each sums to 1 over what is allowed."""
    weight = shop.frequencies**0.75
    p = shop.primary[positive]
    easy, hard = np.zeros(shop.n), np.zeros(shop.n)
    reach = {
        c: np.exp(-np.linalg.norm(shop.centres[p].astype(float) - shop.centres[c].astype(float)) / tau)
        for c in set(shop.primary.tolist()) - {p}
    }
    for j in range(shop.n):
        if j in history or j == positive:
            continue
        c = shop.primary[j]
        if c != p:
            in_cluster = np.flatnonzero(shop.primary == c)
            easy[j] = {
                "semantic": reach[c] / sum(reach.values()) / len(in_cluster) if easy_by == "semantic" else 0,
                "uniform": 1.0,
                "popularity": weight[j],
            }[easy_by]
        elif shop.secondary[j] != shop.secondary[positive]:
            hard[j] = 1.0 if hard_by == "uniform" else weight[j]
    return easy / easy.sum(), hard / hard.sum()


@pytest.mark.parametrize(
    ("easy_by", "hard_by", "tau"),
    [
        ("semantic", "uniform", 1.0),
        ("semantic", "popularity", 0.3),
        ("uniform", "uniform", 1.0),
        ("popularity", "uniform", 1.0),
    ],
)
def test_draws_follow_the_law_and_log_q_is_its_logarithm(easy_by, hard_by, tau):
    shop = catalogue()
    one = batch_of(shop, 1)
    copies = 4000
    batch = Batch(np.repeat(one.positives, copies), one.histories.take(np.zeros(copies, dtype=np.int64)))
    sampler = SemanticSampler(
        *shop.codes,
        easy=4,
        hard=3,
        per_cluster=2,
        easy_by=easy_by,
        hard_by=hard_by,
        cluster_temperature=tau,
        frequencies=shop.frequencies,
        eta=1.0,
    )
    pool = sampler(np.random.default_rng(1), batch).pools[0]
    assert pool.rows.shape == pool.tier.shape == (copies, 7) and pool.mask.all()
    easy, hard = law_of(shop, one.positives[0], set(one.histories.items.tolist()), easy_by, hard_by, tau)
    # one draw of a pair: the two of one cluster are not independent
    assert agrees(np.bincount(pool.rows[:, 0], minlength=shop.n), easy)
    assert agrees(np.bincount(pool.rows[:, 3], minlength=shop.n), easy)
    assert agrees(np.bincount(pool.rows[:, 4:].ravel(), minlength=shop.n), hard)
    np.testing.assert_allclose(np.exp(pool.log_q), (4 * easy + 3 * hard)[pool.rows], rtol=1e-5)
    paired = pool.group[:, 0] == pool.group[:, 1]
    assert paired.mean() > 0.7 and (pool.group == shop.primary[pool.rows]).all()
    assert (pool.tier[:, :4] == 0).all() and (pool.tier[:, 4:] == 1).all()


codes = st.integers(0, 2**32 - 1).flatmap(
    lambda seed: st.tuples(st.just(seed), st.integers(4, 50), st.integers(2, 6), st.integers(1, 5), st.integers(0, 12))
)


@settings(max_examples=60)
@given(codes, st.booleans(), st.booleans())
def test_never_the_own_primary_leaf_positive_or_history(shape, by_popularity, few):
    seed, n, primaries, secondaries, held = shape
    shop = catalogue(n, primaries, secondaries, seed)
    shop.primary[:2] = [0, 1]  # easy draws need two clusters
    batch = batch_of(shop, 6, min(held, n), seed)
    law = "popularity" if by_popularity else "uniform"
    sampler = SemanticSampler(
        *shop.codes,
        easy=2 if few else 8,
        hard=3,
        hard_by=law,
        easy_by="popularity" if few else "semantic",
        frequencies=shop.frequencies,
        eta=1.0,
    )
    drawn = sampler(np.random.default_rng(seed), batch)
    pool = drawn.pools[0]
    primary, secondary = shop.primary[batch.positives], shop.secondary[batch.positives]
    fallbacks = set()
    for b in range(len(batch)):
        known = set(batch.histories.items[batch.histories.owner == b].tolist()) | {int(batch.positives[b])}
        for column in np.flatnonzero(pool.mask[b]):
            item, tier = int(pool.rows[b, column]), pool.tiers[pool.tier[b, column]]
            assert item not in known
            assert (shop.primary[item], shop.secondary[item]) != (primary[b], secondary[b])
            assert (shop.primary[item] == primary[b]) == (tier == "hard")
            assert np.isfinite(pool.log_q[b, column])
            if tier == "hard_fallback":
                fallbacks.add(b)
        left = [
            j
            for j in range(n)
            if shop.primary[j] == primary[b] and shop.secondary[j] != secondary[b] and j not in known
        ]
        assert not left or (pool.tier[b][pool.mask[b]] != 2).all()  # no fallback without need
        if left and not by_popularity:  # draws by weight may be refused until they are given up
            assert pool.mask[b, -3:].all()
    assert len(fallbacks) <= drawn.facts["hard_fallback"]
    assert drawn.facts["dropped"] == (~pool.mask).sum()


def test_a_primary_with_one_leaf_falls_back_to_the_nearest_and_is_counted():
    primary, secondary = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 0, 1])
    centres = np.array([[0.0, 0], [5, 0], [1, 0], [0.1, 0]])  # the nearest of all is empty, then comes 2
    sampler = SemanticSampler(primary, secondary, centres, easy=2, hard=4, eta=1.0)
    batch = Batch(np.array([0, 1, 2]), Histories([0, 0, 2, 2], [4, 5]))
    drawn = sampler(np.random.default_rng(0), batch)
    pool = drawn.pools[0]
    assert drawn.facts["hard_fallback"] == 2
    assert set(pool.rows[0, 2:].tolist()) <= {4, 5} and (pool.tier[0, 2:] == 2).all() and pool.mask[0].all()
    assert not pool.mask[1, 2:].any()  # its nearest is all history
    assert set(pool.rows[2, 2:].tolist()) == {3} and (pool.tier[2, 2:] == 1).all()
    # the expected count of a fallback item adds the easy tier's, which may draw it too
    q = np.exp(-1.0) / (np.exp(-1.0) + np.exp(-5.0)) / 2
    np.testing.assert_allclose(np.exp(pool.log_q[0, 2:]), 2 * q + 4 / 2, rtol=1e-6)


def test_cluster_law_rows_and_effective_number():
    shop = catalogue(300, 12, 3)
    tiers = Tiers(*shop.codes)
    law = tiers.probability
    np.testing.assert_allclose(law.sum(axis=1), 1, rtol=1e-12)
    assert (np.diag(law) == 0).all()
    rest = law + np.where(np.eye(12) > 0, np.nan, 0)
    assert (np.nanmax(rest, axis=1) / np.nanmin(rest, axis=1) <= np.exp(2) + 1e-9).all()
    entropy = [-sum(p * np.log(p) for p in row if p > 0) for row in law]
    np.testing.assert_allclose(tiers.effective_clusters(), np.exp(entropy), rtol=1e-9)
    assert (tiers.effective_clusters() > 9).all()  # nearly flat, as the printed formula is
    assert (Tiers(*shop.codes, cluster_temperature=0.02).effective_clusters() < 3).all()
    rng = np.random.default_rng(3)
    for p in (0, 7):
        assert agrees(np.bincount(tiers.cluster(rng, np.full(20_000, p)), minlength=12), law[p])


def test_flat_cluster_keeps_the_leaf_and_drops_the_positive():
    shop = catalogue()
    batch = Batch(np.full(3000, 7))
    pool = flat_cluster_sampler(shop.primary, shop.centres, hard=4)(np.random.default_rng(2), batch).pools[0]
    law = ((shop.primary == shop.primary[7]) & (np.arange(shop.n) != 7)).astype(float)
    assert agrees(np.bincount(pool.rows.ravel(), minlength=shop.n), law)


@pytest.mark.parametrize(
    "options", [{}, {"hard_by": "popularity"}, {"easy_by": "popularity", "cluster_temperature": 0.5}]
)
def test_weights_on_a_shared_pool_are_the_same_law(options):
    shop = catalogue(40, 4, 2, seed=3)
    shop.secondary[shop.primary == 0] = 0  # a primary of one leaf: fallback is part of the law
    batch = batch_of(shop, 12, 5, seed=5)
    batch.positives[0] = np.flatnonzero(shop.primary == 0)[0]
    semantic = SemanticSampler(*shop.codes, easy=6, hard=4, frequencies=shop.frequencies, **options)
    # the whole catalogue as the pool: the weights are then the expected numbers of draws themselves
    whole = SemanticWeightsSampler(semantic, UniformSampler(shop.n, shop.n, shared=True))
    drawn = whole(np.random.default_rng(0), batch)
    pool = drawn.pools[0]
    expected = np.where(pool.mask, np.exp(pool.log_weight.astype(float)), 0)[:, np.argsort(pool.rows)]
    np.testing.assert_allclose(expected.sum(axis=1), 10, rtol=1e-5)
    many = 1500
    repeated = Batch(np.repeat(batch.positives, many), batch.histories.take(np.repeat(np.arange(12), many)))
    own = semantic(np.random.default_rng(1), repeated).pools[0]
    assert own.mask.all()
    for b in range(12):
        counts = np.bincount(own.rows[b * many : (b + 1) * many].ravel(), minlength=shop.n)
        easy_or_hard = expected[b]
        # each draw is of one tier, so the total count has at most multinomial variance
        assert (counts[easy_or_hard == 0] == 0).all()
        spread = np.sqrt(many * easy_or_hard) + 1
        assert (np.abs(counts - many * easy_or_hard) < 5 * spread).all()
    # smaller pools, uniform or popular: the weighted sum of any function of the items has that expectation
    values = np.random.default_rng(2).random(shop.n)
    for small in (
        UniformSampler(shop.n, 8, shared=True),
        PopularitySampler(shop.frequencies, 8, shared=True),
    ):
        sampler, rng = SemanticWeightsSampler(semantic, small), np.random.default_rng(4)
        sums = []
        for _ in range(700):
            part = sampler.draw(rng, batch).pools[0]
            sums.append((np.where(part.mask, np.exp(part.log_weight), 0) * values[part.rows]).sum(axis=1))
        error = np.std(sums, axis=0) / np.sqrt(len(sums))
        assert (np.abs(np.mean(sums, axis=0) - expected @ values) < 4.5 * error).all()


@pytest.mark.parametrize("hard_by", ["uniform", "popularity"])
@pytest.mark.parametrize(("easy", "hard"), [(5, 0), (0, 4)])
def test_a_tier_may_be_left_out(easy, hard, hard_by):
    shop = catalogue()
    batch = batch_of(shop, 30)
    sampler = SemanticSampler(*shop.codes, easy=easy, hard=hard, hard_by=hard_by, frequencies=shop.frequencies)
    negatives = sampler(np.random.default_rng(1), batch)
    pool = negatives.pools[0]
    assert pool.mask.all() and pool.rows.shape == (30, easy + hard)
    same = shop.primary[pool.rows] == shop.primary[batch.positives][:, None]
    assert (same == (hard > 0)).all()
    rng = np.random.default_rng(2)
    users, items = (torch.from_numpy(rng.standard_normal((n, 8))) for n in (30, len(negatives.items)))
    scored = score(negatives, users, items)
    assert scored.loss(0.1, Interpolation()(torch.Generator(), scored)).isfinite()


def test_what_cannot_be_is_refused():
    shop = catalogue()
    with pytest.raises(SettingError, match="two primary clusters"):
        SemanticSampler(np.zeros(5, int), np.arange(5), shop.centres)
    with pytest.raises(SettingError, match="multiple of"):
        SemanticSampler(*shop.codes, easy=5, per_cluster=2)
    with pytest.raises(SettingError, match="frequencies"):
        SemanticSampler(*shop.codes, easy_by="popularity")
    with pytest.raises(InputError, match="centres"):
        SemanticSampler(shop.primary, shop.secondary, shop.centres[:2])
    with pytest.raises(SettingError, match="shared"):
        SemanticWeightsSampler(SemanticSampler(*shop.codes), UniformSampler(shop.n, 4))(
            np.random.default_rng(0), batch_of(shop, 2)
        )
