"""What shoppers ask for: from head to tail, broad to narrow, in their own words and spelling."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from motherlode.errors import SettingError
from motherlode.shop.assortment import SLOTS, assortment
from motherlode.shop.hashing import generator
from motherlode.shop.items import UNSTATED, Codes, codes
from motherlode.shop.titles import join, pick, value_forms

BROADNESS = ("category", "category+attribute", "category+brand", "narrow")
SHARES = (0.2, 0.35, 0.2, 0.25)
ORDERS = np.array([[0, 1, 2, 3, 4, 5], [0, 1, 5, 2, 3, 4], [0, 5, 2, 3, 4, 1], [0, 3, 1, 2, 4, 5]])
MISSPELT = 0.15  # share of queries
TURNS = 6  # how often to draw again when too many texts were drawn before
NEIGHBOURS = {
    letter: row[max(0, place - 1) : place] + row[place + 1 : place + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for place, letter in enumerate(row)
}


@dataclass(frozen=True)
class Queries:
    """Q queries: what they say and what they mean."""

    texts: list[str]  # as typed, all different
    clean: list[str]  # without slips of the keyboard
    codes: Codes
    broadness: NDArray[np.int64]  # [Q] index into BROADNESS
    targets: NDArray[np.int64]  # [Q] an item that meets every stated constraint
    frequency: NDArray[np.int64]  # [Q]


def draw(seed: int, items: int, count: int) -> Queries:
    """`count` different queries, each about a random item and hence with at least one item of grade 2.

    How much a query states follows SHARES; its frequency is Zipf, f_r = max(1, round(10 · count / r)), and
    broad queries rank ahead of narrow ones with some overlap. Raises SettingError where so small a shop has
    not so many.
    """
    texts: dict[str, str] = {}
    kept: list[tuple[Codes, NDArray[np.int64], NDArray[np.int64]]] = []
    for turn in range(TURNS):
        if len(texts) >= count:
            break
        rng = generator(seed, "queries", turn)
        size = count + 200
        targets = rng.integers(items, size=size)
        broadness = rng.choice(len(SHARES), p=SHARES, size=size)
        asked = _ask(codes(seed, targets), broadness, rng)
        clean = _phrase(asked, rng)
        typed = [misspell(text, rng) if rng.random() < MISSPELT else text for text in clean]
        rows = []
        for row, (said, meant) in enumerate(zip(typed, clean, strict=True)):
            if said not in texts and len(texts) < count:
                texts[said] = meant
                rows.append(row)
        kept.append((asked.take(np.array(rows, dtype=np.int64)), broadness[rows], targets[rows]))
    if len(texts) < count:
        raise SettingError(
            f"A generated shop of {items:,} items has fewer than {count:,} different queries: "
            "ask for fewer queries or more items."
        )
    asked = Codes(*(np.concatenate(parts) for parts in zip(*(part[0] for part in kept), strict=True)))
    broadness = np.concatenate([part[1] for part in kept])
    rank = np.argsort(np.argsort(broadness + 2.0 * generator(seed, "frequency").random(count)))
    return Queries(
        texts=list(texts),
        clean=list(texts.values()),
        codes=asked,
        broadness=broadness,
        targets=np.concatenate([part[2] for part in kept]),
        frequency=np.maximum(1, np.round(10 * count / (1 + rank))).astype(np.int64),
    )


def misspell(text: str, rng: np.random.Generator) -> str:
    """One slip in the longest word: a letter dropped, doubled, swapped with the next or mistyped."""
    word = max(text.split(), key=len)
    if len(word) < 4:
        return text
    at = int(rng.integers(1, len(word) - 1))
    letter = word[at]
    slips = (
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + word[at + 1] + letter + word[at + 2 :],
        word[:at] + str(rng.choice(list(NEIGHBOURS.get(letter, letter)))) + word[at + 1 :],
    )
    return text.replace(word, slips[int(rng.integers(len(slips)))], 1)


def query_ids(numbers: NDArray[np.integer]) -> list[str]:
    """The ids of query numbers: `q` and at least six digits."""
    return [f"q{number:06d}" for number in numbers.tolist()]


def _ask(target: Codes, broadness: NDArray[np.int64], rng: np.random.Generator) -> Codes:
    """The part of each target's codes that its query states."""
    has = target.values >= 0
    lottery = np.where(has, rng.random(has.shape), -1.0)
    one = np.arange(SLOTS) == lottery.argmax(axis=1)[:, None]
    most = one | (has & (rng.random(has.shape) < 0.7))
    stated = ((broadness == 1)[:, None] & one) | ((broadness == 3)[:, None] & most)
    return Codes(
        target.leaf,
        np.where(broadness >= 2, target.brand, UNSTATED),
        np.where(stated, target.values, UNSTATED),
    )


def _phrase(asked: Codes, rng: np.random.Generator) -> list[str]:
    """The words of each query: any synonym, any spelling, one of four orders, at times an empty word."""
    shop = assortment()
    count = len(asked.leaf)
    noise = rng.choice(shop.query_noise, size=count)
    nouns = np.where((rng.random(count) < 0.3)[:, None], shop.plurals[asked.leaf], shop.nouns[asked.leaf])
    parts = np.column_stack(
        [
            np.where(rng.random(count) < 0.06, noise, -1),
            np.where(asked.brand >= 0, shop.brand_phrases[asked.brand], -1),
            *(pick(value_forms(asked, slot), rng.random(count)) for slot in range(SLOTS)),
            pick(nouns, rng.random(count), skew=1.0),
        ]
    )
    ordered = np.take_along_axis(parts, ORDERS[rng.integers(len(ORDERS), size=count)], axis=1)
    return [text.lower() for text in join(pa.array(shop.phrases), ordered).to_pylist()]
