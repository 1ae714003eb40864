"""What the generated shop can sell: `words` read into integer codes and tables of phrases."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from motherlode.shop import words

SLOTS = 3  # attributes a leaf category has at most
NONE, SOFT, ORDERED, HARD = -1, 0, 1, 2
KINDS = {"soft": SOFT, "ordered": ORDERED, "hard": HARD}


@dataclass(frozen=True)
class Assortment:
    """L leaf categories, A attributes, B brands; a phrase is known by its number."""

    phrases: list[str]  # each distinct text once
    paths: list[list[str]]  # [L] root first
    parents: NDArray[np.int64]  # [L] leaves with the same parent category share a number
    attributes: list[str]  # [A]
    values: list[list[str]]  # [A][V] canonical spellings
    slots: NDArray[np.int64]  # [L, SLOTS] attribute number, -1 where the leaf has fewer
    kinds: NDArray[np.int64]  # [L, SLOTS] NONE, SOFT, ORDERED or HARD
    sizes: NDArray[np.int64]  # [L, SLOTS] number of values, 0 where there is no attribute
    complements: NDArray[np.bool_]  # [L, L] whether the column's leaf complements the row's
    brands: list[str]  # [B], those of one department side by side
    first_brand: NDArray[np.int64]  # [L] the first brand of the leaf's department
    brand_count: NDArray[np.int64]  # [L]
    nouns: NDArray[np.int64]  # [L, F] phrase numbers, -1 pads
    plurals: NDArray[np.int64]  # [L, F] the same nouns as a query may write them
    spellings: NDArray[np.int64]  # [A, V, F] phrase numbers, -1 pads; form 0 is canonical
    brand_phrases: NDArray[np.int64]  # [B]
    series: NDArray[np.int64]  # phrase numbers
    models: NDArray[np.int64]
    title_noise: NDArray[np.int64]
    query_noise: NDArray[np.int64]
    sentences: NDArray[np.int64]


@cache
def assortment() -> Assortment:
    """The one assortment, read from `words` once a process."""
    numbers: dict[str, int] = {}

    def phrase(text: str) -> int:
        return numbers.setdefault(text, len(numbers))

    names, kinds, spellings = _attributes()
    leaves = [[part.strip() for part in line.split("|")] for line in _lines(words.LEAVES)]
    nouns = [_split(leaf[1], ",") for leaf in leaves]
    paths = [_split(leaf[0], ">") for leaf in leaves]
    leaf_of = {forms[0].rstrip("*"): number for number, forms in enumerate(nouns)}

    slots = np.full((len(leaves), SLOTS), -1)
    complements = np.zeros((len(leaves), len(leaves)), dtype=bool)
    for number, (_, _, own, others) in enumerate(leaves):
        slots[number, : len(own.split())] = [names.index(name) for name in own.split()]
        complements[number, [leaf_of[other] for other in _split(others, ",")]] = True
    present = slots >= 0
    longest = max(len(values) for values in spellings)
    most = max(len(forms) for values in spellings for forms in values)

    brands: list[str] = []
    starts: dict[str, tuple[int, int]] = {}
    for line in _lines(words.BRANDS):
        department, own = line.split(":")
        starts[department] = (len(brands), len(_split(own, ",")))
        brands += _split(own, ",")
    ranges = np.array([starts[path[0]] for path in paths])

    parent_numbers: dict[tuple[str, ...], int] = {}
    return Assortment(
        paths=paths,
        parents=np.array([parent_numbers.setdefault(tuple(p[:-1]), len(parent_numbers)) for p in paths]),
        attributes=names,
        values=[[forms[0] for forms in values] for values in spellings],
        slots=slots,
        kinds=np.where(present, np.array(kinds)[slots], NONE),
        sizes=np.where(present, np.array([len(v) for v in spellings])[slots], 0),
        complements=complements,
        brands=brands,
        first_brand=ranges[:, 0],
        brand_count=ranges[:, 1],
        nouns=_pad([[phrase(form.rstrip("*")) for form in forms] for forms in nouns]),
        plurals=_pad([[phrase(_plural(form)) for form in forms] for forms in nouns]),
        spellings=np.stack(
            [
                _pad(
                    [[phrase(form) for form in forms] for forms in values] + [[]] * (longest - len(values)),
                    most,
                )
                for values in spellings
            ]
        ),
        brand_phrases=np.array([phrase(brand) for brand in brands]),
        series=np.array([phrase(name) for name in words.SERIES.split()]),
        models=np.array([phrase(name) for name in words.MODELS.split()]),
        title_noise=np.array([phrase(text) for text in _split(words.TITLE_NOISE, ",")]),
        query_noise=np.array([phrase(text) for text in _split(words.QUERY_NOISE, ",")]),
        sentences=np.array([phrase(text) for text in _lines(words.SENTENCES)]),
        phrases=list(numbers),  # last: every phrase above is numbered by now
    )


def _attributes() -> tuple[list[str], list[int], list[list[list[str]]]]:
    """Names, kinds and, for each value in order, its spellings."""
    names, kinds, spellings = [], [], []
    for line in _lines(words.ATTRIBUTES):
        head, values = line.split(":", 1)
        name, kind = head.split()
        names.append(name)
        kinds.append(KINDS[kind])
        spellings.append([_split(value, "/") for value in _split(values, ",")])
    return names, kinds, spellings


def _lines(text: str) -> list[str]:
    return text.strip().splitlines()


def _split(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def _pad(rows: list[list[int]], width: int | None = None) -> NDArray[np.int64]:
    table = np.full((len(rows), width or max(map(len, rows))), -1)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


def _plural(noun: str) -> str:
    if noun.endswith("*"):
        return noun[:-1]
    if noun.endswith(("s", "sh", "ch", "x")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
