"""Misspelt variants of queries: letters replaced as people replace them, given the letters before."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.tables.hashing import hash_ids, mix, uniform
from motherlode.text.homophones import homophones
from motherlode.text.keyboard import keyboard_statistics
from motherlode.text.spelling_statistics import SWAP, SpellingStatistics
from motherlode.text.spelling_tables import OTHER, SpellingTables

HOMOPHONE = 0.1  # chance that a word of the table is replaced, and then left alone
# longest word in characters -> chances of a budget of 0, 1, 2 ... edits
BUDGETS = ((3, (0.90, 0.10)), (6, (0.70, 0.15, 0.15)), (None, (0.20, 0.25, 0.35, 0.15, 0.05)))
AT_ONCE = 32_768  # texts
DRAWS = 8  # independent numbers a character has at most
_SPACES = [code for code in range(0x3001) if chr(code).isspace()]


class SpellingNoiser:
    """Noise at the level of characters, conditioned on the 0 to 3 before; the same for a (seed, id) on every machine.

    1. Words are what stands between white space. A word in the homophone table is, with p = 0.1, replaced by one of
       its group and left alone.
    2. Otherwise it has an edit budget by its length n: n <= 3: 0/1 with p .90/.10; n <= 6: 0/1/2 with .70/.15/.15;
       above: 0/1/2/3/4 with .20/.25/.35/.15/.05.
    3. Every letter a to z or A to Z draws a replacement r from p(r) = Σ_o w_o p_o(r | o characters before) over the
       orders o = 0 .. 3, w = .025, .05, .2, .7, renormalised over the contexts that the statistics know.
    4. Of the letters whose replacement differs, at most as many as the budget are replaced, drawn without replacement
       in proportion to p(r).

    Source: Mine and Refine (arXiv 2602.17654) §4.2, whose noiser is NeuSpell's (Jayanthi, Pruthi and Neubig, EMNLP
    2020). Ours: a replacement may be a swap with the next letter (an edit right behind one is dropped), a word is never
    deleted whole, capitals stay capitals, and digits stay, because another number is another product. Nothing but ASCII
    letters is ever touched, nor a letter that carries a combining mark.
    """

    def __init__(
        self,
        statistics: SpellingStatistics | None = None,
        confusable: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`statistics` default to the keyboard's, `confusable` (lower-case word -> homophones) to the shipped table."""
        self.statistics = statistics or keyboard_statistics()
        self.confusable = homophones() if confusable is None else confusable
        self._tables = SpellingTables(self.statistics)

    def noise(self, texts: Sequence[str], ids: Sequence[str], seed: int) -> list[str]:
        """One variant of each text, drawn by (seed, id); about half of all short queries come back unchanged."""
        if len(texts) != len(ids):
            raise ValueError(f"There are {len(texts)} texts for {len(ids)} ids.")
        keys = hash_ids(pl.Series(ids, dtype=pl.String), seed, "spelling")
        noisy: list[str] = []
        for start in range(0, len(texts), AT_ONCE):
            noisy += self._block(list(texts[start : start + AT_ONCE]), keys[start : start + AT_ONCE])
        return noisy

    def _block(self, texts: list[str], keys: NDArray[np.uint64]) -> list[str]:
        block = _Characters.of(texts, keys)
        if not len(block.starts):
            return texts
        edits = self._homophones(texts, block)
        replaced = np.zeros(len(block.starts), dtype=bool)
        replaced[list(edits)] = True
        for word, others in self._letters(texts, block, ~replaced):
            edits[word] = others
        return _rebuilt(texts, block, edits)

    def _homophones(self, texts: list[str], block: _Characters) -> dict[int, str]:
        """Word number -> the homophone that takes its place."""
        found: dict[int, str] = {}
        if not self.confusable:
            return found
        for word in np.flatnonzero(block.draw(block.starts, 0) < HOMOPHONE).tolist():
            spelt = block.word(texts, word)
            if others := self.confusable.get(spelt.lower()):
                choice = float(block.draw(block.starts[word : word + 1], 1)[0])
                found[word] = _cased(others[int(choice * len(others))], spelt)
        return found

    def _letters(self, texts: list[str], block: _Characters, allowed: NDArray[np.bool_]) -> list[tuple[int, str]]:
        """(word number, its misspelling) of the words in which letters are replaced."""
        budgets = np.where(allowed, _budgets(block.lengths, block.draw(block.starts, 2)), 0)
        at = np.flatnonzero((block.letters != OTHER) & (budgets[block.words] > 0))
        if not len(at):
            return []
        rows = self._tables.rows(block.contexts(at), block.letters[at])
        typed = self._tables.sample(rows, block.draw(at, 3), block.draw(at, 4))
        following = np.append(block.letters[1:], OTHER)[at]
        following[np.append(block.words[1:], -1)[at] != block.words[at]] = OTHER
        swaps = typed == self._tables.swap
        differs = (typed >= 0) & (typed != self._tables.itself(block.letters[at]))
        differs &= ~swaps | ((following != OTHER) & (following != block.letters[at]))
        differs &= (typed != self._tables.nothing) | (block.lengths[block.words[at]] > 1)
        at, typed, rows = at[differs], typed[differs], rows[:, differs]
        if not len(at):
            return []
        chances = self._tables.chance(rows, typed)
        # the largest of log p + Gumbel noise are a draw without replacement in proportion to p
        places = np.log(chances) - np.log(-np.log(np.maximum(block.draw(at, 5), 2.0**-54)))
        words = block.words[at]
        order = np.lexsort((-places, words))
        ranks = np.arange(len(order)) - np.searchsorted(words[order], words[order])
        kept = np.sort(order[ranks < budgets[words[order]]])
        at, typed = at[kept], typed[kept]
        behind = np.append(False, (at[1:] == at[:-1] + 1) & (typed[:-1] == self._tables.swap))
        at, typed = at[~behind], typed[~behind]
        first = np.flatnonzero(np.append(True, np.diff(block.words[at]) > 0))
        found = []
        for begin, end in zip(first.tolist(), np.append(first[1:], len(at)).tolist(), strict=True):
            word = int(block.words[at[begin]])
            places_in_word = (at[begin:end] - block.starts[word]).tolist()
            replacements = [self._tables.replacements[number] for number in typed[begin:end].tolist()]
            found.append((word, _misspelt(block.word(texts, word), places_in_word, replacements)))
        return found


@dataclass(frozen=True)
class _Characters:
    """A block of texts as one run of characters.

    Attributes:
        letters: int64 [characters], 1 to 26 where noise may fall, OTHER elsewhere.
        folded: int64 [characters], 1 to 26 for a to z and A to Z, OTHER elsewhere: what contexts are made of.
        words: int64 [characters], the number of the word each belongs to, -1 for white space.
        starts, lengths: int64 [words], first character and number of characters.
        owner: int64 [words], the text; offset: int64 [texts], its first character.
        keys: uint64 [texts].
    """

    letters: NDArray[np.int64]
    folded: NDArray[np.int64]
    words: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    owner: NDArray[np.int64]
    offset: NDArray[np.int64]
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, texts: list[str], keys: NDArray[np.uint64]) -> _Characters:
        codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)
        sizes = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        offset = np.cumsum(sizes) - sizes
        text = np.repeat(np.arange(len(texts)), sizes)
        blank = np.isin(codes, _SPACES)
        fresh = np.append(True, blank[:-1])[: len(codes)]
        fresh[offset[sizes > 0]] = True
        starts = np.flatnonzero(fresh & ~blank)
        words = np.where(blank, -1, np.cumsum(fresh & ~blank) - 1)
        lengths = np.bincount(words[~blank], minlength=len(starts))
        lower = codes | 0x20
        folded = np.where((codes < 128) & (lower >= ord("a")) & (lower <= ord("z")), lower - ord("a") + 1, OTHER)
        marked = np.append(_marks(codes)[1:], False) & (np.append(words[1:], -1) == words)
        letters = np.where(marked, OTHER, folded)
        return cls(letters, folded, words, starts, lengths, text[starts], offset, keys)

    def draw(self, at: NDArray[np.int64], number: int) -> NDArray[np.float64]:
        """Uniform numbers in [0, 1) that depend on the text's key, the place in the text and `number` alone."""
        text = self.owner[self.words[at]]
        counter = (at - self.offset[text]) * DRAWS + number
        return uniform(mix(self.keys[text], counter.astype(np.uint64)))

    def contexts(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes of the 1st, 2nd and 3rd character before, 0 before the word: int64 [3, len(at)]."""
        within = at - self.starts[self.words[at]]
        return np.stack([np.where(within >= back, self.folded[np.maximum(at - back, 0)], 0) for back in (1, 2, 3)])

    def word(self, texts: list[str], number: int) -> str:
        text = int(self.owner[number])
        begin = int(self.starts[number] - self.offset[text])
        return texts[text][begin : begin + int(self.lengths[number])]


def _marks(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which characters join the one before: combining marks, variation selectors, joiners; bool [n]."""
    distinct, inverse = np.unique(codes, return_inverse=True)
    joins = [code > 127 and unicodedata.category(chr(code)) in ("Mn", "Mc", "Me", "Cf") for code in distinct.tolist()]
    return np.array(joins, dtype=bool)[inverse]


def _budgets(lengths: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
    """Most edits of words of these lengths; int64 [n]."""
    budgets = np.zeros(len(lengths), dtype=np.int64)
    below = 0
    for longest, chances in BUDGETS:
        here = (lengths > below) & ((lengths <= longest) if longest is not None else True)
        budgets[here] = np.searchsorted(np.cumsum(chances)[:-1], draws[here], side="right")
        below = longest or below
    return budgets


def _misspelt(word: str, places: list[int], replacements: list[str]) -> str:
    """The word with letters replaced; a capital's replacement begins with one (all capitals in a word of capitals)."""
    parts, done = [], 0
    for place, replacement in zip(places, replacements, strict=True):
        parts.append(word[done:place])
        letter = word[place]
        if replacement == SWAP:
            other = word[place + 1]
            parts.append(other.upper() if letter.isupper() else other.lower())
            parts.append(letter.upper() if other.isupper() else letter.lower())
            done = place + 2
        else:
            parts.append(_cased(replacement, letter if not word.isupper() else word))
            done = place + 1
    return "".join([*parts, word[done:]])


def _cased(replacement: str, model: str) -> str:
    """The replacement with capitals like the model's: all of them, the first, or none."""
    if len(model) > 1 and model.isupper():
        return replacement.upper()
    return replacement[:1].upper() + replacement[1:] if model[:1].isupper() else replacement


def _rebuilt(texts: list[str], block: _Characters, edits: Mapping[int, str]) -> list[str]:
    """The texts with the words of these numbers replaced."""
    parts: dict[int, list[str]] = {}
    done: dict[int, int] = {}
    for number in sorted(edits):
        text = int(block.owner[number])
        begin = int(block.starts[number] - block.offset[text])
        parts.setdefault(text, []).extend((texts[text][done.get(text, 0) : begin], edits[number]))
        done[text] = begin + int(block.lengths[number])
    noisy = list(texts)
    for text, pieces in parts.items():
        noisy[text] = "".join([*pieces, texts[text][done[text] :]])
    return noisy
