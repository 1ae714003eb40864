"""What item number n is: a function of (seed, n) alone, so any item can be had without the others."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from motherlode.shop.assortment import SLOTS, assortment
from motherlode.shop.hashing import below, generator, uniform

BLOCK = 4  # items that share a leaf category and may share a family
ORIGINAL, VARIANT, DUPLICATE = 0, 1, 2
ROLES = ("original", "variant", "duplicate")
# A block follows one layout: where in the block each item's family head is, and what the item is to it.
HEADS = np.array([[0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 2, 2]])
PARTS = np.array(
    [
        [ORIGINAL, ORIGINAL, ORIGINAL, ORIGINAL],
        [ORIGINAL, VARIANT, VARIANT, VARIANT],
        [ORIGINAL, DUPLICATE, ORIGINAL, VARIANT],
    ]
)
LAYOUT_SHARES = (0.40, 0.35, 0.25)
STYLES = 5  # hidden looks of a leaf category: in image and behaviour views and in tastes, never in words
UNSTATED = -1


class Codes(NamedTuple):
    """What n items are, or what n queries ask for (UNSTATED where they do not say)."""

    leaf: NDArray[np.int64]  # [n]
    brand: NDArray[np.int64]  # [n]
    values: NDArray[np.int64]  # [n, SLOTS] value numbers of the leaf's attributes

    def take(self, rows: NDArray[np.integer]) -> "Codes":
        """The rows asked for."""
        return Codes(self.leaf[rows], self.brand[rows], self.values[rows])


def family(seed: int, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of each item's family head (itself for an original) and its role, both int64 [n]."""
    block, place = np.divmod(np.asarray(numbers, dtype=np.int64), BLOCK)
    layout = np.searchsorted(np.cumsum(LAYOUT_SHARES)[:-1], uniform(seed, "layout", block), side="right")
    return block * BLOCK + HEADS[layout, place], PARTS[layout, place]


def codes(seed: int, numbers: NDArray[np.int64]) -> Codes:
    """Leaf, brand and attribute values of each item.

    A family shares leaf and brand. A duplicate has all of its head's values; a variant differs from its head
    and from its siblings in the leaf's last attribute, by its place in the block.
    """
    shop = assortment()
    numbers = np.asarray(numbers, dtype=np.int64)
    head, role = family(seed, numbers)
    entries = schedule(seed)
    leaf = entries[numbers // BLOCK % len(entries)]
    brand = shop.first_brand[leaf] + below(seed, "brand", head, shop.brand_count[leaf], skew=1.5)
    sizes = shop.sizes[leaf]
    values = np.stack([below(seed, f"value {slot}", head, sizes[:, slot], skew=1.2) for slot in range(SLOTS)], axis=1)
    rows = np.arange(len(numbers))
    last = (sizes > 0).sum(axis=1) - 1
    shift = np.where(role == VARIANT, numbers - head, 0)
    values[rows, last] = (values[rows, last] + shift) % sizes[rows, last]
    return Codes(leaf, brand, np.where(sizes > 0, values, UNSTATED))


def styles(seed: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The hidden look of each item, 0 to STYLES - 1, one a family."""
    return below(seed, "style", family(seed, numbers)[0], STYLES)


def popularity(seed: int, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """How well each item sells on its own merit: Pareto with shape 1.5 from 1, cut at about 100."""
    return np.maximum(1 - uniform(seed, "popularity", numbers), 1e-3) ** (-1 / 1.5)


@lru_cache(maxsize=8)
def schedule(seed: int) -> NDArray[np.int64]:
    """The leaf of block b is entry b modulo the length: every leaf once, big ones up to eight times."""
    leaves = generator(seed, "leaf sizes").permutation(len(assortment().paths))
    repeats = np.maximum(1, np.round(8 / np.sqrt(1 + np.arange(len(leaves))))).astype(np.int64)
    entries = generator(seed, "leaf order").permutation(np.repeat(leaves, repeats))
    # Every leaf appears once before any appears again, so that even a small shop sells of everything.
    first = np.sort(np.unique(entries, return_index=True)[1])
    return np.concatenate([entries[first], np.delete(entries, first)])


@lru_cache(maxsize=8)
def _entries(seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each leaf stands in the schedule: [L, most] padded by repeating, and the counts [L]."""
    entries = schedule(seed)
    counts = np.bincount(entries)
    order = np.argsort(entries, kind="stable")
    starts = np.cumsum(counts) - counts
    column = np.arange(counts.max())[None, :] % counts[:, None]
    return order[starts[:, None] + column], counts


def members(seed: int, leaf: int, items: int) -> NDArray[np.int64]:
    """Every item number of one leaf in a shop of `items`, ascending."""
    length = len(schedule(seed))
    where, counts = _entries(seed)
    periods = np.arange(-(-items // (length * BLOCK)))
    blocks = periods[:, None] * length + np.sort(where[leaf, : counts[leaf]])
    numbers = (blocks[:, :, None] * BLOCK + np.arange(BLOCK)).ravel()
    return numbers[numbers < items]


def draw_members(
    seed: int, leaves: NDArray[np.int64], items: int, rng: np.random.Generator, skew: float = 1.0
) -> NDArray[np.int64]:
    """One random member of each leaf given, the shape of `leaves`; -1 where a small shop lacks the draw.

    No member list is needed: an entry of the leaf in the schedule, a period and a place in the block make
    the number. A skew above 1 favours low numbers (older listings) with density ∝ n^(1/skew − 1).
    """
    length = len(schedule(seed))
    where, counts = _entries(seed)
    entry = where[leaves, (rng.random(leaves.shape) * counts[leaves]).astype(np.int64)]
    periods = -(-items // (length * BLOCK))
    period = (rng.random(leaves.shape) ** skew * periods).astype(np.int64)
    place = rng.integers(BLOCK, size=leaves.shape)
    oldest = entry * BLOCK + place  # of period 0: stands in for a number past the end of the catalogue
    numbers = period * length * BLOCK + oldest
    return np.where(numbers < items, numbers, np.where(oldest < items, oldest, -1))


def item_ids(numbers: NDArray[np.int64]) -> list[str]:
    """The ids of item numbers: `i` and at least eight digits."""
    return [f"i{number:08d}" for number in numbers.tolist()]


def batches(count: int, size: int) -> Iterator[NDArray[np.int64]]:
    """The numbers 0 to count-1 in runs of at most `size`."""
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
