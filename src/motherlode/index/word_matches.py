"""Which words a query and an item's title share, and how: for all candidates of a query at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

PAIR = ("words", "rare words", "word pairs", "last word", "density", "place", "place of last", "length")
ARRAYS = ("starts", "terms", "words", "idf")
QUERY = ("terms", "mean idf", "greatest idf", "unknown")
Analyse = Callable[[str], list[str]]


@dataclass(frozen=True, eq=False)
class Matches:
    """pairs float32[Q, M, 8], columns as in `PAIR`, 0 at pads; queries float32[Q, 4], columns as in `QUERY`."""

    pairs: NDArray[np.float32]
    queries: NDArray[np.float32]

    def part(self, queries: NDArray[np.int64]) -> Matches:
        """The same for these queries alone."""
        return Matches(self.pairs[queries], self.queries[queries])


class Titles:
    """Titles of N items as hashed terms (CSR), with the idf of each term.

    idf(t) = ln(1 + (N - n_t + 1/2) / (n_t + 1/2)) with n_t the titles that hold t, as in the lexical leg. A term is the
    CRC-32 of its UTF-8 bytes, so that titles can be added without a dictionary to keep; two words of one query and
    title that share a hash would count as one: about one pair of texts in 10^8.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], analyse: Analyse, items: int) -> None:
        """What `arrays_of` gave; idf counts the first `items` titles alone. See `build` and `open`."""
        self._starts, self._terms, self._words, self._idf = (arrays[name] for name in ARRAYS)
        self._analyse = analyse
        self._unknown = float(_idf(np.zeros(1), items)[0])

    @classmethod
    def build(cls, titles: Sequence[str], analyse: Analyse) -> Self:
        """`analyse` cuts a text into terms; the lexical leg's own (`analyser(locale).analyze`) is the one to give."""
        return cls(arrays_of(titles, analyse), analyse, len(titles))

    def save(self, folder: Path) -> None:
        """Write the arrays under `folder`, each as .npy."""
        folder.mkdir()
        for name, array in zip(ARRAYS, (self._starts, self._terms, self._words, self._idf), strict=True):
            np.save(folder / f"{name}.npy", array)

    @classmethod
    def open(cls, folder: Path, analyse: Analyse, added: Sequence[str] = ()) -> Self:
        """Map what `save` wrote; titles `added` since come after them as further rows, and leave idf as it is."""
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
        items = len(arrays["starts"]) - 1
        if added:
            more = arrays_of(added, analyse)
            arrays["starts"] = np.concatenate([arrays["starts"], arrays["starts"][-1] + more["starts"][1:]])
            arrays["terms"] = np.concatenate([arrays["terms"], more["terms"]])
        return cls(arrays, analyse, items)

    def matches(self, texts: Sequence[str], rows: NDArray[np.int64]) -> Matches:
        """How Q texts and their candidates rows int64[Q, M] (-1 pads) match.

        Over the distinct terms of the query: share found in the title; the same weighted by idf; share of
        neighbouring terms that are neighbours in the title, in order (of one term: whether it is found); whether
        the last term is found. Over the title: share of its terms that are the query's; relative place of the last
        such term, and of the query's last term, 0 where there is none; ln(1 + its terms).
        Of the query: terms, mean and greatest idf, share of terms no title holds.
        """
        pairs = np.zeros((*rows.shape, len(PAIR)), dtype=np.float32)
        queries = np.zeros((len(texts), len(QUERY)), dtype=np.float32)
        for query, text in enumerate(texts):
            words = self._analyse(text)
            terms = list(dict.fromkeys(words))
            if not terms:
                continue
            numbers = np.array([_hash(term) for term in terms], dtype=np.uint32)
            at = np.searchsorted(self._words, numbers)
            known = at < len(self._words)
            known[known] = self._words[at[known]] == numbers[known]
            idf = np.full(len(terms), self._unknown)
            idf[known] = self._idf[at[known]]
            queries[query] = len(words), idf.mean(), idf.max(), (~known).mean()
            real = rows[query] >= 0
            pairs[query, real] = self._match(numbers, idf, rows[query, real])
        return Matches(pairs, queries)

    def _match(
        self, numbers: NDArray[np.uint32], idf: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        starts, lengths = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        owner = np.repeat(np.arange(len(rows)), lengths)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        terms = self._terms[np.repeat(starts, lengths) + place]
        order = np.argsort(numbers)
        near = np.searchsorted(numbers, terms, sorter=order).clip(max=len(numbers) - 1)
        at = np.where(numbers[order[near]] == terms, order[near], -1)  # which of the query's terms, or none
        hit = at >= 0
        size = np.maximum(lengths, 1)
        found = np.zeros((len(rows), len(numbers)), dtype=bool)
        found[owner[hit], at[hit]] = True
        last_place = np.zeros(len(rows))
        np.maximum.at(last_place, owner[hit], place[hit] + 1)
        head = at == len(numbers) - 1
        head_place = np.zeros(len(rows))
        np.maximum.at(head_place, owner[head], place[head] + 1)
        shares = found.mean(axis=1)
        neighbours = shares
        if len(numbers) > 1:
            pair = hit[:-1] & (at[1:] == at[:-1] + 1) & (owner[1:] == owner[:-1])
            paired = np.zeros((len(rows), len(numbers) - 1), dtype=bool)
            paired[owner[:-1][pair], at[:-1][pair]] = True
            neighbours = paired.mean(axis=1)
        density = np.bincount(owner[hit], minlength=len(rows)) / size
        rare = found @ idf / idf.sum()
        columns = [shares, rare, neighbours, found[:, -1], density, last_place / size, head_place / size]
        return np.stack([*columns, np.log1p(lengths)], axis=1)


def arrays_of(titles: Sequence[str], analyse: Analyse) -> dict[str, NDArray[Any]]:
    """starts int64[N + 1] and terms uint32[T] of the titles; words uint32[V], rising, and idf float64[V] of each."""
    terms: list[int] = []
    starts = np.zeros(len(titles) + 1, dtype=np.int64)
    hashes: dict[str, int] = {}
    for row, title in enumerate(titles):
        for term in analyse(title):
            if term not in hashes:
                hashes[term] = _hash(term)
            terms.append(hashes[term])
        starts[row + 1] = len(terms)
    flat = np.array(terms, dtype=np.uint32)
    owners = np.repeat(np.arange(len(titles), dtype=np.uint64), np.diff(starts))
    distinct = np.unique((owners << np.uint64(32)) | flat)
    words, holding = np.unique(distinct.astype(np.uint32), return_counts=True)
    return {"starts": starts, "terms": flat, "words": words, "idf": _idf(holding, len(titles))}


def _hash(term: str) -> int:
    return crc32(term.encode("utf-8", "replace"))


def _idf(holding: NDArray[np.number], count: int) -> NDArray[np.float64]:
    return np.log1p((count - holding + 0.5) / (holding + 0.5))
