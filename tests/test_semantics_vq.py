"""The quantiser's loss, gradients and moving averages against loops; it learns, and does not collapse."""

import numpy as np
import pytest
import torch

from motherlode.errors import SettingError
from motherlode.semantics import CascadedQuantiser, VQSettings
from motherlode.semantics.cascade import Cascade
from motherlode.semantics.kmeans_backend import fit_kmeans
from motherlode.semantics.vq_backend import fit_vq, vq_start
from semantics_case import clustered


def quantiser(mode="gradient", decoder=0.0, per_primary=False, **options):
    views, _ = clustered(200, missing=0.3)
    block = views.block(slice(None))
    start = vq_start(block, (8, 4), per_primary, seed=1)
    settings = VQSettings(mode=mode, decoder=decoder, batch=200, **options)
    module = CascadedQuantiser(start, settings, torch.Generator().manual_seed(0)).double()
    return module, torch.from_numpy(block.vectors).double(), torch.from_numpy(block.present)


def terms(module, vectors, present):
    """Each term of the loss, and the codes, by loops in float64 over items."""
    primary, secondary = module.primary.detach().numpy(), module.secondary.detach().numpy()
    marks = module.marks.numpy()
    rows = []
    for x, held in zip(vectors.detach().numpy(), present.numpy(), strict=True):
        mean = x[held].mean(0)
        p = np.square(mean - primary).sum(1).argmin()
        blocks = [x[m] - primary[p] if held[m] else np.zeros(x.shape[1]) for m in range(len(x))]
        residual = np.concatenate([*blocks, np.where(held, 0, marks)])
        book = p if len(secondary) > 1 else 0
        s = np.square(residual - secondary[book]).sum(1).argmin()
        first, second = np.square(mean - primary[p]).sum(), np.square(residual - secondary[book, s]).sum()
        gap = 0.0
        if module.decoder is not None:
            codes = np.concatenate([primary[p], secondary[book, s]])
            decoded = module.decoder.weight.detach().numpy() @ codes + module.decoder.bias.detach().numpy()
            gap = np.square((decoded.reshape(x.shape) - x)[held]).sum()
        rows.append((p, s, mean, residual, first, second, gap))
    return rows


@pytest.mark.parametrize("per_primary", [False, True])
@pytest.mark.parametrize(("mode", "decoder"), [("gradient", 0.0), ("gradient", 0.7), ("ema", 0.0), ("ema", 0.7)])
def test_the_loss_is_the_formula(mode, decoder, per_primary):
    module, vectors, present = quantiser(mode, decoder, per_primary)
    module.eval()
    found = module(vectors, present)
    rows = terms(module, vectors, present)
    weight = 1.25 if mode == "gradient" else 0.25
    expected = np.mean([weight * (row[4] + row[5]) + decoder * row[6] for row in rows])
    assert float(found.loss.detach()) == pytest.approx(expected, rel=1e-6)
    assert found.primary.tolist() == [row[0] for row in rows]
    assert found.secondary.tolist() == [row[1] for row in rows]


def test_gradients_go_where_the_stop_gradients_let_them():
    module, vectors, present = quantiser()
    module.eval()
    vectors.requires_grad_(True)
    module(vectors, present).loss.backward()
    rows, count = terms(module, vectors, present), len(vectors)
    primary, secondary = torch.zeros_like(module.primary), torch.zeros_like(module.secondary)
    inputs = torch.zeros_like(vectors)
    for number, (p, s, mean, residual, *_) in enumerate(rows):
        toward = torch.from_numpy(mean) - module.primary[p].detach()
        apart = torch.from_numpy(residual) - module.secondary[0, s].detach()
        primary[p] -= 2 * toward / count  # of ‖sg[x̄] - c^P‖² alone: r holds sg[c^P]
        secondary[0, s] -= 2 * apart / count
        held = torch.nonzero(present[number]).flatten()
        for m in held.tolist():
            inputs[number, m] = 0.25 * 2 / count * (toward / len(held) + apart[16 * m : 16 * (m + 1)])
    torch.testing.assert_close(module.primary.grad, primary, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(module.secondary.grad, secondary, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(vectors.grad, inputs, rtol=1e-6, atol=1e-9)


def test_straight_through_has_the_centres_value_and_the_means_gradient():
    module, vectors, present = quantiser()
    vectors.requires_grad_(True)
    found = module(vectors, present)
    torch.testing.assert_close(found.through, module.primary[found.primary].detach())
    weights = torch.randn(found.through.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((found.through * weights).sum(), vectors)
    share = present / present.sum(1, keepdim=True)
    torch.testing.assert_close(gradient, share.unsqueeze(-1) * weights.unsqueeze(1))


def test_moving_averages_are_the_formula():
    module, vectors, present = quantiser("ema", revive=0.0, decay=0.9)
    mass, total = np.full(8, 0.1), 0.1 * module.primary.numpy().copy()
    for step in range(4):
        rows = slice(40 * step, 40 * step + 40)
        before = terms(module, vectors[rows], present[rows])
        module(vectors[rows], present[rows])
        for k in range(8):
            inside = [row[2] for row in before if row[0] == k]
            mass[k] = 0.9 * mass[k] + 0.1 * len(inside)
            total[k] = 0.9 * total[k] + 0.1 * np.sum(inside, axis=0)
        smooth = (mass + 1e-5) / (mass.sum() + 8e-5) * mass.sum()
        np.testing.assert_allclose(module.primary.numpy(), total / smooth[:, None], rtol=1e-6)
    assert not list(module.parameters())


@pytest.mark.parametrize("mode", ["gradient", "ema"])
def test_the_loss_falls_to_near_that_of_k_means(mode):
    views, _ = clustered(2_000)
    block = views.block(slice(None))
    settings = VQSettings(mode=mode, steps=300, batch=512)
    learnt, history = fit_vq(block, (32, 8), False, settings, seed=0)

    def loss(cascade):
        module = CascadedQuantiser(cascade, settings, torch.Generator()).eval()
        return float(module(torch.from_numpy(block.vectors), torch.from_numpy(block.present)).loss.detach())

    assert loss(learnt) < 0.8 * loss(vq_start(block, (32, 8), False, seed=0))
    assert loss(learnt) < 1.05 * loss(fit_kmeans(block, (32, 8), False, None, seed=0))
    assert history["loss"][-1] < history["loss"][0]
    assert len(history["loss"]) == len(history["primary_perplexity"]) == 6


@pytest.mark.parametrize("far", [0.0, 5.0])
@pytest.mark.parametrize("mode", ["gradient", "ema"])
def test_a_collapsed_start_is_overcome(mode, far):
    """All codes of both levels begin at one point, inside the data or far off."""
    views, _ = clustered(2_000)
    block = views.block(slice(None))
    point = block.mean().mean(0) + far
    secondary = np.full((1, 8, 51), far, np.float32)
    start = Cascade(np.tile(point, (32, 1)), secondary, np.ones((1, 8), bool), np.ones(3, np.float32))

    def perplexities(revive):
        settings = VQSettings(mode=mode, steps=400, batch=256, rate=3e-2, decay=0.95, revive=revive)
        _, history = fit_vq(block, (32, 8), False, settings, seed=0, start=start)
        return history["primary_perplexity"][-1], history["secondary_perplexity"][-1]

    first, second = perplexities(0.1)
    assert first > 24 and second > 4.5
    if mode == "gradient" and far:  # nothing but revival can bring the codes apart
        assert max(perplexities(0.0)) < 1.5


def test_a_decoder_lowers_its_own_error():
    views, _ = clustered(1_000)
    block = views.block(slice(None))
    settings = VQSettings(mode="gradient", steps=200, batch=256, decoder=1.0)
    _, history = fit_vq(block, (16, 4), False, settings, seed=0)
    assert history["loss"][-1] < 0.8 * history["loss"][0]


def test_settings_that_cannot_be():
    for options in ({"mode": "x"}, {"decay": 1.0}, {"steps": 0}, {"commitment": -1}, {"revive": 1}):
        with pytest.raises(SettingError):
            VQSettings(**options)
