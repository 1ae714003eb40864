"""What people type for a letter, given the letters before it: counts, learnt from misspellings or written by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import fingerprint, read_json, write_json
from motherlode.errors import InputError
from motherlode.text.alignment import LETTERS, Alignment, align, alignable

ORDERS = (0, 1, 2, 3)  # letters of context
START = "<"  # what stands before a word
SWAP = "⇄"  # in place of a replacement: the letter changes places with the next one
LEAST = 5  # times a context must have been met: below that, shorter ones know better
LONGEST_REPLACEMENT = 3
AT_ONCE = 8_192  # words aligned together
FORMAT = "motherlode spelling 1"

_BASE = len(LETTERS) + 1  # code 0 is the start of a word; the codes of a to z are 1 to 26
_SWAPPED = _BASE**LONGEST_REPLACEMENT  # code of SWAP among the replacements

Counts = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class SpellingStatistics:
    """How often a letter became what, by context.

    Attributes:
        counts: context and letter -> replacement -> count. The key is 0 to 3 characters of context ("<" before the
            word) and the letter; the replacement is what was typed: "" nothing, "⇄" swapped with the next letter,
            or up to 3 letters, the letter itself among them.
        source: where they come from; pairs: how many of words they were learnt from.
    """

    counts: Counts
    source: str = ""
    pairs: int = 0

    @classmethod
    def learn(cls, wrong: Sequence[str], right: Sequence[str], source: str = "") -> SpellingStatistics:
        """Count what each letter of the right words became in the wrong ones.

        Words are lower-cased and aligned as in `alignment.align`. Left out: pairs with anything but the letters a to z,
        equal ones, and those more than 1 + length // 4 edits apart, which are other words rather than slips. The
        letter that a swapped one changed places with counts nowhere. Contexts met fewer than 5 times are dropped.

        Misspellings alone say how errors fall, not how frequent they are: the noiser's edit budgets decide that.

        Raises InputError where no pair is left.
        """
        if len(wrong) != len(right):
            raise ValueError(f"There are {len(wrong)} misspellings for {len(right)} corrections.")
        chosen = [
            (typed, meant)
            for typed, meant in ((a.lower(), b.lower()) for a, b in zip(wrong, right, strict=True))
            if typed != meant and alignable(typed) and alignable(meant)
        ]
        keys: list[NDArray[np.int64]] = []
        pairs = 0
        for start in range(0, len(chosen), AT_ONCE):
            typed, meant = zip(*chosen[start : start + AT_ONCE], strict=True)
            found = align(typed, meant)
            near = found.distances <= 1 + found.lengths // 4
            pairs += int(near.sum())
            keys.append(_events(found, near))
        if not pairs:
            raise InputError(
                f"None of the {len(wrong):,} word pairs{f' of {source}' if source else ''} is a misspelling in letters "
                "a to z near its correction: give single words, wrong ones first."
            )
        return cls(dict(_counted(np.concatenate(keys))), source, pairs)

    @classmethod
    def load(cls, path: Path | str) -> SpellingStatistics:
        """Read what `save` wrote. Raises InputError for a file that is none, naming the entry at fault."""
        try:
            read = read_json(path)
        except (ValueError, OSError) as error:
            raise InputError(f"{path} cannot be read as JSON: save the spelling statistics again.") from error
        if not isinstance(read, dict) or read.get("format") != FORMAT or not isinstance(read.get("counts"), dict):
            raise InputError(f"{path} holds no spelling statistics ('{FORMAT}'): save them again.")
        for key, row in read["counts"].items():
            if (problem := _problem(key, row)) is not None:
                raise InputError(f"{path}, counts[{key!r}]: {problem}; mend the entry or learn the statistics again.")
        return cls(read["counts"], str(read.get("source", "")), int(read.get("pairs", 0)))

    def save(self, path: Path | str) -> None:
        """Write them as JSON, whole or not at all."""
        record = {"format": FORMAT, "source": self.source, "pairs": self.pairs, "counts": self.counts}
        write_json(path, record)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the counts."""
        return fingerprint({key: dict(row) for key, row in self.counts.items()})


def word_pairs(wrong: Sequence[str], right: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words in which misspelt queries differ from their corrections: wrong words, right words.

    Queries are compared word by word; those whose correction has another number of words are left out.
    """
    typed, meant = [], []
    for one, other in zip(wrong, right, strict=True):
        words, corrected = one.split(), other.split()
        if len(words) == len(corrected):
            differing = [(a, b) for a, b in zip(words, corrected, strict=True) if a != b]
            typed += [a for a, _ in differing]
            meant += [b for _, b in differing]
    return typed, meant


def _events(found: Alignment, near: NDArray[np.bool_]) -> NDArray[np.int64]:
    """One number for each (order, context, letter, replacement) met, as often as it was met."""
    n, longest = found.right.shape
    place = np.arange(longest)
    sizes = np.diff(found.cuts, axis=1)
    after_swap = np.zeros_like(found.swapped)
    after_swap[:, 1:] = found.swapped[:, :-1]
    told = near[:, None] & (place < found.lengths[:, None]) & (sizes <= LONGEST_REPLACEMENT) & ~after_swap
    # a letter typed into a swapped pair belongs to neither of them alone
    told &= ~found.swapped | (sizes == 1)
    replacement = np.zeros((n, longest), dtype=np.int64)
    padded = np.pad(found.wrong, ((0, 0), (0, LONGEST_REPLACEMENT))).astype(np.int64)
    rows = np.arange(n)[:, None]
    for step in range(LONGEST_REPLACEMENT):
        inside = step < sizes
        letter = padded[rows, np.minimum(found.cuts[:, :-1] + step, padded.shape[1] - 1)]
        replacement = np.where(inside, replacement * _BASE + letter, replacement)
    replacement[found.swapped] = _SWAPPED
    before = np.pad(found.right, ((0, 0), (max(ORDERS), 0))).astype(np.int64)
    context = np.zeros((n, longest), dtype=np.int64)
    events = []
    for order in ORDERS:
        if order:
            context += before[:, max(ORDERS) - order : max(ORDERS) - order + longest] * _BASE ** (order - 1)
        key = (order * _BASE ** max(ORDERS) + context) * _BASE + found.right
        events.append((key * (_SWAPPED + 1) + replacement)[told])
    return np.concatenate(events)


def _counted(events: NDArray[np.int64]) -> Iterator[tuple[str, dict[str, float]]]:
    distinct, counts = np.unique(events, return_counts=True)
    keys, replacements = np.divmod(distinct, _SWAPPED + 1)
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    for begin, end in zip(starts, np.append(starts[1:], len(keys)), strict=True):
        if counts[begin:end].sum() < LEAST:
            continue
        rest, letter = divmod(int(keys[begin]), _BASE)
        order, context = divmod(rest, _BASE ** max(ORDERS))
        name = _spelt(context, order) + LETTERS[letter - 1]
        yield name, {_typed(int(replacements[row])): float(counts[row]) for row in range(begin, end)}


def _spelt(context: int, order: int) -> str:
    digits = [context // _BASE**place % _BASE for place in reversed(range(order))]
    return "".join(LETTERS[digit - 1] if digit else START for digit in digits)


def _typed(replacement: int) -> str:
    if replacement == _SWAPPED:
        return SWAP
    letters = ""
    while replacement:
        replacement, digit = divmod(replacement, _BASE)
        letters = LETTERS[digit - 1] + letters
    return letters


def _problem(key: str, row: object) -> str | None:
    context, letter = key[:-1], key[-1:]
    if len(context) > max(ORDERS) or letter not in LETTERS or not letter:
        return "the key is not 0 to 3 characters of context and a letter a to z"
    if context.lstrip(START).strip(LETTERS):
        return "the context is not letters a to z with '<' in front"
    if not isinstance(row, dict) or not row:
        return "it holds no replacements"
    for typed, count in row.items():
        if typed != SWAP and (len(typed) > LONGEST_REPLACEMENT or typed.strip(LETTERS)):
            return f"the replacement {typed!r} is neither '{SWAP}' nor up to {LONGEST_REPLACEMENT} letters a to z"
        if isinstance(count, bool) or not isinstance(count, (int, float)) or not 0 < count < float("inf"):
            return f"the count of {typed!r} is not a number above 0"
    return None
