"""Which letters of a correct word became which letters of its misspelling, for many words at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONGEST = 24  # letters; a longer word is no word of a query
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Alignment:
    """n word pairs, letter by letter.

    Letter i of the right word p became wrong[p, cuts[p, i] : cuts[p, i + 1]]: nothing (deletion), itself, another
    letter (substitution), or several (insertion). Where swapped[p, i], it changed places with letter i + 1 instead.

    Attributes:
        right, wrong: the words as int8 [n, LONGEST], 1 to 26 for a to z, 0 after the end.
        lengths: letters of the right words, int64 [n].
        distances: edits that turn right into wrong, int64 [n].
        cuts: int64 [n, LONGEST + 1]; swapped: bool [n, LONGEST].
    """

    right: NDArray[np.int8]
    wrong: NDArray[np.int8]
    lengths: NDArray[np.int64]
    distances: NDArray[np.int64]
    cuts: NDArray[np.int64]
    swapped: NDArray[np.bool_]


def alignable(word: str) -> bool:
    """Whether a word is of 1 to LONGEST letters a to z."""
    return 0 < len(word) <= LONGEST and word.isascii() and word.isalpha() and word.islower()


def align(wrong: Sequence[str], right: Sequence[str]) -> Alignment:
    """Align misspellings with their corrections by the fewest edits.

    An edit inserts, deletes or substitutes one letter or swaps two neighbours, and no letter is edited twice (optimal
    string alignment: Damerau, CACM 7(3), 1964). Of equally short alignments a swap is preferred, and insertions
    and deletions stand as late as they can: "ll" for "l" is then l -> ll, and "l" for "ll" loses the second. An
    inserted letter belongs to the letter before it, or to the first where it stands in front.

    Words must be `alignable`. O(LONGEST²) vector operations over the n pairs.
    """
    rights, wrongs = _encoded(right), _encoded(wrong)
    n, width = len(rights), LONGEST + 1
    table = np.zeros((width, width, n), dtype=np.int8)  # [letters of right, letters of wrong, pair]
    table[:, 0] = np.arange(width)[:, None]
    table[0] = np.arange(width)[:, None]
    for i in range(1, width):
        for j in range(1, width):
            best = table[i - 1, j - 1] + (rights[:, i - 1] != wrongs[:, j - 1])
            np.minimum(best, table[i - 1, j] + 1, out=best)
            np.minimum(best, table[i, j - 1] + 1, out=best)
            if i > 1 and j > 1:
                swap = (rights[:, i - 1] == wrongs[:, j - 2]) & (rights[:, i - 2] == wrongs[:, j - 1])
                np.minimum(best, table[i - 2, j - 2] + 1, out=best, where=swap)
            table[i, j] = best
    lengths, ends = (rights > 0).sum(axis=1), (wrongs > 0).sum(axis=1)
    distances = table[lengths, ends, np.arange(n)].astype(np.int64)
    cuts, swapped = _walk(table, rights, wrongs, lengths, ends)
    return Alignment(rights, wrongs, lengths, distances, cuts, swapped)


def _walk(
    table: NDArray[np.int8],
    rights: NDArray[np.int8],
    wrongs: NDArray[np.int8],
    lengths: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Go back from the ends of both words along a shortest path, all pairs in step."""
    n = len(lengths)
    cuts = np.zeros((n, LONGEST + 1), dtype=np.int64)
    swapped = np.zeros((n, LONGEST), dtype=bool)
    cuts[np.arange(n), lengths] = ends
    i, j = lengths.copy(), ends.copy()
    while True:
        active = np.flatnonzero(i > 0)  # what is left of wrong once right is used up belongs to its first letter
        if not len(active):
            cuts[:, 0] = 0
            return cuts, swapped
        at, to = i[active], j[active]
        here = table[at, to, active]
        before, ahead = np.maximum(at - 2, 0), np.maximum(to - 2, 0)
        swap = (at > 1) & (to > 1) & (table[before, ahead, active] + 1 == here)
        last_right, last_wrong = rights[active, at - 1], wrongs[active, np.maximum(to - 1, 0)]
        swap &= (last_right == wrongs[active, ahead]) & (rights[active, before] == last_wrong)
        swap &= last_right != last_wrong
        insert = ~swap & (to > 0) & (table[at, np.maximum(to - 1, 0), active] + 1 == here)
        delete = ~swap & ~insert & (table[at - 1, to, active] + 1 == here)
        step_right = np.where(swap, 2, np.where(insert, 0, 1))
        step_wrong = np.where(swap, 2, np.where(delete, 0, 1))
        pairs, place = active[swap], at[swap]
        cuts[pairs, place - 1] = to[swap] - 1
        swapped[pairs, place - 2] = True
        i[active], j[active] = at - step_right, to - step_wrong
        moved = active[~insert]
        cuts[moved, i[moved]] = j[moved]


def _encoded(words: Sequence[str]) -> NDArray[np.int8]:
    padded = np.array(list(words), dtype=f"S{LONGEST}")
    codes = padded.view(np.uint8).reshape(len(words), LONGEST)
    return np.where(codes > 0, codes - (ord("a") - 1), 0).astype(np.int8)
