"""Every sampler: who is drawn, with what law, and a plain training loop with each of them."""

import importlib
import pkgutil
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import comb
from scipy.stats import entropy
from torch.nn import functional

import motherlode.negatives as room
from motherlode.errors import InputError, SettingError
from motherlode.negatives import (
    AdaptiveHardnessSampler,
    AmbiguousSampler,
    Batch,
    ClusterSampler,
    CombinedSampler,
    CrossBatchSampler,
    DynamicSampler,
    FairGroupsSampler,
    FullSoftmaxSampler,
    Histories,
    InBatchLogQSampler,
    InBatchSampler,
    Interpolation,
    LeafMaskedSampler,
    MixedSampler,
    PopularitySampler,
    SemanticSampler,
    SemanticWeightsSampler,
    StreamingFrequency,
    UniformSampler,
    flat_cluster_sampler,
    score,
)
from motherlode.negatives.alias import AliasTables
from motherlode.negatives.draws import ranks_excluding
from negatives_case import agrees, batch_of, catalogue

SHOP = catalogue(60)


def samplers():
    semantic = SemanticSampler(*SHOP.codes, easy=4, hard=2, per_cluster=2)
    return {
        "uniform": UniformSampler(SHOP.n, 5),
        "uniform shared": UniformSampler(SHOP.n, 20, shared=True),
        "popularity": PopularitySampler(SHOP.frequencies, 5),
        "popularity shared": PopularitySampler(SHOP.frequencies, 20, shared=True),
        "in-batch": InBatchSampler(),
        "in-batch logQ": InBatchLogQSampler(SHOP.frequencies),
        "in-batch streaming": InBatchLogQSampler(StreamingFrequency(SHOP.n)),
        "mixed": MixedSampler(SHOP.frequencies, 10),
        "cross-batch": CrossBatchSampler(SHOP.frequencies, 30, warm_up=1),
        "dynamic": DynamicSampler(SHOP.n, candidates=12, top=4, n=2),
        "adaptive": AdaptiveHardnessSampler(SHOP.n, candidates=12, n=2),
        "ambiguous": AmbiguousSampler(SHOP.n, candidates=12, n=2),
        "fair": FairGroupsSampler(SHOP.primary, 3, hard_share=0.5),
        "cluster": ClusterSampler(SHOP.primary, SHOP.centres, 2),
        "flat cluster": flat_cluster_sampler(SHOP.primary, SHOP.centres, easy=2),
        "semantic": semantic,
        "semantic weights": SemanticWeightsSampler(semantic, UniformSampler(SHOP.n, 30, shared=True)),
        "full": FullSoftmaxSampler(SHOP.n),
        "leaf-masked": LeafMaskedSampler(InBatchSampler(), SHOP.primary, SHOP.secondary),
        "combined": CombinedSampler([InBatchLogQSampler(StreamingFrequency(SHOP.n)), semantic]),
    }


class Towers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.users, self.items = torch.nn.Embedding(40, 8), torch.nn.Embedding(SHOP.n, 8)


def steps(sampler, first, last, towers, optimiser):
    """A plain loop; each step's randomness comes from its number, so it can go on from anywhere."""
    losses = []
    for step in range(first, last):
        rng = np.random.default_rng([1, step])
        of = rng.integers(40, size=16)
        table = functional.normalize(towers.items.weight, dim=1).detach().numpy().copy()
        users = functional.normalize(towers.users(torch.from_numpy(of)), dim=1)
        histories = Histories.from_padded(np.stack([np.random.default_rng([2, u]).choice(SHOP.n, 5) for u in of]))
        batch = Batch(rng.integers(SHOP.n, size=16), histories, users.detach().numpy(), table.__getitem__)
        negatives = sampler(rng, batch)
        items = functional.normalize(towers.items(torch.from_numpy(negatives.items)), dim=1)
        scored = score(negatives, users, items)
        virtual = Interpolation()(torch.Generator().manual_seed(step), scored) if scored.own.shape[1] else None
        rows = scored.loss(0.1, virtual, reduction="none")
        optimiser.zero_grad()
        rows.mean().backward()
        optimiser.step()
        sampler.observe(batch, negatives, items.detach().numpy(), rows.detach().numpy())
        losses.append(float(rows.detach().mean()))
    return losses


@pytest.mark.parametrize("name", samplers())
def test_a_plain_loop_trains_with_it_and_goes_on_from_its_state(name):
    whole, sampler = Towers(), samplers()[name]
    before = whole.items.weight.detach().clone()
    straight = steps(sampler, 0, 5, whole, torch.optim.SGD(whole.parameters(), lr=1.0))
    assert np.isfinite(straight).all() and min(straight) > 0
    assert torch.isfinite(whole.items.weight).all() and not torch.equal(whole.items.weight, before)
    parts, early = Towers(), samplers()[name]
    first = steps(early, 0, 3, parts, torch.optim.SGD(parts.parameters(), lr=1.0))
    saved = {key: value.copy() for key, value in early.state().items()}
    late = samplers()[name]
    late.load_state(saved)
    rest = steps(late, 3, 5, parts, torch.optim.SGD(parts.parameters(), lr=1.0))
    assert first + rest == straight and torch.equal(parts.items.weight, whole.items.weight)


@pytest.mark.parametrize("name", samplers())
def test_shapes_distinct_items_and_nobody_meets_what_it_has(name):
    sampler = samplers()[name]
    batch = batch_of(SHOP, 16, 6)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(SHOP.n, 4)).astype(np.float32)
    batch = Batch(batch.positives, batch.histories, rng.normal(size=(16, 4)).astype(np.float32), vectors.__getitem__)
    for _ in range(3):
        negatives = sampler(rng, batch)
        sampler.observe(batch, negatives, vectors[negatives.items], np.ones(16, dtype=np.float32))
    assert (np.diff(negatives.items) > 0).all()
    assert (negatives.items[negatives.positive] == batch.positives).all()
    held = [set(batch.histories.items[batch.histories.owner == b].tolist()) for b in range(16)]
    met = 0
    for pool, index in zip(negatives.pools, negatives.index, strict=True):
        if pool.vectors is None:
            assert (negatives.items[index] == pool.rows).all()
        rows = np.broadcast_to(pool.rows, pool.mask.shape)
        assert pool.mask.shape == (16, pool.rows.shape[-1]) and rows.min() >= 0 and rows.max() < SHOP.n
        for b, column in zip(*np.nonzero(pool.mask), strict=True):
            assert rows[b, column] != batch.positives[b] and rows[b, column] not in held[b]
            met += 1
    assert met > 0


def test_drawn_and_shared_laws():
    copies = 6000
    one = batch_of(SHOP, 1, 8)
    batch = Batch(np.repeat(one.positives, copies), one.histories.take(np.zeros(copies, dtype=np.int64)))
    allowed = ~np.isin(np.arange(SHOP.n), np.append(one.histories.items, one.positives))
    popular = SHOP.frequencies**0.75
    for sampler, law in [
        (UniformSampler(SHOP.n, 2), allowed.astype(float)),
        (PopularitySampler(SHOP.frequencies, 2), popular * allowed),
    ]:
        pool = sampler(np.random.default_rng(3), batch).pools[0]
        assert pool.mask.all() and agrees(np.bincount(pool.rows.ravel(), minlength=SHOP.n), law)
    exact = UniformSampler(SHOP.n, 2)(np.random.default_rng(3), batch).pools[0]
    np.testing.assert_allclose(np.exp(exact.log_q), 2 / allowed.sum(), rtol=1e-6)
    # shared: the expected weight of an item in the pool is what its log q says
    for sampler in (UniformSampler(SHOP.n, 20, shared=True), PopularitySampler(SHOP.frequencies, 20, shared=True)):
        rng, totals, told = np.random.default_rng(4), np.zeros(SHOP.n), np.zeros(SHOP.n)
        for _ in range(3000):
            pool = sampler.draw(rng, one).pools[0]
            assert len(set(pool.rows.tolist())) == len(pool.rows)
            totals[pool.rows] += 1 if pool.log_weight is None else np.exp(pool.log_weight)
            told[pool.rows] = np.exp(pool.log_q)
        assert (np.abs(totals / 3000 - told) < 5 * np.sqrt(told / 3000)).all()


def test_in_batch_counts_repeats_and_corrects_by_frequency():
    batch = Batch(np.array([3, 3, 5, 7]))
    drawn = InBatchLogQSampler(SHOP.frequencies).draw(np.random.default_rng(0), batch)
    pool = drawn.pools[0]
    assert pool.rows.tolist() == [3, 5, 7] and np.exp(pool.log_weight).round(5).tolist() == [2, 1, 1]
    expected = np.log(4 * SHOP.frequencies[[3, 5, 7]] / SHOP.frequencies.sum())
    np.testing.assert_allclose(pool.log_q, expected, rtol=1e-5)
    np.testing.assert_allclose(drawn.positive_log_q, expected[[0, 0, 1, 2]], rtol=1e-5)
    assert pool.mask.tolist() == [[False, True, True], [False, True, True], [True, False, True], [True, True, False]]
    plain = InBatchLogQSampler(SHOP.frequencies, correct_positive=False).draw(np.random.default_rng(0), batch)
    assert plain.positive_log_q is None
    # as the B x B cross-entropy with accidental hits masked
    g = torch.Generator().manual_seed(0)
    users, table = torch.randn(4, 6, generator=g), torch.randn(SHOP.n, 6, generator=g)
    negatives = InBatchLogQSampler(SHOP.frequencies)(np.random.default_rng(0), batch)
    got = score(negatives, users, table[negatives.items]).loss(0.5)
    logits = users @ table[batch.positives].T / 0.5 - torch.from_numpy(
        np.log(4 * SHOP.frequencies[batch.positives] / SHOP.frequencies.sum())
    )
    hits = torch.from_numpy((batch.positives[:, None] == batch.positives) & ~np.eye(4, dtype=bool))
    wanted = functional.cross_entropy(logits.masked_fill(hits, -1e9), torch.arange(4))
    assert got.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_mixed_log_q_is_the_expected_number_of_draws():
    batch = Batch(np.array([1, 2, 2]))
    drawn = MixedSampler(SHOP.frequencies, 30).draw(np.random.default_rng(0), batch)
    share = SHOP.frequencies / SHOP.frequencies.sum()
    w = 3 / 33
    q = w * share + (1 - w) / SHOP.n
    np.testing.assert_allclose(np.exp(drawn.pools[0].log_q), 33 * q[drawn.pools[0].rows], rtol=1e-5)
    assert {1, 2} <= set(drawn.pools[0].rows.tolist())


@pytest.mark.parametrize("hashes", [0, 4])
def test_streaming_frequency_converges_and_follows_a_change(hashes):
    rng = np.random.default_rng(5)
    truth = np.array([0.5, 0.2, 0.05, 1.0])
    stream = StreamingFrequency(4 if not hashes else 256, rate=0.01, hashes=hashes)
    seen = []
    for step in range(9000):
        stream.update(np.flatnonzero(rng.random(4) < truth))
        if step > 4000:
            seen.append(stream.probability(np.arange(4)))
    # B tends to the mean interval, 1 / p
    np.testing.assert_allclose(1 / np.mean(1 / np.array(seen), axis=0), truth, rtol=0.12)
    for _ in range(3000):
        stream.update(np.flatnonzero(rng.random(4) < truth[::-1]))
    np.testing.assert_allclose(stream.probability(np.arange(2)), truth[::-1][:2], rtol=0.5)
    again = StreamingFrequency(4 if not hashes else 256, rate=0.01, hashes=hashes)
    again.load_state(stream.state())
    assert (again.probability(np.arange(4)) == stream.probability(np.arange(4))).all()
    with pytest.raises(SettingError):
        StreamingFrequency(9000, hashes=1).load_state(stream.state())


def test_several_hashes_keep_a_rare_item_apart_from_frequent_ones():
    rng = np.random.default_rng(6)
    truth = np.append(np.full(40, 0.5), 0.01)
    one, five = StreamingFrequency(64, rate=0.02, hashes=1), StreamingFrequency(64, rate=0.02, hashes=5)
    for _ in range(2500):
        held = np.flatnonzero(rng.random(41) < truth)
        one.update(held)
        five.update(held)
    rare = np.array([40])
    # in 64 slots the rare item shares some with frequent ones; the largest interval is the least disturbed
    assert five.probability(rare)[0] < 0.04
    assert five.probability(rare)[0] <= one.probability(rare)[0] + 0.01
    np.testing.assert_allclose(five.probability(np.arange(40)).mean(), 0.5, rtol=0.2)


def test_the_bank_is_first_in_first_out_and_frozen():
    sampler = CrossBatchSampler(SHOP.frequencies, 5, warm_up=2)
    rng, vectors = np.random.default_rng(0), np.arange(SHOP.n * 2, dtype=np.float32).reshape(-1, 2)
    batches = [np.array([1, 2, 3]), np.array([4, 5, 1]), np.array([6, 7, 8])]
    for number, positives in enumerate(batches):
        negatives = sampler(rng, Batch(positives))
        assert len(negatives.pools) == (1 if number < 2 else 2)
        sampler.observe(Batch(positives), negatives, vectors[negatives.items] + number, np.zeros(3, dtype=np.float32))
    bank = sampler(rng, Batch(np.array([1, 9]))).pools[1]
    assert bank.rows.tolist() == [5, 1, 6, 7, 8]
    np.testing.assert_array_equal(bank.vectors, vectors[bank.rows] + np.array([1, 1, 2, 2, 2])[:, None])
    assert bank.mask.tolist() == [[True, False, True, True, True], [True] * 5]
    share = SHOP.frequencies / SHOP.frequencies.sum()
    np.testing.assert_allclose(np.exp(bank.log_q), 7 * share[bank.rows], rtol=1e-5)


def test_score_based_samplers_pick_by_their_rule():
    rng = np.random.default_rng(0)
    table, users = rng.normal(size=(SHOP.n, 4)).astype(np.float32), rng.normal(size=(400, 4)).astype(np.float32)
    batch = Batch(rng.integers(SHOP.n, size=400), None, users, table.__getitem__)
    scores = users @ table.T
    # enough candidates that nearly all items are among them: the top of the catalogue
    ranks = np.argsort(np.argsort(-scores, axis=1), axis=1)
    best = DynamicSampler(SHOP.n, candidates=600)(np.random.default_rng(1), batch).pools[0].rows[:, 0]
    assert (ranks[np.arange(400), best] <= 1).mean() > 0.99
    drawn = DynamicSampler(SHOP.n, candidates=20, top=5, n=2)
    pool = drawn(np.random.default_rng(2), batch).pools[0]
    offered = np.random.default_rng(2).integers(SHOP.n, size=400 * 20).reshape(400, 20)  # before redraws
    untouched = (offered != batch.positives[:, None]).all(axis=1)
    for b in np.flatnonzero(untouched):
        fifth = np.sort(scores[b, offered[b]])[-5]
        assert (scores[b, pool.rows[b]] >= fifth).all() and set(pool.rows[b].tolist()) <= set(offered[b].tolist())
    hard = AdaptiveHardnessSampler(SHOP.n, candidates=20, alpha=3.0, beta=2.0, power=-2.0)
    pool = hard(np.random.default_rng(2), batch).pools[0]
    for b in np.flatnonzero(untouched):
        goal = 2.0 * max(scores[b, batch.positives[b]] + 3.0, 1e-3) ** -1.0
        away = np.abs(scores[b, offered[b]] - goal)
        assert abs(scores[b, pool.rows[b, 0]] - goal) == pytest.approx(away.min(), abs=1e-5)
    with pytest.raises(InputError, match="user_vectors"):
        drawn(np.random.default_rng(0), Batch(np.array([1])))


def test_ambiguous_negatives_follow_their_law():
    # two items beside the positive: of C candidates k are the first one, which then has k w_1 of k w_1 + (C - k) w_2
    vectors = np.array([[0.5], [0.7], [0.3]], dtype=np.float32)
    batch = Batch(np.zeros(6000, np.int64), None, np.ones((6000, 1), np.float32), vectors.__getitem__)
    sampler = AmbiguousSampler(3, candidates=4, sharpness=9.0, shift=-0.1)
    w = np.exp(-9.0 * (vectors[1:, 0] - 0.5 + 0.1) ** 2)
    k = np.arange(5)
    first = (comb(4, k) / 16 * k * w[0] / (k * w[0] + (4 - k) * w[1])).sum()
    rows = sampler(np.random.default_rng(0), batch).pools[0].rows
    assert agrees(np.bincount(rows[:, 0], minlength=3), np.array([0, first, 1 - first])) and abs(first - 0.5) > 0.02
    blind = AmbiguousSampler(3, candidates=4, sharpness=0.0)(np.random.default_rng(0), batch).pools[0].rows
    assert agrees(np.bincount(blind[:, 0], minlength=3), np.array([0, 1, 1]))
    # at a great sharpness the nearest to s+ + shift among those offered
    sharp = AmbiguousSampler(SHOP.n, candidates=30, n=2, sharpness=1e9)
    table = np.random.default_rng(4).normal(size=(SHOP.n, 1)).astype(np.float32)
    one = Batch(np.zeros(50, np.int64), None, np.ones((50, 1), np.float32), table.__getitem__)
    picked = sharp(np.random.default_rng(2), one).pools[0].rows
    offered = np.random.default_rng(2).integers(SHOP.n, size=1500).reshape(50, 30)  # before redraws
    for b in np.flatnonzero((offered != 0).all(axis=1)):
        away = np.sort(np.abs(table[offered[b], 0] - table[0, 0]))
        assert np.abs(table[picked[b], 0] - table[0, 0]).max() <= away[1] + 1e-6
    with pytest.raises(SettingError, match="sharpness"):
        AmbiguousSampler(3, sharpness=-1.0)


def test_fair_groups_draw_a_badly_served_group_less():
    groups = np.repeat([0, 1, 2], 20)
    sampler = FairGroupsSampler(groups, 4, hard_share=0.0, rate=0.02)
    rng = np.random.default_rng(0)
    batch = Batch(rng.integers(60, size=600))
    pool = sampler(rng, batch).pools[0]
    assert agrees(np.bincount(groups[pool.rows.ravel()], minlength=3), np.full(3, 1 / 3))
    losses = np.where(groups[batch.positives] == 2, 3.0, 1.0).astype(np.float32)
    for _ in range(4):
        sampler.observe(batch, sampler(rng, batch), np.zeros((0, 0), dtype=np.float32), losses)
    assert sampler.probability.sum() == pytest.approx(1) and sampler.probability.argmin() == 2
    assert sampler.probability[2] < 0.25 and sampler.probability[0] == pytest.approx(sampler.probability[1])
    law = np.bincount(groups[sampler(rng, Batch(np.full(2000, 0))).pools[0].rows.ravel()], minlength=3).astype(float)
    wanted = sampler.probability * np.array([19 / 20, 1, 1])  # the positive is refused
    assert entropy(law / law.sum(), wanted / wanted.sum()) < 1e-3


def test_cluster_sampler_masks_the_own_cluster_and_takes_the_nearest():
    batch = batch_of(SHOP, 30, 2)
    in_batch, near = ClusterSampler(SHOP.primary, SHOP.centres, 3)(np.random.default_rng(0), batch).pools
    own = SHOP.primary[batch.positives]
    assert not in_batch.mask[own[:, None] == SHOP.primary[in_batch.rows]].any()
    distances = np.linalg.norm(SHOP.centres[:, None] - SHOP.centres[None], axis=2) + np.eye(5) * 9
    assert (SHOP.primary[near.rows] == distances.argmin(axis=1)[own][:, None]).all()


def test_leaf_mask_takes_out_the_leaf_alone():
    batch = batch_of(SHOP, 40, 4)
    plain = InBatchSampler().draw(np.random.default_rng(0), batch).pools[0]
    drawn = LeafMaskedSampler(InBatchSampler(), SHOP.primary, SHOP.secondary).draw(np.random.default_rng(0), batch)
    masked, gone = drawn.pools[0], 0
    for b in range(40):
        for j, item in enumerate(plain.rows):
            p = batch.positives[b]
            alike = SHOP.primary[item] == SHOP.primary[p] and SHOP.secondary[item] == SHOP.secondary[p]
            assert masked.mask[b, j] == (plain.mask[b, j] and not alike)
            gone += plain.mask[b, j] and alike
    assert gone > 0 and drawn.facts["leaf_masked"] == pytest.approx(gone / plain.mask.sum())


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 1e-9, 0.3, 1.0, 1.0, 7.5, 1e6]), min_size=1, max_size=9), min_size=1, max_size=6
    )
)
def test_alias_tables_hold_the_laws_exactly(laws):
    indptr = np.concatenate([[0], np.cumsum([len(law) for law in laws])])
    tables = AliasTables(indptr, np.concatenate([np.array(law) for law in laws]))
    for r, law in enumerate(laws):
        if not sum(law):
            continue
        # walking over a grid of the one uniform number that a draw takes gives each entry its share
        mass = np.zeros(indptr[-1])
        for e in range(indptr[r], indptr[r + 1]):
            mass[e] += tables._keep[e] / len(law)
            mass[tables._alias[e]] += (1 - tables._keep[e]) / len(law)
        np.testing.assert_allclose(mass[indptr[r] : indptr[r + 1]], np.array(law) / sum(law), atol=1e-9)
        assert mass[: indptr[r]].sum() == mass[indptr[r + 1] :].sum() == 0


def test_alias_draws_follow_the_law():
    weights = np.random.default_rng(0).random((3, 9)) ** 3
    drawn = AliasTables.dense(weights).draw(np.random.default_rng(1), np.repeat([0, 2], 20_000))
    assert agrees(np.bincount(drawn[:20_000], minlength=27)[:9], weights[0])
    assert agrees(np.bincount(drawn[20_000:], minlength=27)[18:], weights[2])
    with pytest.raises(InputError):
        AliasTables([0, 2], [1.0, -1.0])


@given(st.integers(2, 30), st.data())
def test_ranks_leave_out_what_is_excluded(size, data):
    excluded = [data.draw(st.sets(st.integers(0, size - 1), max_size=size - 1)) for _ in range(3)]
    owner = np.repeat(np.arange(3), [len(e) for e in excluded])
    flat = np.array([x for e in excluded for x in sorted(e)], dtype=np.int64)
    drawn = ranks_excluding(
        np.random.default_rng(0), np.full(3, size), np.repeat(np.arange(3), 40 * size), owner, flat
    ).reshape(3, -1)
    for b in range(3):
        assert set(drawn[b].tolist()) == set(range(size)) - excluded[b]


def test_histories_sort_take_and_find():
    histories = Histories([0, 3, 3, 5], [9, 2, 9, 4, 1])
    assert histories.indptr.tolist() == [0, 2, 2, 4] and histories.items.tolist() == [2, 9, 1, 4]
    taken = histories.take([2, 0, 2, 1])
    assert [taken.items[taken.owner == r].tolist() for r in range(4)] == [[1, 4], [2, 9], [1, 4], []]
    assert taken.contains(np.array([0, 1, 3]), np.array([4, 4, 9])).tolist() == [True, False, False]
    assert Histories.from_padded([[3, -1], [-1, -1]]).indptr.tolist() == [0, 1, 1]
    with pytest.raises(InputError, match="indptr"):
        Histories([0, 2], [1])
    with pytest.raises(InputError, match="negative"):
        Histories([0, 1], [-1])


def test_every_public_name_is_the_thing_and_not_its_file():
    for found in pkgutil.iter_modules(room.__path__):
        importlib.import_module(f"motherlode.negatives.{found.name}")
    for name in room.__all__:
        assert not isinstance(getattr(room, name), types.ModuleType), name
    assert sorted(room._HOME) == sorted(room.__all__)
