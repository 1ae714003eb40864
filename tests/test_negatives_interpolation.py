"""Interpolated negatives: the analysis behind them reproduced, gradients, pairs, and no forward pass for any."""

import numpy as np
import pytest
import torch
from scipy.stats import beta as beta_law
from scipy.stats import kstest
from torch.nn import functional

from motherlode.errors import SettingError
from motherlode.negatives import Interpolation, RisingHardness, SemanticSampler, UniformSampler, interpolate, score
from motherlode.negatives.interpolated import InterpolatedScores
from motherlode.negatives.pairs import pairs
from negatives_case import batch_of, catalogue


def unit(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(shape, generator=g, dtype=torch.float64), dim=-1)


def parents_at(cosine, n, seed):
    """Pairs of unit vectors with a given cosine, and users near the middle of each pair."""
    a, other = unit(n, 64, seed=seed), unit(n, 64, seed=seed + 1)
    across = functional.normalize(other - (other * a).sum(1, keepdim=True) * a, dim=1)
    b = cosine * a + (1 - cosine**2) ** 0.5 * across
    users = functional.normalize(functional.normalize(a + b, dim=1) + 0.3 * unit(n, 64, seed=seed + 2), dim=1)
    return a, b, users


def test_raw_interpolation_only_mixes_scores():
    a, b, users = unit(500, 64, seed=1), unit(500, 64, seed=2), unit(500, 64, seed=3)
    alpha = torch.rand(500, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    got = (users * interpolate(a, b, alpha, renormalise=False)).sum(1)
    s_a, s_b = (users * a).sum(1), (users * b).sum(1)
    assert torch.allclose(got, alpha * s_a + (1 - alpha) * s_b, atol=1e-12)
    assert (got <= torch.maximum(s_a, s_b) + 1e-12).all()


def test_renormalised_interpolation_lifts_above_both_parents_the_less_the_closer_they_are():
    above, lifts = [], []
    for cosine in (0.0, 0.3, 0.6, 0.9):
        a, b, users = parents_at(cosine, 6_000, 5)
        alpha = torch.rand(6_000, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
        lift = (users * interpolate(a, b, alpha)).sum(1) - torch.maximum((users * a).sum(1), (users * b).sum(1))
        above.append(float((lift > 0).double().mean()))
        lifts.append(float(lift.mean()))
    assert above[0] > 0.8 and lifts[0] > 0.05
    assert above == sorted(above, reverse=True) and lifts == sorted(lifts, reverse=True)
    assert len(set(lifts)) == 4


def plane(positive_score, negative_score, cosine):
    """A user, a positive and a negative with these three inner products."""
    gram = torch.tensor(
        [[1, positive_score, negative_score], [positive_score, 1, cosine], [negative_score, cosine, 1]],
        dtype=torch.float64,
    )
    return torch.linalg.cholesky(gram)


@pytest.mark.parametrize(("beta", "factor"), [(-0.5, 1.5), (0.0, 1.0), (1.0, 0.0), (1.5, -0.5)])
def test_raw_hard_interpolation_scales_the_margin(beta, factor):
    user, positive, negative = plane(0.739, 0.527, 0.674)
    virtual = interpolate(positive, negative, torch.tensor(beta, dtype=torch.float64), renormalise=False)
    assert float(user @ positive - user @ virtual) == pytest.approx(factor * (0.739 - 0.527), abs=1e-12)


def test_renormalised_hard_interpolation_circles_round_the_positive():
    user, positive, negative = plane(0.739, 0.527, 0.674)
    for beta, expected in [(-0.5, 0.346), (0.5, 0.692), (0.9, 0.740), (1.25, 0.723), (1.5, 0.694)]:
        virtual = interpolate(positive, negative, torch.tensor(beta, dtype=torch.float64))
        assert float(user @ virtual) == pytest.approx(expected, abs=0.005)
    near = interpolate(positive, negative, torch.tensor(0.9, dtype=torch.float64))
    assert float(near @ positive) == pytest.approx(0.997, abs=0.001)


@pytest.mark.parametrize(("unit_length", "last_fixed"), [(False, False), (False, True), (True, False)])
def test_scores_from_the_parents_scores_are_those_of_the_point_in_value_and_gradient(unit_length, last_fixed):
    g = torch.Generator().manual_seed(9)
    raw = [torch.randn(shape, dtype=torch.float64, generator=g) for shape in [(30, 8), (30, 4, 8)]]
    # pairs that share parents, a point of a vector with itself, coefficients on both sides of [0, 1]
    one, two = torch.randint(4, (30, 6), generator=g), torch.randint(4, (30, 6), generator=g)
    c = torch.rand((30, 6), dtype=torch.float64, generator=g) * 3 - 1
    results = []
    for way in ("point", "parents"):
        user, leaf = (x.clone().requires_grad_() for x in raw)
        vectors = functional.normalize(leaf, dim=2) if unit_length else leaf
        held = torch.cat([vectors[:, :-1], vectors[:, -1:].detach()], dim=1) if last_fixed else vectors
        if way == "point":
            a, b = (held.gather(1, k[:, :, None].expand(-1, -1, 8)) for k in (one, two))
            got = (user[:, None] * interpolate(a, b, c)).sum(2)
        else:
            scores = (held * user[:, None]).sum(2)
            products = (vectors @ vectors.transpose(1, 2)).detach()
            got = InterpolatedScores.apply(vectors, scores, products, one, two, c, unit_length, last_fixed)
        got.sin().sum().backward()
        results.append([got.detach(), user.grad, leaf.grad])
    for mine, theirs in zip(*results, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-9)
    assert not last_fixed or (results[0][2][:, -1] == 0).all()


def scored_case(easy=6, hard=4, per_cluster=2, seed=0, held=0):
    """A batch with raw leaf vectors, whose unit forms are scored as towers' outputs would be."""
    shop = catalogue(80, 5, 3, seed)
    batch = batch_of(shop, 16, held, seed)
    sampler = SemanticSampler(*shop.codes, easy=easy, hard=hard, per_cluster=per_cluster)
    negatives = sampler(np.random.default_rng(seed), batch)
    g = torch.Generator().manual_seed(seed)
    users = torch.randn(16, 8, generator=g, dtype=torch.float64).requires_grad_()
    items = torch.randn(len(negatives.items), 8, generator=g, dtype=torch.float64).requires_grad_()
    unit_users, unit_items = functional.normalize(users, dim=1), functional.normalize(items, dim=1)
    return users, items, negatives, score(negatives, unit_users, unit_items), shop


def products(scored):
    return scored.own.detach() @ scored.own.detach().transpose(1, 2)


def sign_of_push(beta):
    """Sign of dL/d(s+ - s-) with one raw virtual negative alone."""
    *_, scored, _ = scored_case(easy=0, hard=1, per_cluster=1)
    margin = (scored.positive - scored.own_scores[:, 0]).detach()
    raw = Interpolation(
        simple=0,
        hard=1,
        reading="coefficient",
        strength=beta,
        renormalise=False,
        dead_zone=0,
        max_cosine=9,
        detach="none",
    )
    virtual = raw(torch.Generator().manual_seed(0), scored)
    leaf = margin.clone().requires_grad_()
    assert torch.allclose((scored.positive[:, None] - virtual.scores)[:, 0].detach(), (1 - beta) * margin, atol=1e-9)
    torch.nn.functional.softplus(-(1 - beta) * leaf / 0.1).sum().backward()
    return leaf.grad.sign(), margin


def test_beyond_one_the_raw_form_pushes_the_positive_down():
    assert (sign_of_push(0.5)[0] == -1).all() and (sign_of_push(-0.5)[0] == -1).all()
    assert (sign_of_push(1.0)[0] == 0).all()
    assert (sign_of_push(1.5)[0] == 1).all()


@pytest.mark.parametrize("detach", ["positive", "none", "all"])
def test_the_batch_form_equals_making_the_points_one_by_one(detach):
    shape = Interpolation(simple=5, hard=3, detach=detach, dead_zone=0.15, max_cosine=0.9)
    results = []
    for way in ("batch", "loop"):
        users, items, _, scored, _ = scored_case(seed=2)
        g = torch.Generator().manual_seed(7)
        if way == "batch":
            virtual = shape(g, scored)
            scores, mask = virtual.scores, virtual.mask
        else:  # the same draws in the same order, then vector by vector
            first, second, paired, _ = pairs(g, scored, 5, products(scored))
            usable = (scored.own_mask & scored.own_hard).to(torch.uint8)
            rank = (torch.rand((16, 3), generator=g) * usable.sum(1, keepdim=True)).long()
            parent = usable.argsort(dim=1, descending=True, stable=True).gather(1, rank)
            alpha = torch.rand((16, 5), generator=g, dtype=torch.float64)
            beta = torch.rand((16, 3), generator=g, dtype=torch.float64) * 2 - 0.5
            rows, mask_rows = [], []
            for b in range(16):
                own = scored.own[b].detach() if detach == "all" else scored.own[b]
                positive = scored.positives[b] if detach == "none" else scored.positives[b].detach()
                made, allowed = [], []
                for v in range(5):
                    point = alpha[b, v] * own[first[b, v]] + (1 - alpha[b, v]) * own[second[b, v]]
                    made.append(scored.users[b] @ (point / point.norm()))
                    allowed.append(bool(paired[b, v]))
                for v in range(3):
                    point = beta[b, v] * positive + (1 - beta[b, v]) * own[parent[b, v]]
                    point = point / point.norm()
                    made.append(scored.users[b] @ point)
                    allowed.append(abs(float(beta[b, v]) - 1) >= 0.15 and float((point @ positive).detach()) <= 0.9)
                rows.append(torch.stack(made))
                mask_rows.append(allowed)
            scores, mask = torch.stack(rows), torch.tensor(mask_rows)
        torch.where(mask, scores, 0).exp().sum().backward()
        moved = torch.zeros_like(items) if items.grad is None else items.grad
        results.append((scores.detach(), mask, users.grad, moved))
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two) if one.dtype == torch.bool else torch.allclose(one, two, atol=1e-9)
    assert results[0][1].any() and not results[0][1].all()


def test_detaching_decides_whom_the_virtual_loss_moves():
    moved = {}
    for detach in ("positive", "none", "all"):
        users, items, negatives, scored, _ = scored_case(easy=0, hard=3, per_cluster=1)
        virtual = Interpolation(simple=0, hard=4, detach=detach)(torch.Generator().manual_seed(1), scored)
        torch.where(virtual.mask, virtual.scores, 0).sum().backward()
        drawn = np.setdiff1d(negatives.index[0], negatives.positive)
        only_positive = np.setdiff1d(negatives.positive, negatives.index[0])
        grads = torch.zeros_like(items) if items.grad is None else items.grad
        moved[detach] = (
            bool(users.grad.abs().sum() > 0),
            bool(grads[drawn].abs().sum() > 0),
            bool(grads[only_positive].abs().sum() > 0),
        )
    assert moved == {"positive": (True, True, False), "none": (True, True, True), "all": (True, False, False)}


def test_pairs_share_a_cluster_and_are_two_items_or_are_counted():
    *_, scored, _ = scored_case(seed=4)
    first, second, mask, crossed = pairs(torch.Generator().manual_seed(0), scored, 40, products(scored))
    group = scored.own_group
    assert (first != second)[mask].all()
    apart = (group.gather(1, first) != group.gather(1, second)) & mask
    assert float(apart.sum() / mask.sum()) == pytest.approx(crossed)
    for b, v in apart.nonzero().tolist():
        alone = scored.own_mask[b] & (group[b] == group[b, first[b, v]])
        assert alone.sum() == 1
        cosines = scored.own[b] @ scored.own[b, first[b, v]]
        cosines[first[b, v]] = -2
        assert second[b, v] == cosines.argmax()
    *_, across = scored, pairs(torch.Generator().manual_seed(0), scored, 40, products(scored), same_cluster=False)
    first, second, mask, crossed = across
    assert crossed == 0 and (group.gather(1, first) != group.gather(1, second)).all()
    # every pair of a cluster comes up equally often once its first is drawn
    *_, hard_alone, _ = scored_case(easy=0, hard=4, per_cluster=1, seed=1)
    first, second, _, _ = pairs(torch.Generator().manual_seed(3), hard_alone, 3000, products(hard_alone))
    counts = np.bincount((first * 4 + second).flatten().numpy(), minlength=16).reshape(4, 4)
    assert (np.diag(counts) == 0).all() and np.ptp(counts[~np.eye(4, dtype=bool)]) < 500


def test_masked_negatives_are_no_parents():
    *_, scored, _ = scored_case(seed=5)
    scored.own_mask[:] = False
    scored.own_mask[:, 1] = scored.own_mask[:, 7] = True
    first, second, mask, _ = pairs(torch.Generator().manual_seed(0), scored, 9, products(scored))
    assert mask.all() and set(torch.cat([first, second]).flatten().tolist()) == {1, 7}
    scored.own_mask[:, 7] = False
    virtual = Interpolation()(torch.Generator().manual_seed(0), scored)
    assert not virtual.mask.any()
    assert torch.isfinite(scored.loss(0.1, virtual))


def test_every_reading_of_the_strength():
    g, like = torch.Generator().manual_seed(0), torch.zeros(1)
    printed = Interpolation().betas(g, 4000, 4, like)
    assert printed.min() >= -0.5 and printed.max() <= 1.5 and abs(float(printed.mean()) - 0.5) < 0.02
    assert float(printed.min()) < -0.49 and float(printed.max()) > 1.49
    inside = Interpolation(strength=0.0).betas(g, 4000, 4, like)
    assert inside.min() >= 0 and inside.max() <= 1
    assert (Interpolation(strength=0.7, reading="coefficient").betas(g, 3, 2, like) == 0.7).all()
    assert float(Interpolation(cap=0.6).betas(g, 100, 4, like).max()) == pytest.approx(0.6)
    assert Interpolation(6, 4, strength=0.3, reading="hard_share").counts == (7, 3)
    assert Interpolation(6, 4, strength=0.0, reading="hard_share").counts == (10, 0)
    shared = Interpolation(6, 4, strength=0.3, reading="hard_share").betas(g, 4000, 4, like)
    assert float(shared.min()) < -0.49 and float(shared.max()) > 1.49
    alpha = Interpolation(simple=3, hard=0)
    *_, scored, _ = scored_case()
    assert alpha(g, scored).scores.shape == (16, 3)
    assert Interpolation(simple=0, hard=0)(g, scored).scores.shape == (16, 0)


def test_beta_shapes_are_the_law_over_the_range():
    g, like = torch.Generator().manual_seed(0), torch.zeros(1, dtype=torch.float64)
    for a, b in [(0.5, 0.5), (1.0, 1.0), (2.0, 5.0)]:
        inside = Interpolation(strength=0.0, shape=(a, b)).betas(g, 5000, 1, like).flatten().numpy()
        assert kstest(inside, beta_law(a, b).cdf).pvalue > 1e-3
        printed = Interpolation(shape=(a, b)).betas(g, 5000, 1, like).flatten().numpy()
        assert kstest((printed + 0.5) / 2, beta_law(a, b).cdf).pvalue > 1e-3
    with pytest.raises(SettingError, match="above 0"):
        Interpolation(shape=(0.0, 1.0))
    with pytest.raises(SettingError, match="range"):
        Interpolation(reading="coefficient", shape=(1.0, 1.0))


def test_hardness_rises_with_the_steps():
    rising = RisingHardness(Interpolation(simple=0, hard=30), start=-0.2, end=0.8, steps=100)
    assert [rising.at(step).cap for step in (0, 50, 100, 900)] == pytest.approx([-0.2, 0.3, 0.8, 0.8])
    # raw, below a positive that scores higher: the larger beta, the harder the point
    *_, scored, _ = scored_case(easy=0, hard=1, per_cluster=1)
    above = (scored.positive > scored.own_scores[:, 0]).nonzero()[:, 0]
    raw = RisingHardness(
        Interpolation(simple=0, hard=30, renormalise=False, dead_zone=0, max_cosine=9), start=-0.2, end=0.8, steps=100
    )
    low, middle, high = (raw.at(s)(torch.Generator().manual_seed(1), scored).scores[above] for s in (0, 50, 100))
    assert len(above) and (low <= middle).all() and (middle <= high).all() and (low < high).any()
    with pytest.raises(SettingError, match="at least 1 step"):
        RisingHardness(Interpolation(), steps=0)


def test_what_cannot_be_is_refused():
    with pytest.raises(SettingError, match=">= 0"):
        Interpolation(simple=-1)
    with pytest.raises(SettingError, match=r"\[0, 1\]"):
        Interpolation(strength=1.5, reading="hard_share")
    shop = catalogue()
    batch = batch_of(shop, 4)
    negatives = UniformSampler(shop.n, 8, shared=True)(np.random.default_rng(0), batch)
    scored = score(negatives, torch.rand(4, 3), torch.rand(len(negatives.items), 3))
    with pytest.raises(SettingError, match="shared pools"):
        Interpolation()(torch.Generator(), scored)


def test_virtual_negatives_cost_no_forward_pass_and_enter_the_loss():
    calls = []

    class Tower(torch.nn.Module):
        def __init__(self, n):
            super().__init__()
            self.table = torch.nn.Embedding(n, 8)

        def forward(self, rows):
            calls.append(len(rows))
            return functional.normalize(self.table(rows), dim=1)

    shop = catalogue(80)
    batch = batch_of(shop, 16)
    torch.manual_seed(0)
    tower, users = Tower(shop.n), functional.normalize(torch.randn(16, 8), dim=1)
    losses = []
    for amount in (0, 8, 64):
        negatives = SemanticSampler(*shop.codes)(np.random.default_rng(0), batch)
        scored = score(negatives, users, tower(torch.from_numpy(negatives.items)))
        virtual = Interpolation(simple=amount, hard=amount // 4)(torch.Generator().manual_seed(0), scored)
        losses.append(float(scored.loss(0.1, virtual).detach()))
    assert calls == [calls[0]] * 3
    assert losses[0] == pytest.approx(float(scored.loss(0.1).detach())) and losses[0] < losses[1] < losses[2]
