"""What users looked at and bought: hidden tastes, popularity and a drift along each journey."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from motherlode.shop.assortment import assortment
from motherlode.shop.hashing import below, generator
from motherlode.shop.items import STYLES, codes, draw_members, popularity, styles

TASTES = 24
LEAVES_PER_TASTE = 12
LENGTHS = (5, 40)  # events of a user: geometric from the first, cut at the second
CONSIDERED = 12  # items a user weighs before each event
START = np.datetime64("2024-01-01T00:00:00", "us")
EVENTS = ("view", "add", "purchase")


class Journeys(NamedTuple):
    """One row per event, users side by side, each in time order."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    time: NDArray[np.datetime64]
    event: NDArray[np.int64]  # index into EVENTS: the deepest step that this visit to the item reached


def tastes(seed: int, users: NDArray[np.int64]) -> NDArray[np.int64]:
    """The hidden taste of each user, 0 to TASTES - 1."""
    return below(seed, "taste", users, TASTES, skew=1.3)


def travel(seed: int, items: int, first: int, last: int) -> Journeys:
    """The journeys of users first to last-1.

    A taste is a row of LEAVES_PER_TASTE leaves, a liked style, one liked brand a department and one liked
    value a leaf slot. At step t of T a user looks, with chance 0.75, in one of four neighbouring leaves of
    that row, whose start drifts from the row's beginning to its end as t/T grows; with 0.15 in a complement
    of such a leaf; else anywhere. Of CONSIDERED members drawn there (older listings more often: density ∝
    n^(-1/2)) the user takes the one with the highest 1.2 · style match + 0.8 · brand match + 0.8 · share of
    liked values + 0.6 · log popularity + Gumbel noise. Add and purchase follow with chances 0.15 and 0.1,
    doubled on a style match. Hours between events are exponential.
    """
    shop = assortment()
    rng = generator(seed, "journeys", first)
    lengths = np.minimum(LENGTHS[0] + rng.geometric(0.08, last - first) - 1, LENGTHS[1])
    user = np.repeat(np.arange(first, last), lengths)
    starts = np.cumsum(lengths) - lengths
    step = np.arange(len(user)) - np.repeat(starts, lengths)
    leaves, style, brands, values = _taste_tables(seed)
    taste = tastes(seed, user)

    progress = step / np.repeat(lengths, lengths)
    place = (progress * (LEAVES_PER_TASTE - 3)).astype(np.int64) + rng.integers(4, size=len(user))
    leaf = leaves[taste, place]
    ties = shop.complements[leaf]
    chance = rng.random(len(user))
    related = (rng.random(ties.shape) * ties).argmax(axis=1)
    leaf = np.where((chance >= 0.75) & (chance < 0.9) & ties.any(axis=1), related, leaf)
    anywhere = rng.integers(len(shop.paths), size=len(user))
    leaf = np.where(chance >= 0.9, anywhere, leaf)

    drawn = draw_members(seed, np.repeat(leaf[:, None], CONSIDERED, axis=1), items, rng, skew=2.0)
    flat = np.maximum(drawn, 0).ravel()
    item = codes(seed, flat)
    matches = styles(seed, flat).reshape(drawn.shape) == style[taste, None]
    who = np.repeat(taste, CONSIDERED)
    liked = (item.brand == brands[who, item.leaf]) + (item.values == values[who, item.leaf]).mean(axis=1)
    log_popularity = np.log(popularity(seed, flat)).reshape(drawn.shape)
    appeal = 1.2 * matches + 0.8 * liked.reshape(drawn.shape) + 0.6 * log_popularity
    appeal = np.where(drawn >= 0, appeal + rng.gumbel(size=drawn.shape), -np.inf)
    best = appeal.argmax(axis=1)[:, None]
    # In a tiny shop a whole draw can fall outside the catalogue: such a visit leaves no event.
    found = np.take_along_axis(drawn, best, axis=1)[:, 0]

    boost = 1 + np.take_along_axis(matches, best, axis=1)[:, 0]
    luck = rng.random(len(user))
    event = np.where(luck < 0.1 * boost, 2, np.where(luck < 0.25 * boost, 1, 0))
    waits = np.maximum(1, rng.exponential(36 * 3600, len(user))).astype(np.int64)
    waits[starts] = rng.integers(0, 300 * 24 * 3600, size=len(starts))
    since = np.cumsum(waits)
    since -= np.repeat(since[starts] - waits[starts], lengths)
    kept = found >= 0
    time = START + since.astype("timedelta64[s]")
    return Journeys(user[kept], found[kept], time[kept], event[kept])


@lru_cache(maxsize=8)
def _taste_tables(
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each taste its row of leaves, its style, and the brand [., L] and values [., L, SLOTS] it likes."""
    shop = assortment()
    rng = generator(seed, "tastes")
    leaves = np.stack([rng.permutation(len(shop.paths))[:LEAVES_PER_TASTE] for _ in range(TASTES)])
    style = rng.integers(STYLES, size=TASTES)
    brands = shop.first_brand + (rng.random((TASTES, 1)) * shop.brand_count).astype(np.int64)
    values = (rng.random((TASTES, *shop.sizes.shape)) * shop.sizes).astype(np.int64)
    return leaves, style, brands, values
