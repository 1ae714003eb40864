"""Codes are brute-force nearest centres, survive refresh and disk, and keep the caps they promise."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.semantics import CascadedCodebooks, Views, VQSettings
from motherlode.semantics import codebooks as room
from motherlode.semantics.balance import capped_nearest
from motherlode.semantics.cascade import Cascade, residuals
from motherlode.semantics.kmeans_backend import fit_kmeans
from motherlode.semantics.matching import match
from semantics_case import clustered

QUICK = VQSettings(steps=60, batch=256)


def brute(books, views):
    """Both codes by float64 loops over items and centres, and the gap between the best two centres."""
    cascade = books.cascade
    names = views.names
    primary, secondary, gaps = [], [], []
    for row in range(len(views)):
        held = [views.vectors[n][row].astype(float) for n in names if views.present[n][row]]
        first = np.square(np.mean(held, axis=0) - cascade.primary.astype(float)).sum(1)
        p = int(first.argmin())
        blocks = [
            views.vectors[n][row] - cascade.primary[p].astype(float) if views.present[n][row] else np.zeros(views.width)
            for n in names
        ]
        marks = [0.0 if views.present[n][row] else cascade.marks[m] for m, n in enumerate(names)]
        book = p if len(cascade.secondary) > 1 else 0
        second = np.square(np.concatenate([*blocks, marks]) - cascade.secondary[book].astype(float)).sum(1)
        second[~cascade.used[book]] = np.inf
        primary.append(p)
        secondary.append(int(second.argmin()))
        gaps.append(min(np.diff(np.sort(first)[:2])[0], np.diff(np.sort(second)[:2])[0]))
    return np.array(primary), np.array(secondary), np.array(gaps)


@pytest.mark.parametrize(
    "options",
    [{}, {"per_primary": True}, {"backend": "vq", "vq": QUICK}, {"backend": "vq", "per_primary": True, "vq": QUICK}],
)
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_codes_are_the_nearest_centres(options, missing):
    views, _ = clustered(1_000, missing=missing)
    books = CascadedCodebooks(24, 6, **options).fit(views)
    others, _ = clustered(400, missing=missing, draw=1)  # items that the fit has not seen
    codes = books.assign(others)
    primary, secondary, gaps = brute(books, others)
    clear = gaps > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(codes.primary[clear], primary[clear])
    np.testing.assert_array_equal(codes.secondary[clear], secondary[clear])
    assert codes.primary.dtype == codes.secondary.dtype == np.int32
    assert codes.primary_centres.shape == (24, 16) and codes.coded.all()


def test_one_view_works_and_chunks_change_nothing():
    views, _ = clustered(900, views=1)
    books = CascadedCodebooks(20, 4).fit(views)
    whole = books.assign(views)
    parts = [books.assign(views.take(slice(start, start + 100))) for start in range(0, 900, 100)]
    np.testing.assert_array_equal(whole.leaf, np.concatenate([part.leaf for part in parts]))


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_residual_holds_distance_and_disagreement(seed, count):
    """‖r‖² = M ‖x̄ - c‖² + Σ_m ‖x^m - x̄‖²."""
    views, _ = clustered(30, views=count, seed=seed)
    block = views.block(slice(None))
    centres = np.random.default_rng(seed).standard_normal((30, 16)).astype(np.float32) / 4
    residual = residuals(block, centres, np.full(count, 7, np.float32)).astype(np.float64)
    mean = block.vectors.astype(np.float64).mean(1)
    apart = np.square(block.vectors - mean[:, None]).sum((1, 2))
    expected = count * np.square(mean - centres).sum(1) + apart
    np.testing.assert_allclose(np.square(residual).sum(1), expected, rtol=1e-6)


def test_a_missing_view_leaves_a_zero_block_and_a_mark():
    views, _ = clustered(50, missing=0.5)
    block = views.block(slice(None))
    residual = residuals(block, np.ones((50, 16), np.float32), np.array([1, 2, 3], np.float32))
    for row, m in zip(*np.nonzero(~block.present), strict=True):
        assert (residual[row, 16 * m : 16 * (m + 1)] == 0).all() and residual[row, 48 + m] == m + 1
    for row, m in zip(*np.nonzero(block.present), strict=True):
        np.testing.assert_array_equal(residual[row, 16 * m : 16 * (m + 1)], block.vectors[row, m] - 1)
        assert residual[row, 48 + m] == 0


def test_the_fit_is_as_good_as_bare_faiss():
    views, _ = clustered(5_000, views=1, width=24)
    points = views.block(slice(None)).mean()
    bare = faiss.Kmeans(24, 64, niter=25, seed=3, min_points_per_centroid=1)
    bare.train(points)
    ours = CascadedCodebooks(64, 8).fit(views)
    error = np.square(points - ours.cascade.primary[ours.assign(views).primary]).sum()
    assert error <= 1.01 * bare.index.search(points, 1)[0].sum()


@pytest.mark.parametrize("backend", ["kmeans", "vq"])
def test_fits_repeat_and_saved_is_loaded(backend, tmp_path):
    views, _ = clustered(800, missing=0.2)
    made = [CascadedCodebooks(16, 4, backend, seed=5, vq=QUICK).fit(views) for _ in range(2)]
    assert made[0].fingerprint() == made[1].fingerprint()
    assert CascadedCodebooks(16, 4, backend, seed=6, vq=QUICK).fit(views).fingerprint() != made[0].fingerprint()
    made[0].save(tmp_path / "books")
    opened = CascadedCodebooks.load(tmp_path / "books")
    assert opened.fingerprint() == made[0].fingerprint() and opened.facts == made[0].facts
    np.testing.assert_array_equal(opened.assign(views).leaf, made[0].assign(views).leaf)
    file = tmp_path / "books" / "codebooks.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(InputError, match="damaged"):
        CascadedCodebooks.load(tmp_path / "books")
    with pytest.raises(MissingError, match="no codebooks"):
        CascadedCodebooks.load(tmp_path)


@pytest.mark.parametrize("options", [{}, {"per_primary": True}, {"backend": "vq", "vq": QUICK}])
def test_ids_are_stable_after_a_refresh(options):
    """A tenth of the items is new; the others' views have moved a little."""
    views, _ = clustered(2_000)
    books = CascadedCodebooks(32, 4, **options).fit(views)
    before = books.assign(views)
    rng = np.random.default_rng(9)
    fresh, _ = clustered(200, draw=2)
    moved = {n: a + 0.05 * rng.standard_normal(a.shape) / 4 for n, a in views.vectors.items()}
    later = Views.from_arrays({n: np.concatenate([moved[n], fresh.vectors[n]]) for n in views.names})
    after = books.refresh(later).assign(later)
    assert (after.primary[:2_000] == before.primary).mean() > 0.9
    assert (after.leaf[:2_000] == before.leaf).mean() > 0.7
    cold = CascadedCodebooks(32, 4, **(options | {"seed": 1})).fit(later).assign(later)
    assert (cold.primary[:2_000] == before.primary).mean() < 0.3
    assert 0 < books.facts["moved"] < 0.3


@pytest.mark.parametrize("per_primary", [False, True])
def test_a_back_end_that_shuffles_its_codes_renames_nobody(per_primary, monkeypatch):
    """K-means keeps the order of its start but for cells that it splits anew: here it keeps none of it."""
    views, _ = clustered(1_000)
    books = CascadedCodebooks(24, 4, per_primary=per_primary).fit(views)
    before = books.assign(views)

    def shuffled(*given):
        found, rng = fit_kmeans(*given), np.random.default_rng(4)
        cells, fine = rng.permutation(24), rng.permutation(4)
        rows = cells if per_primary else [0]
        secondary, used = found.secondary[rows][:, fine], found.used[rows][:, fine]
        return Cascade(found.primary[cells], secondary, used, found.marks)

    monkeypatch.setattr(room, "fit_kmeans", shuffled)
    after = books.refresh(views).assign(views)
    assert (after.primary == before.primary).mean() > 0.97 and (after.leaf == before.leaf).mean() > 0.9


def test_matching_undoes_a_permutation():
    rng = np.random.default_rng(0)
    old = rng.standard_normal((40, 8)).astype(np.float32)
    order = rng.permutation(40)
    np.testing.assert_array_equal(order[match(old, old[order] + np.float32(1e-3))], np.arange(40))


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 60), st.floats(1, 3))
@settings(max_examples=60)
def test_capped_cells_are_a_stable_assignment(seed, cells, count, balance):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, 3)).astype(np.float32)
    centres = rng.standard_normal((cells, 3)).astype(np.float32)
    cap = int(np.ceil(balance * count / cells))
    cell = capped_nearest(points, centres, cap)
    assert np.bincount(cell, minlength=cells).max() <= cap
    distance = np.square(points[:, None].astype(float) - centres).sum(2)
    own = distance[np.arange(count), cell]
    for row in range(count):
        for nearer in np.flatnonzero(distance[row] < own[row] - 1e-5):
            members = np.flatnonzero(cell == nearer)
            assert len(members) == cap and (own[members] <= distance[row, nearer] + 1e-5).all()


def test_balance_caps_the_catalogue_and_leaves_few_new_items_alone():
    rng = np.random.default_rng(0)
    crowd = np.concatenate([0.05 * rng.standard_normal((900, 8)) + 1, rng.standard_normal((100, 8))])
    views = Views.from_arrays({"a": crowd})
    free = CascadedCodebooks(20, 2).fit(views)
    capped = CascadedCodebooks(20, 2, balance=1.2).fit(views)
    assert np.bincount(capped.assign(views).primary).max() <= 60
    few = views.take(slice(0, 50))
    np.testing.assert_array_equal(capped.assign(few).primary, brute(capped, few)[0])
    assert np.bincount(free.assign(views).primary).max() > 60


def test_items_without_views_are_spread_like_the_others():
    views, _ = clustered(3_000, views=1)
    views.present["v0"][1_000:] = False
    books = CascadedCodebooks(8, 2).fit(views)
    assert books.facts["items"] == 1_000
    codes = books.assign(views)
    assert codes.coded[:1_000].all() and not codes.coded[1_000:].any()
    known = np.bincount(codes.leaf[:1_000], minlength=16) / 1_000
    drawn = np.bincount(codes.leaf[1_000:], minlength=16)
    kept = known > 0
    assert drawn[~kept].sum() == 0
    chi = (np.square(drawn - 2_000 * known)[kept] / (2_000 * known[kept])).sum()
    assert chi < 45  # 15 degrees of freedom: 37.7 at one in a thousand
    np.testing.assert_array_equal(codes.leaf, books.assign(views).leaf)


def test_small_cells_get_fewer_codes_of_their_own():
    views, _ = clustered(60, views=2)
    books = CascadedCodebooks(20, 8, per_primary=True).fit(views)
    codes = books.assign(views)
    assert not books.cascade.used.all() and books.cascade.used.any(axis=1).all()
    assert books.cascade.used[codes.primary, codes.secondary].all()


def test_what_cannot_be_is_refused():
    views, _ = clustered(30)
    for options in ({"primary": 0}, {"secondary": 0}, {"backend": "x"}, {"balance": 0.5}):
        with pytest.raises(SettingError):
            CascadedCodebooks(**options)
    with pytest.raises(SettingError, match="there are 30: ask for fewer primary"):
        CascadedCodebooks(31, 2).fit(views)
    copies = Views.from_arrays({"a": np.tile(np.eye(3), (20, 1))})
    with pytest.raises(SettingError, match="there are 3: ask for fewer primary"):
        CascadedCodebooks(4, 1).fit(copies)
    with pytest.raises(MissingError, match="no centres"):
        CascadedCodebooks(4, 2).assign(views)
    with pytest.raises(InputError, match="made from the views"):
        CascadedCodebooks(4, 2).fit(views).assign(views.only(["v1"]))
    with pytest.raises(InputError, match="nothing to make codes from"):
        CascadedCodebooks(4, 2).fit(Views.from_arrays({"a": np.zeros((5, 3))}))
