"""The parts of the generated shop: hashing, words, item arithmetic, views, journeys and clicks."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.shop import hashing, items, queries
from motherlode.shop.assortment import HARD, assortment
from motherlode.shop.engagement import ATTRACTION, ETA, PAGE, engage
from motherlode.shop.interactions import TASTES, tastes, travel
from motherlode.shop.judgements import candidates
from motherlode.shop.titles import descriptions, titles
from motherlode.shop.views import VIEWS, clusters, vectors

MASK = (1 << 64) - 1


def splitmix(state: int) -> int:
    """One output of splitmix64 after `state` has been advanced, in plain whole numbers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def test_the_plain_splitmix_gives_the_published_sequence() -> None:
    golden, seed = 0x9E3779B97F4A7C15, 1234567
    assert [splitmix((seed + k * golden) & MASK) for k in (1, 2, 3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@given(st.integers(0, 2**31), st.text(max_size=8), st.lists(st.integers(0, 2**40), min_size=1, max_size=5))
def test_hashed_is_splitmix(seed: int, stream: str, rows: list[int]) -> None:
    key = int.from_bytes(hashlib.blake2b(f"{seed}:{stream}".encode(), digest_size=8).digest(), "little")
    expected = [splitmix((key + row * 0x9E3779B97F4A7C15) & MASK) for row in rows]
    assert hashing.hashed(seed, stream, np.array(rows)).tolist() == expected


def test_uniform_and_normal_have_their_moments() -> None:
    rows = np.arange(200_000)
    draws = hashing.uniform(0, "a", rows)
    assert draws.min() >= 0 and draws.max() < 1
    # Kolmogorov–Smirnov at the 1 % level.
    assert np.abs(np.sort(draws) - (rows + 0.5) / len(rows)).max() < 1.63 / np.sqrt(len(rows))
    normal = hashing.normal(0, "a", rows[:20_000], 8).astype(np.float64)
    assert normal.mean() == pytest.approx(0, abs=0.01) and normal.std() == pytest.approx(1, abs=0.01)
    assert np.abs(np.corrcoef(normal.T) - np.eye(8)).max() < 0.04
    assert np.abs(np.corrcoef(draws, hashing.uniform(0, "b", rows))[0, 1]) < 0.01


def test_words_are_unambiguous() -> None:
    shop = assortment()
    nouns = Counter(shop.phrases[n].lower() for row in shop.nouns for n in row if n >= 0)
    assert nouns.most_common(1)[0][1] == 1
    brands = {brand.lower() for brand in shop.brands}
    assert len(brands) == len(shop.brands)
    for leaf, path in enumerate(shop.paths):
        assert 2 <= len(path) <= 4
        used = [slot for slot in shop.slots[leaf] if slot >= 0]
        assert used and shop.sizes[leaf, len(used) - 1] >= items.BLOCK  # variants of a block must all differ
        assert (shop.kinds[leaf, 1:] != HARD).all()  # a hard attribute stands first
        spellings = shop.spellings[used]
        forms = [shop.phrases[n].lower() for n in spellings[spellings >= 0]]
        assert len(set(forms)) == len(forms), path
        assert not set(forms) & (brands | set(nouns)), path
    assert not shop.complements.diagonal().any()


@given(
    st.integers(0, 50),
    st.lists(st.integers(0, 10_000_000), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_an_item_depends_on_its_number_alone(seed: int, numbers: list[int], order: object) -> None:
    alone = [whole_item(seed, [number])[0] for number in numbers]
    assert whole_item(seed, numbers) == alone
    shuffled = sorted(numbers, key=lambda _: order.random())  # type: ignore[attr-defined]
    assert Counter(map(str, whole_item(seed, shuffled))) == Counter(map(str, alone))


def whole_item(seed: int, numbers: list[int]) -> list[tuple]:
    rows = np.array(numbers)
    codes = items.codes(seed, rows)
    views = [vectors(seed, view, rows)[0].tolist() for view in VIEWS]
    text = titles(seed, rows, codes).to_pylist(), descriptions(seed, rows, codes).to_pylist()
    return list(zip(codes.leaf.tolist(), codes.brand.tolist(), codes.values.tolist(), *text, *views, strict=True))


@pytest.mark.parametrize("count", [100, 533, 2000, 7777])
def test_members_are_all_items_of_the_leaf(count: int) -> None:
    leaf = items.codes(3, np.arange(count)).leaf
    for one in range(len(assortment().paths)):
        assert items.members(3, one, count).tolist() == np.flatnonzero(leaf == one).tolist()
    wanted = np.random.default_rng(0).integers(len(assortment().paths), size=(500, 8))
    drawn = items.draw_members(3, wanted, count, np.random.default_rng(1))
    found = drawn >= 0
    assert (drawn < count).all() and (leaf[drawn[found]] == wanted[found]).all()
    present = np.isin(wanted, leaf)
    assert not found[~present].any()
    assert count < 700 or found.all()


def test_every_member_can_be_drawn_and_skew_favours_old_listings() -> None:
    own = items.members(0, 5, 20_000)
    rng = np.random.default_rng(0)
    drawn = items.draw_members(0, np.full(60 * len(own), 5), 20_000, rng)
    assert set(drawn.tolist()) == set(own.tolist())
    skewed = items.draw_members(0, np.full(60 * len(own), 5), 20_000, rng, skew=2.0)
    # Under density n^(-1/2) a share sqrt(1/4) = 1/2 of the draws falls into the oldest quarter.
    assert (skewed < 5_000).mean() == pytest.approx(0.5, abs=0.06)
    assert (drawn < 5_000).mean() == pytest.approx(0.25, abs=0.06)


@given(st.text("abcdefghijklmnopqrstuvwxyz ", min_size=1, max_size=30).filter(str.strip), st.integers(0, 999))
def test_a_misspelling_is_one_small_slip(text: str, seed: int) -> None:
    slipped = queries.misspell(text, np.random.default_rng(seed))
    assert abs(len(slipped) - len(text)) <= 1
    assert slipped.count(" ") == text.count(" ")
    before, after = Counter(text), Counter(slipped)
    assert (before - after).total() + (after - before).total() <= 2


def test_views_hold_the_cluster_and_miss_what_they_should() -> None:
    numbers = np.arange(6000)
    cluster = clusters(0, numbers)
    leaf = items.codes(0, numbers).leaf
    same_leaf = (leaf[:, None] == leaf) & ~np.eye(len(leaf), dtype=bool)
    same_cluster = same_leaf & (cluster[:, None] == cluster)
    gains = {}
    for view, (_, _, missing) in VIEWS.items():
        made, present = vectors(0, view, numbers)
        assert made.dtype == np.float32 and np.isfinite(made).all()
        assert 1 - present.mean() == pytest.approx(missing, abs=0.015)
        unit = made / np.linalg.norm(made, axis=1, keepdims=True)
        cosines = unit @ unit.T
        within, across = cosines[same_leaf & ~same_cluster].mean(), cosines[~same_leaf].mean()
        assert within > across + 0.2, view
        # The text view cannot see the style (brand, which families share, is worth a little to it).
        gains[view] = cosines[same_cluster].mean() - within
    assert gains["image"] > gains["text"] + 0.15 and gains["behaviour"] > gains["text"] + 0.1


def test_journeys_follow_taste_time_and_popularity() -> None:
    shop_items, users = 20_000, 1500
    made = travel(0, shop_items, 0, users)
    assert set(made.user.tolist()) == set(range(users))
    assert (np.diff(made.user) >= 0).all()
    same = np.diff(made.user) == 0
    assert (np.diff(made.time)[same] > np.timedelta64(0)).all()
    assert np.bincount(made.user).min() >= 5 and np.bincount(made.user).max() <= 40

    taste = tastes(0, made.user)
    style = items.styles(0, made.item)
    # Blind choice would meet a taste's commonest style once in STYLES times.
    top = sum(np.bincount(style[taste == t]).max() for t in range(TASTES)) / len(style)
    assert top > 1.5 / items.STYLES
    leaf = items.codes(0, made.item).leaf
    first = np.flatnonzero(np.diff(made.user, prepend=-1))
    last = np.append(first[1:], len(made.user)) - 1
    liked = {t: set(leaf[first][taste[first] == t].tolist()) for t in range(TASTES)}
    at_start = np.mean([leaf[k] in liked[taste[k]] for k in first + 1])
    at_end = np.mean([leaf[k] in liked[taste[k]] for k in last])
    assert at_end < at_start - 0.1  # the drift
    counts = np.sort(np.bincount(made.item, minlength=shop_items))[::-1]
    even = np.sort(np.bincount(np.random.default_rng(0).integers(shop_items, size=len(made.item))))[::-1]
    assert counts[: shop_items // 20].sum() > 1.3 * even[: shop_items // 20].sum()
    events = np.bincount(made.event) / len(made.event)
    assert events[0] > events[1] > events[2] > 0.05


def test_clicks_nest_and_follow_the_click_model() -> None:
    drawn = queries.draw(1, 5000, 600)
    pool = candidates(1, 5000, drawn, 0, 600)
    shown = engage(1, pool, drawn)
    assert (shown.impressions >= shown.clicks).all() and (shown.clicks >= shown.adds).all()
    assert (shown.adds >= shown.purchases).all() and shown.purchases.min() >= 0
    assert shown.purchases.sum() > 0 and shown.rank.max() == PAGE
    for query in range(0, 600, 50):
        assert shown.rank[shown.query == query].tolist() == list(range(1, (shown.query == query).sum() + 1))

    truth = {(q, i): g for q, i, g in zip(pool.query, pool.item, pool.grade, strict=True)}
    grades = np.array([truth[pair] for pair in zip(shown.query, shown.item, strict=True)])
    assert grades[shown.rank <= 5].mean() > grades[shown.rank > 15].mean() + 0.2
    for grade in (1, 2):
        for rank in (1, 4, 12):
            rows = (grades == grade) & (shown.rank == rank)
            expected = rank**-ETA * np.minimum(0.95, ATTRACTION[grade] * shown.appeal[rows])
            want = (shown.impressions[rows] * expected).sum()
            assert shown.clicks[rows].sum() == pytest.approx(want, abs=4 * np.sqrt(want) + 1)
