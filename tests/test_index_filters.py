"""Filters leave exactly the items that meet them, in both legs and in the store of facets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError, SettingError
from motherlode.index.facets import Facets, FacetsWriter
from motherlode.index.filters import Filter, keys_of, price_of
from motherlode.index.lexical import LexicalIndex

BRANDS = ["Acme", "acme ", "Böhm", None, ""]
PATHS = [["Home"], ["Home", "Pans"], ["home", "Pans", "Iron"], ["Homeware"], None]
COLOURS = ["red", "Red", "blue\x1fgreen", None]
PRICES = ["9.99", "$1,299.00", "12,99 €", "free", None]


def make(rng):
    attributes = [("colour", COLOURS[rng.integers(4)]), ("Price", PRICES[rng.integers(5)]), ("size", "L")]
    return {
        "brand": BRANDS[rng.integers(5)],
        "taxonomy": PATHS[rng.integers(5)],
        "attributes": [{"name": n, "value": v} for n, v in attributes if v is not None] or None,
    }


ITEMS = [make(np.random.default_rng([1, n])) for n in range(400)]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("facets")
    writer = FacetsWriter()
    documents = ((n, {"title": "pan", "keys": keys_of(i), "price": price_of(i)}) for n, i in enumerate(ITEMS))
    lexical = LexicalIndex.build(writer.watch(documents), folder / "lexical")
    writer.write(folder / "facets")
    return Facets(folder / "facets"), lexical


def meets(item, wanted):
    """The definition, word by word."""

    def same(a, b):
        return (a or "").replace("\x1f", " ").strip().casefold() == b.replace("\x1f", " ").strip().casefold()

    path = item["taxonomy"] or []
    if wanted.taxonomy and not (
        len(path) >= len(wanted.taxonomy) and all(same(a, b) for a, b in zip(path, wanted.taxonomy, strict=False))
    ):
        return False
    if wanted.brand and not (item["brand"] and any(same(item["brand"], b) for b in wanted.brand)):
        return False
    own = [(a["name"], a["value"]) for a in item["attributes"] or []]
    for name, values in wanted.attributes:
        if values and not any(same(n, name) and same(v, value) for n, v in own for value in values):
            return False
    low, high = wanted.price
    if (low, high) != (None, None):
        amount = {"9.99": 9.99, "$1,299.00": 1299, "12,99 €": 12.99}.get(dict(own).get("Price"), math.nan)
        return (low is None or amount >= low) and (high is None or amount <= high) and not math.isnan(amount)
    return True


filters = st.builds(
    Filter,
    taxonomy=st.sampled_from([(), ("Home",), ("HOME", "Pans"), ("Homeware",), ("Pans",), ("Hom",)]),
    brand=st.sampled_from([(), ("acme",), ("böhm", "ACME"), ("none",)]),
    price=st.sampled_from([(None, None), (9.99, 12.99), (None, 10.0), (10.0, None), (2000.0, None)]),
    attributes=st.sampled_from([(), (("colour", ("RED",)),), (("Colour", ("blue green", "red")), ("size", ("l",)))]),
)


@given(filters)
def test_both_legs_agree_with_the_definition(built, wanted):
    facets, lexical = built
    expected = [n for n, item in enumerate(ITEMS) if meets(item, wanted)]
    assert facets.rows(wanted).tolist() == expected
    assert bool(wanted) == (wanted != Filter())
    found, everything = lexical.search(["pan"], 400, wanted), lexical.search(["pan"], 400)
    assert found.rows[0][found.rows[0] >= 0].tolist() == expected
    np.testing.assert_allclose(found.scores[0][: len(expected)], everything.scores[0][: len(expected)])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9.99", 9.99), ("$1,299.00", 1299), ("1.299,00 EUR", 1299), ("12,99", 12.99), ("3.125", 3.125), ("7", 7),
        ("1,000", 1000), ("-5", -5), ("from 5 to 9", math.nan), ("free", math.nan), ("1.2.3", math.nan), ("", math.nan),
    ],
)  # fmt: skip
def test_prices_are_read_as_people_write_them(text, number):
    item = {"attributes": [{"name": "price", "value": text}]}
    assert price_of(item) == number or (math.isnan(price_of(item)) and math.isnan(number))


def test_json_is_checked():
    value = {"taxonomy": ["Home"], "brand": "Acme", "price": [1, None], "attributes": {"size": ["L", "M"]}}
    assert Filter.from_json(value) == Filter(("Home",), ("Acme",), (1, None), (("size", ("L", "M")),))
    assert Filter.from_json({}) == Filter() and not Filter.from_json({"attributes": {"size": []}})
    for wrong in (
        {"colour": ["red"]}, {"brand": [1]}, {"price": [1]}, {"price": "ab"}, {"price": ["1", "2"]},
        {"attributes": ["size"]}, {"taxonomy": 5},
    ):  # fmt: skip
        with pytest.raises(InputError, match="filter"):
            Filter.from_json(wrong)
    for low, high in ((5.0, 1.0), (math.nan, None), (None, math.inf)):
        with pytest.raises(SettingError, match="price range"):
            Filter(price=(low, high))


def test_nothing_to_filter_by_is_no_error(tmp_path):
    writer = FacetsWriter()
    list(writer.watch((n, {"title": "bare"}) for n in range(3)))
    writer.write(tmp_path / "facets")
    facets = Facets(tmp_path / "facets")
    assert len(facets) == 3 and not len(facets.rows(Filter(brand=("acme",))))
    assert not len(facets.rows(Filter(price=(0.0, None)))) and len(facets.rows(Filter())) == 3
    (tmp_path / "facets/rows.npy").unlink()
    with pytest.raises(InputError, match="damaged"):
        Facets(tmp_path / "facets")
