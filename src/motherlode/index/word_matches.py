"""Which words a query and an item's title share, and how: for all candidates of a query at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PAIR = ("words", "rare words", "word pairs", "last word", "density", "place", "place of last", "length")
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
    """Titles of N items as numbered terms (CSR), with the idf of each.

    idf(t) = ln(1 + (N - n_t + 1/2) / (n_t + 1/2)) with n_t the titles that hold t, as in the lexical leg.
    """

    def __init__(self, titles: Sequence[str], analyse: Analyse) -> None:
        """`analyse` cuts a text into terms; the lexical leg's own (`analyser(locale).analyze`) is the one to give."""
        self._analyse = analyse
        self._numbers: dict[str, int] = {}
        terms: list[int] = []
        self._starts = np.zeros(len(titles) + 1, dtype=np.int64)
        for row, title in enumerate(titles):
            terms += [self._numbers.setdefault(term, len(self._numbers)) for term in analyse(title)]
            self._starts[row + 1] = len(terms)
        self._terms = np.array(terms, dtype=np.int32)
        owners = np.repeat(np.arange(len(titles)), np.diff(self._starts))
        distinct = np.unique(owners * max(len(self._numbers), 1) + self._terms)
        holding = np.bincount(distinct % max(len(self._numbers), 1), minlength=len(self._numbers))
        self._idf = _idf(holding, len(titles))
        self._unknown = float(_idf(np.zeros(1), len(titles))[0])

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
            # a term of no title gets a number of its own, so that it equals nothing
            numbers = np.array([self._numbers.get(term, -1 - at) for at, term in enumerate(terms)])
            idf = (
                np.where(numbers >= 0, self._idf[numbers.clip(0)], self._unknown)
                if len(self._idf)
                else (np.full(len(terms), self._unknown))
            )
            queries[query] = len(words), idf.mean(), idf.max(), (numbers < 0).mean()
            real = rows[query] >= 0
            pairs[query, real] = self._match(numbers, idf, rows[query, real])
        return Matches(pairs, queries)

    def _match(
        self, numbers: NDArray[np.int64], idf: NDArray[np.float64], rows: NDArray[np.int64]
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


def _idf(holding: NDArray[np.number], count: int) -> NDArray[np.float64]:
    return np.log1p((count - holding + 0.5) / (holding + 0.5))
