"""Views that share latents find each other after alignment; the loss is the formula; heads survive disk."""

import numpy as np
import pytest
import torch

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.semantics import Aligned, Views, fit_alignment, measure_alignment
from motherlode.semantics.alignment_loss import alignment_loss
from motherlode.semantics.alignment_report import principal_views, recall_at_1, uniformity

WIDTHS = {"text": 40, "image": 60, "behaviour": 24}


def shared(items=1_500, missing=0.0, seed=0):
    """Views that are linear in 12 latents of each item, in coordinates of their own, with an offset and noise."""
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((items, 12))
    vectors = {
        name: latents @ rng.standard_normal((12, width)) + 4 + 0.3 * rng.standard_normal((items, width))
        for name, width in WIDTHS.items()
    }
    present = {name: rng.random(items) >= missing for name in vectors}
    return Views.from_arrays(vectors, present)


@pytest.fixture(scope="module")
def fitted():
    views = shared(missing=0.2)
    return fit_alignment(views.take(slice(0, 1_000)), 16, epochs=15, batch=128), views


def test_the_loss_is_the_formula_over_present_pairs():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((9, 3, 5))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    present = rng.random((9, 3)) < 0.7
    total = 0.0
    for a in range(3):
        for b in range(a + 1, 3):
            both = [i for i in range(9) if present[i, a] and present[i, b]]
            for left, right in ((a, b), (b, a)):
                for i in both:
                    scores = {j: np.exp(vectors[i, left] @ vectors[j, right] / 0.3) for j in both}
                    total -= 0.5 / len(both) * np.log(scores[i] / sum(scores.values())) * len(both) / 9
    tensor = torch.from_numpy(vectors)
    mask = torch.from_numpy(present)
    assert float(alignment_loss(tensor, mask, 0.3)) == pytest.approx(total, rel=1e-9)
    junk = torch.where(mask.unsqueeze(-1), tensor, torch.full_like(tensor, 9.0))
    assert float(alignment_loss(junk, mask, 0.3)) == pytest.approx(total, rel=1e-9)
    assert float(alignment_loss(tensor, torch.zeros_like(mask), 0.3)) == 0.0


def test_the_heads_read_plain_views_as_the_fit_read_whitened_ones():
    """One batch an epoch, and a rate that has fallen to nothing: the last loss is that of the heads given back."""
    views = shared(120, missing=0.2)
    made = fit_alignment(views, 8, epochs=40, batch=120)
    block = made.transform(views).block(np.flatnonzero(np.sum(list(views.present.values()), axis=0) > 1))
    given = alignment_loss(torch.from_numpy(block.vectors), torch.from_numpy(block.present), made.facts["temperature"])
    assert float(given) == pytest.approx(made.facts["loss"][-1], rel=2e-3)
    assert made.facts["loss"][-1] < 0.5 * made.facts["loss"][0]


def test_new_items_find_themselves_across_views(fitted):
    aligned, views = fitted
    report = measure_alignment(aligned, views.take(slice(1_000, 1_500)))
    for after, before in zip(report["aligned"]["pairs"], report["unaligned"]["pairs"], strict=True):
        assert min(after["recall@1"]) > 0.5 and max(before["recall@1"]) < 0.05
        assert after["alignment"] < 0.3 * before["alignment"]
        assert after["views"] == before["views"] and after["chance"] == 1 / after["items"]


def test_vectors_are_unit_and_missing_stays_missing(fitted):
    aligned, views = fitted
    after = aligned.transform(views)
    assert after.width == 16 and after.names == views.names
    for name in views.names:
        np.testing.assert_array_equal(after.present[name], views.present[name])
        lengths = np.linalg.norm(after.vectors[name], axis=1)
        np.testing.assert_allclose(lengths, views.present[name].astype(float), atol=1e-5)
    without = aligned.transform(views.only(["text", "image"]))
    assert not without.present["behaviour"].any()
    np.testing.assert_array_equal(without.vectors["text"], after.vectors["text"])


def test_fits_repeat_and_saved_is_loaded(tmp_path):
    views = shared(200)
    first, second, other = (fit_alignment(views, 8, epochs=2, batch=64, seed=seed) for seed in (3, 3, 4))
    assert first.fingerprint() == second.fingerprint() != other.fingerprint()
    first.save(tmp_path / "heads")
    opened = Aligned.load(tmp_path / "heads")
    assert opened.facts == first.facts
    assert opened.transform(views).fingerprint() == first.transform(views).fingerprint()
    file = tmp_path / "heads" / "heads.safetensors"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(InputError, match="damaged"):
        Aligned.load(tmp_path / "heads")
    with pytest.raises(MissingError, match="no alignment"):
        Aligned.load(tmp_path)


def test_pairs_bring_their_items_together():
    views = shared(400)
    pairs = np.random.default_rng(5).permutation(400).reshape(-1, 2)

    def closeness(weight):
        made = fit_alignment(views, 16, epochs=25, batch=128, pairs=pairs, pairs_weight=weight)
        mean = made.transform(views).block(slice(None)).mean()
        mean /= np.linalg.norm(mean, axis=1, keepdims=True)
        return float((mean[pairs[:, 0]] * mean[pairs[:, 1]]).sum(1).mean())

    assert closeness(1.0) > closeness(0.0) + 0.2


def test_the_temperature_is_learnt_and_clamped():
    made = fit_alignment(shared(300), 8, epochs=30, batch=64, temperature=0.011, lr=0.1)
    assert 0.01 <= made.facts["temperature"] <= 0.5 and made.facts["temperature"] != pytest.approx(0.011, abs=1e-6)


def test_the_figures_are_their_definitions():
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((60, 3)).astype(np.float32) for _ in range(2))
    left, right = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (left, left + 0.4 * right))
    hits = sum(all(left[i] @ right[i] > left[i] @ right[j] for j in range(60) if j != i) for i in range(60))
    assert 0 < hits < 60 and recall_at_1(left, right) == hits / 60
    assert recall_at_1(np.ones((5, 2), "f"), np.ones((5, 2), "f")) == 0.0
    values = [np.exp(-2 * np.square(left[i] - left[j]).sum()) for i in range(60) for j in range(60) if i != j]
    assert uniformity(left) == pytest.approx(np.log(np.mean(values)), rel=1e-5)


def test_principal_views_keep_distances_when_nothing_is_dropped():
    views = shared(100).only(["behaviour"])
    reduced = principal_views(views, 24).vectors["behaviour"].astype(float)
    centred = views.vectors["behaviour"] - views.vectors["behaviour"].mean(0, dtype=float)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(reduced @ reduced.T, centred @ centred.T, atol=1e-5)


def test_what_cannot_be_is_refused():
    views = shared(50)
    with pytest.raises(InputError, match="nothing to align"):
        fit_alignment(views.only(["text"]))
    for options in ({"dim": 0}, {"lr": 0.0}, {"temperature": 5.0}):
        with pytest.raises(SettingError):
            fit_alignment(views, **options)
    with pytest.raises(InputError, match="no pairs"):
        fit_alignment(views, pairs_weight=1.0)
    with pytest.raises(InputError, match="does not exist"):
        fit_alignment(views, pairs=np.array([[0, 50]]), pairs_weight=1.0)
    made = fit_alignment(views, 4, epochs=1)
    with pytest.raises(InputError, match="3 wide"):
        made.transform(Views.from_arrays({"text": np.ones((2, 3))}))
