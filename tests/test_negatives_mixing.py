"""MixGCF, BMNS and MoCHi / SynCo against loops from their rules; the bidirectional margin."""

import pytest
import torch
from torch.nn import functional

from motherlode.errors import SettingError
from motherlode.negatives import bidirectional_margin_loss, bmns_negatives, mixgcf_negatives, mochi_negatives


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


USERS, POSITIVES, CANDIDATES = unit(6, 8, seed=1), unit(6, 8, seed=2), unit(6, 5, 8, seed=3)
MASK = torch.rand((6, 5), generator=torch.Generator().manual_seed(4)) < 0.7
MASK[:, 0] = True


def test_mixgcf_takes_the_best_mixed_candidate():
    got = mixgcf_negatives(torch.Generator().manual_seed(5), USERS, POSITIVES, CANDIDATES, MASK)
    share = torch.rand((6, 1), generator=torch.Generator().manual_seed(5))
    for b in range(6):
        mixed = [share[b] * POSITIVES[b] + (1 - share[b]) * CANDIDATES[b, j] for j in range(5) if MASK[b, j]]
        assert got.scores[b, 0].item() == pytest.approx(max(float(USERS[b] @ e) for e in mixed), abs=1e-6)
    assert got.mask.all()


def test_bmns_mixes_the_items_an_example_may_meet():
    items, log_q, mask = unit(7, 8, seed=6), torch.randn(7, generator=torch.Generator().manual_seed(7)), None
    mask = torch.rand((6, 7), generator=torch.Generator().manual_seed(8)) < 0.6
    mask[2] = False
    got = bmns_negatives(torch.Generator().manual_seed(9), USERS @ items.T, mask, log_q, 11, mixing_temperature=0.5)
    raw = (torch.rand((11, 7), generator=torch.Generator().manual_seed(9)) * torch.pi / 2).sin() ** 2
    for b in range(6):
        if not mask[b].any():
            assert not got.mask[b].any()
            continue
        for v in range(11):
            weight = ((raw[v] - log_q) / 0.5).exp() * mask[b]
            point = (weight / weight.sum()) @ items
            assert got.scores[b, v].item() == pytest.approx(float(USERS[b] @ point), abs=1e-5)
    raised = bmns_negatives(torch.Generator().manual_seed(1), USERS @ items.T, mask, log_q, 500, beta=3.0)
    assert torch.isfinite(raised.scores).all()
    with pytest.raises(SettingError):
        bmns_negatives(torch.Generator(), USERS @ items.T, mask, log_q, 0)


def test_mochi_points_lie_where_their_kind_says_and_move_the_user_alone():
    users, candidates = USERS.clone().requires_grad_(), CANDIDATES.clone().requires_grad_()
    got = mochi_negatives(
        torch.Generator().manual_seed(2), users, candidates, MASK, hardest=1, mixed=40, with_user=40, beyond=40
    )
    assert got.mask.all()
    hardest = (USERS[:, None] * CANDIDATES).sum(2).masked_fill(~MASK, -9).max(dim=1).values[:, None]
    mixed, with_user, beyond = got.scores.detach().split(40, dim=1)
    assert torch.allclose(mixed, hardest.expand_as(mixed), atol=1e-5)  # one parent: the point is the parent
    # between the negative and half way to the user: never easier than the negative, nor beyond the middle
    half = functional.normalize(
        USERS + CANDIDATES[torch.arange(6), (USERS[:, None] * CANDIDATES).sum(2).masked_fill(~MASK, -9).argmax(1)],
        dim=1,
    )
    assert (with_user >= hardest - 1e-5).all() and (with_user <= (USERS * half).sum(1, keepdim=True) + 1e-5).all()
    assert (beyond <= hardest + 1e-5).all()  # pushed away from the user
    got.scores.sum().backward()
    assert users.grad.abs().sum() > 0 and candidates.grad is None
    three = mochi_negatives(torch.Generator().manual_seed(2), USERS, CANDIDATES, MASK, hardest=3, mixed=200)
    assert three.scores[:, :200].std(dim=1).min() > 0


def test_mochi_without_usable_candidates_is_masked():
    got = mochi_negatives(torch.Generator(), USERS, CANDIDATES, torch.zeros_like(MASK), mixed=2)
    assert not got.mask.any()
    with pytest.raises(SettingError):
        mochi_negatives(torch.Generator(), USERS, CANDIDATES, MASK, mixed=0, with_user=0)


def test_bidirectional_margin_is_free_in_its_band():
    false = torch.tensor([[0.5, 0.9, -0.4, 9.0]])
    got = bidirectional_margin_loss(false, torch.tensor([0.8]), torch.tensor([[True, True, True, False]]))
    # d = -0.3 lies in the band, 0.1 is 0.3 above it, -1.2 is 0.7 below it
    assert got.item() == pytest.approx((0.0 + 0.3 + 0.7) / 3, abs=1e-6)
