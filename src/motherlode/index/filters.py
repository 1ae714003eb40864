"""What a search may be narrowed to: taxonomy, brand, price, attributes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from motherlode.errors import InputError, SettingError
from motherlode.index.analysis import encodable

SEPARATOR = "\x1f"
LONGEST = 256  # characters of a value that are told apart
PRICE = "price"  # the attribute that is a number
NUMBER = re.compile(r"-?(?:\d[\d.,]*\d|\d)")


@dataclass(frozen=True)
class Filter:
    """Items that meet every condition named here; letters' case and spaces around values do not matter.

    Attributes:
        taxonomy: a path from the root: items in it or anywhere below it.
        brand: any of these.
        price: lowest and highest, both included, None where open: items whose attribute "price" lies there.
        attributes: (name, values) pairs: for every name any of its values.
    """

    taxonomy: tuple[str, ...] = ()
    brand: tuple[str, ...] = ()
    price: tuple[float | None, float | None] = (None, None)
    attributes: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        low, high = self.price
        if any(bound is not None and not math.isfinite(bound) for bound in self.price):
            raise SettingError(f"The price range {list(self.price)} must be of finite numbers, or None where open.")
        if low is not None and high is not None and low > high:
            raise SettingError(f"The price range starts at {low} and ends at {high}: give the lower price first.")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Filter:
        """From {"taxonomy": [..], "brand": [..], "price": [low, high], "attributes": {name: [..]}}, all optional.

        A single text stands for a list of one. Raises InputError for unknown keys and other forms.
        """
        unknown = set(value) - {"taxonomy", "brand", "price", "attributes"}
        if unknown:
            raise InputError(
                f"There is no filter '{sorted(unknown)[0]}': filters are taxonomy, brand, price and attributes."
            )
        attributes = value.get("attributes") or {}
        price = value.get("price") or (None, None)
        if not isinstance(attributes, Mapping):
            raise InputError("The filter 'attributes' must map names to lists of values.")
        if (
            isinstance(price, str)
            or not isinstance(price, Sequence)
            or len(price) != 2
            or not all(p is None or (isinstance(p, (int, float)) and not isinstance(p, bool)) for p in price)
        ):
            raise InputError("The filter 'price' must be a pair: lowest and highest, null where open.")
        return cls(
            _texts("taxonomy", value.get("taxonomy")),
            _texts("brand", value.get("brand")),
            (price[0], price[1]),
            tuple((str(name), _texts(f"attributes.{name}", some)) for name, some in attributes.items()),
        )

    def groups(self) -> list[list[str]]:
        """Keys as in `keys_of`: an item must hold at least one of every group."""
        found = []
        if self.taxonomy:
            found.append([key("taxonomy", *self.taxonomy)])
        if self.brand:
            found.append([key("brand", brand) for brand in self.brand])
        found.extend([key("attribute", name, value) for value in values] for name, values in self.attributes if values)
        return found

    @property
    def has_price(self) -> bool:
        return self.price != (None, None)

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self.has_price or bool(self.groups())


def key(kind: str, *values: str) -> str:
    """One condition as one string, letters' case and outer spaces dropped."""
    return SEPARATOR.join((kind, *(_fold(value) for value in values)))


def keys_of(item: Mapping[str, Any]) -> list[str]:
    """Every condition that an item (a record of the catalogue) meets, prices aside; each once."""
    path = [level for level in item.get("taxonomy") or () if level]
    keys = [key("taxonomy", *path[: depth + 1]) for depth in range(len(path))]
    if item.get("brand"):
        keys.append(key("brand", item["brand"]))
    for attribute in item.get("attributes") or ():
        name, value = attribute["name"], attribute["value"]
        if name and value and _fold(name) != PRICE:
            keys.append(key("attribute", name, value))
    return list(dict.fromkeys(keys))


def price_of(item: Mapping[str, Any]) -> float:
    """The item's price, NaN where its attribute "price" is absent or no number ("$1,299.00" is one)."""
    for attribute in item.get("attributes") or ():
        if attribute["value"] and attribute["name"] and _fold(attribute["name"]) == PRICE:
            return _number(attribute["value"])
    return math.nan


def _number(text: str) -> float:
    """The one number in a text, NaN where there is none or several; "1,299.00", "1.299,00" and "12,99" are numbers."""
    found = NUMBER.findall(text)
    if len(found) != 1:
        return math.nan
    digits: str = found[0]
    if digits.rfind(",") > digits.rfind(".") and re.search(r",\d{1,2}$", digits):
        digits = digits.replace(".", "").replace(",", ".")
    try:
        return float(digits.replace(",", ""))
    except ValueError:  # such as "1.2.3"
        return math.nan


def _fold(value: str) -> str:
    return encodable(value).replace(SEPARATOR, " ").strip().casefold()[:LONGEST]


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Sequence) or not all(isinstance(text, str) for text in values):
        raise InputError(f"The filter '{name}' must be a list of texts.")
    return tuple(values)
