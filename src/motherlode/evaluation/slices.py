"""Slices: named groups of queries (or of judged pairs) that are measured on their own."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.evaluation.judged import Judged

Slices = dict[str, NDArray[np.bool_]]
HEAD, TORSO = 0.10, 0.50  # share of the queries, most frequent first, at which head and torso end
OVERLAP = 0.70
_TOKEN = re.compile(r"\w+")


def by_frequency(frequencies: ArrayLike | None) -> Slices:
    """head (the most frequent 10 % of the queries), torso (the next 40 %), tail (the rest).

    frequencies float[Q], NaN where unknown (such a query is in none of the three). Queries of equal
    frequency stay together: they go where the middle of their places lies, so a slice may hold more or fewer
    than its share, or be absent. Empty where frequencies is None or all are equal.
    """
    if frequencies is None:
        return {}
    values = np.asarray(frequencies, dtype=np.float64)
    known = ~np.isnan(values)
    ordered = np.sort(values[known])
    if not len(ordered) or ordered[0] == ordered[-1]:
        return {}
    greater = len(ordered) - np.searchsorted(ordered, values, side="right")
    equal = np.searchsorted(ordered, values, side="right") - np.searchsorted(ordered, values, side="left")
    place = (greater + equal / 2) / len(ordered)
    parts = {"head": place <= HEAD, "torso": (place > HEAD) & (place <= TORSO), "tail": place > TORSO}
    return {name: part & known for name, part in parts.items() if (part & known).any()}


def by_label(labels: Sequence[str | None], prefix: str = "") -> Slices:
    """One slice a label (locale, say), named prefix + label, in sorted order; None belongs to no slice."""
    values = np.array(labels, dtype=object)
    return {f"{prefix}{label}": values == label for label in sorted({label for label in labels if label is not None})}


def by_flag(name: str, flags: ArrayLike) -> Slices:
    """Two slices, name and "not name", from flags bool[Q] (unseen, misspelt); an empty one is absent."""
    marked = np.asarray(flags, dtype=bool)
    return {key: mask for key, mask in ((name, marked), (f"not {name}", ~marked)) if mask.any()}


def by_length(texts: Sequence[str]) -> Slices:
    """Queries of 1-2, 3-4 and 5 or more words; a length no query has is absent."""
    words = np.array([len(text.split()) for text in texts])
    parts = {"1-2 words": words <= 2, "3-4 words": (words >= 3) & (words <= 4), "5+ words": words >= 5}
    return {name: mask for name, mask in parts.items() if mask.any()}


def token_overlap(judged: Judged, queries: Sequence[str], titles: Sequence[str]) -> NDArray[np.float64]:
    """Share of the query's distinct tokens found in the item's title, pair by pair: float64[J].

    NaN where the query has no token. A token is a run of letters, digits and underscores, case folded.
    queries: Q texts; titles: N texts by item row.
    """
    overlap = np.full(len(judged.items), np.nan)
    titles_tokens: dict[int, set[str]] = {}
    for row, text in enumerate(queries):
        tokens = _tokens(text)
        if not tokens:
            continue
        for pair in range(judged.indptr[row], judged.indptr[row + 1]):
            item = int(judged.items[pair])
            if item not in titles_tokens:
                titles_tokens[item] = _tokens(titles[item])
            overlap[pair] = len(tokens & titles_tokens[item]) / len(tokens)
    return overlap


def by_overlap(judged: Judged, overlap: NDArray[np.float64]) -> Slices:
    """Queries whose judged items hold on average at least, or less than, 70 % of the query's tokens."""
    means = judged.means(overlap, ~np.isnan(overlap))
    parts = {"overlap >= 70 %": means >= OVERLAP, "overlap < 70 %": means < OVERLAP}
    return {name: mask for name, mask in parts.items() if mask.any()}


def overlapping_pairs(overlap: NDArray[np.float64]) -> Slices:
    """The judged pairs whose title holds at least 70 % of the query's tokens: bool[J], for `pair_slices`."""
    return {"overlap >= 70 %": overlap >= OVERLAP}


def _tokens(text: str) -> set[str]:
    return set(_TOKEN.findall(text.casefold()))
