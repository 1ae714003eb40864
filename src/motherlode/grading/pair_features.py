"""What a query and an item have in common, in numbers that cost next to nothing: words, letters, measures, BM25."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from motherlode.grading.grader import Pair
from motherlode.grading.words import is_number, letters, likeness, measures, words

K1, B = 1.2, 0.75  # of BM25, as in the lexical leg
NAMES = (
    # the query
    "words", "characters", "numbers", "mean rarity", "greatest rarity", "unknown",
    # query and title
    "title words", "title characters", "share", "rare share", "like share", "rare like share", "least like",
    "first word", "last word", "last like", "neighbours", "density", "place", "place of last", "ends alike",
    "joined", "glued share", "same", "rarest missing", "missing opener",
    # numbers
    "numbers share", "numbers in conflict", "measures met", "measures in conflict",
    # the whole item
    "whole share", "whole rare share", "bm25", "bm25 share", "brand in query", "brand known", "category share",
    "whole words",
)  # fmt: skip


class Corpus:
    """How common each word is among a shop's items: what rarity and BM25 are reckoned by."""

    def __init__(
        self, known: Sequence[str], holding: NDArray[np.int64], opening: NDArray[np.int64], items: int, mean: float
    ) -> None:
        """Words, the items that hold each, the titles that open with each; items in all, mean words of an item."""
        self.known, self.holding, self.opening, self.items, self.mean = list(known), holding, opening, items, mean

    @classmethod
    def of(cls, texts: Iterable[str]) -> Corpus:
        """Count over item texts (see `judged_item`); equal texts count once."""
        holding: Counter[str] = Counter()
        opening: Counter[str] = Counter()
        total = items = 0
        for text in dict.fromkeys(texts):
            item = Item.of(text)
            holding.update(item.whole.keys())
            opening.update(item.title[:1])
            total, items = total + item.length, items + 1
        known = sorted(holding)
        counts = [np.array([count[word] for word in known], np.int64) for count in (holding, opening)]
        return cls(known, counts[0], counts[1], items, total / max(items, 1))

    @cached_property
    def rarity(self) -> dict[str, float]:
        """idf(t) = ln(1 + (N - n_t + 1/2) / (n_t + 1/2)) of every word."""
        return dict(zip(self.known, self._idf(self.holding).tolist(), strict=True))

    @cached_property
    def unknown(self) -> float:
        """idf of a word that no item holds."""
        return float(self._idf(np.zeros(1))[0])

    @cached_property
    def opener(self) -> dict[str, float]:
        """Share of a word's items whose title opens with it: high for brands."""
        return {
            word: first / held
            for word, first, held in zip(self.known, self.opening, self.holding, strict=True)
            if first
        }

    def _idf(self, holding: NDArray[np.number]) -> NDArray[np.float64]:
        return np.log1p((self.items - holding + 0.5) / (holding + 0.5))


@dataclass(frozen=True)
class Item:
    """An item's text taken apart again: words of title, brand and category, counts of all words."""

    title: list[str]
    brand: frozenset[str]
    category: frozenset[str]
    whole: Counter[str]
    length: int
    characters: int

    @classmethod
    def of(cls, text: str) -> Item:
        """Of a text as `judged_item` writes it; one without its marks is all title."""
        head, *rest = text.split(" | ")
        title, all_words = words(head), words(text)
        brand = next((part[7:] for part in rest if part.startswith("brand: ")), "")
        category = next((part[10:] for part in rest if part.startswith("category: ")), "")
        return cls(
            title, frozenset(words(brand)), frozenset(words(category)), Counter(all_words), len(all_words), len(head)
        )


def pair_features(pairs: Sequence[Pair], corpus: Corpus) -> NDArray[np.float32]:
    """float32 [n, F], columns as in `NAMES`. Pairs of one query next to each other are cheapest.

    Shares are of the query's words found; "rare" ones weigh each by its idf; "like" ones take for a word that is not
    found its greatest `likeness` to one that is there, which forgives misspellings. A brand or a measure in conflict is
    one that the query names and the item has another of. What cannot be asked (numbers of a query without any) is -1.
    """
    queries = {text: _Query(words(text), text, corpus) for text in dict.fromkeys(pair.query for pair in pairs)}
    items = {text: Item.of(text) for text in dict.fromkeys(pair.item for pair in pairs)}
    grams: dict[str, frozenset[str]] = {}
    found = np.zeros((len(pairs), len(NAMES)), np.float32)
    for row, pair in enumerate(pairs):
        query, item = queries[pair.query], items[pair.item]
        if query.words:
            found[row] = _pair(query, item, corpus, grams)
    return found


class _Query:
    """What is the same for all items of a query."""

    def __init__(self, found: list[str], text: str, corpus: Corpus) -> None:
        self.words, self.characters, self.set = found, len(text), frozenset(found)
        self.weights = [corpus.rarity.get(word, corpus.unknown) for word in found]
        self.total = sum(self.weights)
        self.numbers = [word for word in found if is_number(word)]
        self.measures = measures(found)
        self.unknown = sum(word not in corpus.rarity for word in found)
        self.joined = "".join(found)


def _pair(query: _Query, item: Item, corpus: Corpus, grams: dict[str, frozenset[str]]) -> list[float]:
    asked, weights, title = query.words, query.weights, item.title
    count, held = len(asked), set(title)
    hits = [word in held for word in asked]
    alike = [1.0 if hit else _likest(word, held, grams) for word, hit in zip(asked, hits, strict=True)]
    whole = [word in item.whole for word in asked]
    joined = "".join(title)
    last = max((at + 1 for at, word in enumerate(title) if word == asked[-1]), default=0)
    places = [at + 1 for at, word in enumerate(title) if word in query.set]
    size = max(len(title), 1)
    steps = set(pairwise(title))
    neighbours = sum(step in steps for step in pairwise(asked)) / (count - 1) if count > 1 else -1
    missing = [(weight, word) for weight, word, hit in zip(weights, asked, whole, strict=True) if not hit]
    numbers, theirs = sum(word in item.whole for word in query.numbers), measures(title)
    shared = [(query.measures[unit], theirs[unit]) for unit in query.measures if unit in theirs]
    met = sum(bool(ours & other) for ours, other in shared)
    bm25 = sum(
        weight * item.whole[word] * (K1 + 1) / (item.whole[word] + K1 * (1 - B + B * item.length / corpus.mean))
        for weight, word in zip(weights, asked, strict=True)
        if word in item.whole
    )
    return [
        count,
        query.characters,
        len(query.numbers),
        query.total / count,
        max(weights),
        query.unknown / count,
        len(title),
        item.characters,
        sum(hits) / count,
        _weighed(weights, hits) / query.total,
        sum(alike) / count,
        _weighed(weights, alike) / query.total,
        min(alike),
        hits[0],
        hits[-1],
        alike[-1],
        neighbours,
        len(places) / size,
        places[-1] / size if places else 0.0,
        last / size,
        bool(title) and title[-1] in query.set,
        query.joined in joined,
        sum(word in joined for word in asked) / count,
        query.joined == joined,
        max((weight for weight, _ in missing), default=0.0),
        max((corpus.opener.get(word, 0.0) for _, word in missing), default=0.0),
        numbers / len(query.numbers) if query.numbers else -1.0,
        len(query.numbers) - numbers if any(map(is_number, title)) else 0,
        met,
        len(shared) - met,
        sum(whole) / count,
        _weighed(weights, whole) / query.total,
        bm25,
        bm25 / (query.total * (K1 + 1)),
        len(item.brand & query.set) / len(item.brand) if item.brand else -1.0,
        bool(item.brand),
        len(item.category & query.set) / count if item.category else -1.0,
        item.length,
    ]


def _weighed(weights: Sequence[float], shares: Sequence[float]) -> float:
    return sum(weight * share for weight, share in zip(weights, shares, strict=True))


def _likest(word: str, others: Iterable[str], grams: dict[str, frozenset[str]]) -> float:
    """Greatest likeness of a word to one of the others; numbers are alike or not."""
    if not word.isalpha():
        return 0.0
    mine = _grams(word, grams)
    return max((likeness(mine, _grams(other, grams)) for other in others if other.isalpha()), default=0.0)


def _grams(word: str, grams: dict[str, frozenset[str]]) -> frozenset[str]:
    if (found := grams.get(word)) is None:
        found = grams[word] = letters(word)
    return found
