"""The words an item is listed with: order, spelling, noise and omissions differ from item to item."""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from motherlode.shop.assortment import SLOTS, assortment
from motherlode.shop.hashing import below, hashed, uniform
from motherlode.shop.items import Codes, family

BRAND, SERIES, MODEL, FIRST, SECOND, THIRD, NOUN, NOISE, SPLIT = range(9)
# A title is two halves joined by punctuation; SPLIT stands between them.
GRAMMARS = np.array(
    [
        [BRAND, SERIES, FIRST, SECOND, NOUN, SPLIT, THIRD, MODEL, NOISE],
        [BRAND, SERIES, MODEL, NOUN, SPLIT, FIRST, SECOND, THIRD, NOISE],
        [NOUN, BRAND, SPLIT, SECOND, FIRST, THIRD, SERIES, MODEL, NOISE],
        [NOISE, BRAND, FIRST, NOUN, SERIES, SPLIT, MODEL, THIRD, SECOND],
        [SERIES, NOUN, SPLIT, THIRD, SECOND, FIRST, BRAND, NOISE, MODEL],
        [FIRST, SECOND, NOUN, THIRD, SPLIT, NOISE, SERIES, MODEL, BRAND],
        [BRAND, THIRD, SECOND, NOUN, FIRST, SPLIT, SERIES, NOISE, MODEL],
        [SECOND, NOUN, NOISE, SPLIT, BRAND, FIRST, SERIES, THIRD, MODEL],
    ]
)
SAID = {BRAND: 0.9, SERIES: 0.5, MODEL: 0.45, FIRST: 0.8, SECOND: 0.75, THIRD: 0.7, NOISE: 0.35}
SEPARATORS = (" ", ", ", " - ", " | ", " ")


def pick(forms: NDArray[np.int64], draws: NDArray[np.float64], skew: float = 1.6) -> NDArray[np.int64]:
    """One phrase of each row of `forms` [n, F], -1 where the row is empty; the first is the likeliest."""
    chosen = (draws**skew * (forms >= 0).sum(axis=1)).astype(np.int64)
    return np.asarray(np.take_along_axis(forms, chosen[:, None], axis=1)[:, 0])


def value_forms(codes: Codes, slot: int) -> NDArray[np.int64]:
    """The spellings [n, F] of each row's value in this slot, all -1 where it has or states none."""
    shop = assortment()
    attribute, value = shop.slots[codes.leaf, slot], codes.values[:, slot]
    return np.where(value[:, None] >= 0, shop.spellings[attribute, value], -1)


def join(phrases: pa.Array, parts: NDArray[np.int64]) -> pa.Array:
    """The texts of phrase numbers [n, P] joined by blanks, -1 left out; null where a row has nothing."""
    columns = [phrases.take(pa.array(part, mask=part < 0)) for part in parts.T]
    # Arrow loses a row whose parts are all null, so an empty one stands in front of each.
    text = pc.utf8_ltrim_whitespace(pc.binary_join_element_wise("", *columns, " ", null_handling="skip"))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def titles(seed: int, numbers: NDArray[np.int64], codes: Codes) -> pa.Array:
    """Titles of items. A family shares series and model; the rest of the wording is the item's own."""
    shop = assortment()
    count = len(numbers)
    head = family(seed, numbers)[0]
    models = len(shop.models) * 90
    model = below(seed, "model", head, models)  # letters and a round number, three digits
    parts = np.full((count, 9), -1)
    parts[:, BRAND] = shop.brand_phrases[codes.brand]
    parts[:, SERIES] = shop.series[below(seed, "series", head, len(shop.series))]
    parts[:, MODEL] = len(shop.phrases) + model
    for slot in range(SLOTS):
        parts[:, FIRST + slot] = pick(value_forms(codes, slot), uniform(seed, f"spelling {slot}", numbers))
    parts[:, NOUN] = pick(shop.nouns[codes.leaf], uniform(seed, "noun", numbers))
    parts[:, NOISE] = shop.title_noise[below(seed, "noise", numbers, len(shop.title_noise))]
    for part, share in SAID.items():
        parts[uniform(seed, f"said {part}", numbers) >= share, part] = -1
    grammar = GRAMMARS[below(seed, "grammar", numbers, len(GRAMMARS))]
    ordered = np.take_along_axis(parts, grammar, axis=1)
    left = np.cumsum(grammar == SPLIT, axis=1) == 0
    phrases = _display_phrases()
    halves = [join(phrases, np.where(side, ordered, -1)) for side in (left, ~left)]
    separators = pa.array(SEPARATORS).take(pa.array(below(seed, "separator", numbers, len(SEPARATORS))))
    return pc.binary_join_element_wise(*halves, separators, null_handling="skip")


def descriptions(seed: int, numbers: NDArray[np.int64], codes: Codes) -> pa.Array:
    """Values and noun in their canonical spelling, then an empty sentence; null for one in five."""
    shop = assortment()
    values = np.stack([value_forms(codes, slot)[:, 0] for slot in range(SLOTS)], axis=1)
    parts = np.column_stack([values, shop.nouns[codes.leaf, 0]])
    phrases = pa.array(shop.phrases)
    sentence = shop.sentences[below(seed, "sentence", numbers, len(shop.sentences))]
    text = pc.binary_join_element_wise(pc.utf8_capitalize(join(phrases, parts)), phrases.take(pa.array(sentence)), ". ")
    missing = pa.array(hashed(seed, "description", numbers) % np.uint64(5) == 0)
    return pc.if_else(missing, pa.scalar(None, pa.string()), text)


@cache
def _display_phrases() -> Any:
    """The assortment's phrases as a listing writes them, then all model names: letters and 100 to 990."""
    shop = assortment()
    shown = [
        " ".join(word[:1].upper() + word[1:] if len(word) > 2 else word for word in text.split())
        for text in shop.phrases
    ]
    models = [f"{shop.phrases[letters]}{10 * number}" for letters in shop.models for number in range(10, 100)]
    return pa.array(shown + models)
