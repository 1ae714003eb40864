"""Alignment of misspellings: against a textbook table, and by putting the wrong word together again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.text.alignment import Alignment, align, alignable

WORD = st.text("abc", min_size=1, max_size=7)


def slow_distance(wrong: str, right: str) -> int:
    """Optimal string alignment, cell by cell."""
    table = {(i, 0): i for i in range(len(right) + 1)} | {(0, j): j for j in range(len(wrong) + 1)}
    for i in range(1, len(right) + 1):
        for j in range(1, len(wrong) + 1):
            table[i, j] = min(
                table[i - 1, j] + 1,
                table[i, j - 1] + 1,
                table[i - 1, j - 1] + (right[i - 1] != wrong[j - 1]),
            )
            if i > 1 and j > 1 and right[i - 1] == wrong[j - 2] and right[i - 2] == wrong[j - 1]:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[len(right), len(wrong)]


def pieces(found: Alignment, row: int, wrong: str) -> list[str]:
    """What each letter became; "⇄" and the letter it jumped over for a swap."""
    cuts = found.cuts[row]
    return ["⇄" if found.swapped[row, i] else wrong[cuts[i] : cuts[i + 1]] for i in range(int(found.lengths[row]))]


@given(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=20))
def test_distances_are_the_textbooks_and_the_pieces_cost_as_much(words: list[tuple[str, str]]) -> None:
    found = align([wrong for wrong, _ in words], [right for _, right in words])
    for row, (wrong, right) in enumerate(words):
        assert found.distances[row] == slow_distance(wrong, right)
        cuts, length = found.cuts[row], len(right)
        assert cuts[0] == 0
        assert cuts[length] == len(wrong)
        assert (np.diff(cuts[: length + 1]) >= 0).all()
        cost, i = 0, 0
        while i < length:
            piece = wrong[cuts[i] : cuts[i + 1]]
            if found.swapped[row, i]:
                both = wrong[cuts[i] : cuts[i + 2]]
                # an insertion may stand behind the swap, or in front of the first letter
                assert right[i + 1] + right[i] in both
                cost += 1 + len(both) - 2
                i += 2
                continue
            cost += 1 if not piece else len(piece) - 1 + (right[i] not in piece)
            i += 1
        assert cost == found.distances[row]


@pytest.mark.parametrize(
    ("wrong", "right", "became"),
    [
        ("recieve", "receive", ["r", "e", "c", "⇄", "e", "v", "e"]),
        ("call", "cal", ["c", "a", "ll"]),
        ("cal", "call", ["c", "a", "l", ""]),
        ("acb", "ab", ["ac", "b"]),
        ("zx", "x", ["zx"]),
        ("tommorow", "tomorrow", ["t", "o", "mm", "o", "r", "", "o", "w"]),
        ("definate", "definite", ["d", "e", "f", "i", "n", "a", "t", "e"]),
        ("b", "ab", ["", "b"]),
    ],
)
def test_what_each_letter_became(wrong: str, right: str, became: list[str]) -> None:
    assert pieces(align([wrong], [right]), 0, wrong) == became


def test_only_letters_can_be_aligned() -> None:
    assert alignable("hammer")
    assert not any(map(alignable, ("", "Hammer", "2x4", "pâté", "don't", "a" * 25, "two words")))
