"""Spelling statistics that ship: slips on a QWERTY keyboard and of the ear, by round numbers of our own.

They are learnt from no data set, so nothing is owed to one; misspellings of one's own, where they exist, are better
(`SpellingStatistics.learn`).
"""

from functools import cache

from motherlode.text.alignment import LETTERS
from motherlode.text.spelling_statistics import START, SWAP, SpellingStatistics

ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))  # keys and how far right a row begins
REACH = 1.3  # key widths between neighbours

SOUNDS = ("aeiouy", "ck", "sc", "sz", "gj", "ckq", "fv", "dt", "bp", "mn", "vw")  # letters written for each other

ERROR = 0.12  # chance that a letter is touched at all; the edit budgets of the noiser cap what comes of it
FIRST = 0.03  # the same for the first letter of a word, which people mostly get right
KINDS = {"delete": 0.35, "insert": 0.25, "substitute": 0.25, "swap": 0.15}
DOUBLED = 0.5  # of other insertions: the letter itself a second time; the others are neighbouring keys
BY_EAR = 0.6  # of other substitutions, where the letter has a sound-alike; the others are neighbouring keys
STRAY = 0.2  # of substitutions and insertions: any letter, for slips that neither hand nor ear explains
SECOND = 3.0  # how much likelier the second of a double letter is to be dropped


@cache
def keyboard_statistics() -> SpellingStatistics:
    """Counts (shares, that is) for every letter alone and after every letter or the start of a word."""
    counts = {}
    for letter in LETTERS:
        counts[letter] = _row(letter, None)
        for before in START + LETTERS:
            counts[before + letter] = _row(letter, before)
    return SpellingStatistics(counts, "QWERTY neighbours and sound-alikes, shipped with motherlode")


@cache
def neighbours(letter: str) -> str:
    """The letters on the keys around this one, in the order of the alphabet."""
    x, y = _place(letter)
    return "".join(
        other
        for other in LETTERS
        if other != letter and (_place(other)[0] - x) ** 2 + (_place(other)[1] - y) ** 2 < REACH**2
    )


def sound_alikes(letter: str) -> str:
    """The letters that people write for this one by ear, in the order of the alphabet."""
    return "".join(sorted({other for group in SOUNDS if letter in group for other in group} - {letter}))


def _place(letter: str) -> tuple[float, float]:
    for height, (keys, shift) in enumerate(ROWS):
        if letter in keys:
            return keys.index(letter) + shift, float(height)
    raise ValueError(f"There is no key {letter!r}.")


def _row(letter: str, before: str | None) -> dict[str, float]:
    kinds = dict(KINDS)
    if before == letter:
        kinds["delete"] *= SECOND
    touched = (FIRST if before == START else ERROR) / sum(kinds.values())
    row = {letter: 1.0 - touched * sum(kinds.values()), "": touched * kinds["delete"], SWAP: touched * kinds["swap"]}

    def share(total: float, replacements: list[str]) -> None:
        for replacement in replacements:
            row[replacement] = row.get(replacement, 0.0) + total / len(replacements)

    near, alike = list(neighbours(letter)), list(sound_alikes(letter))
    others = [other for other in LETTERS if other != letter]
    substitute, insert = touched * kinds["substitute"], touched * kinds["insert"]
    share(substitute * STRAY, others)
    share(insert * STRAY, [letter + other for other in others])
    by_ear = BY_EAR if alike else 0.0
    share(substitute * (1 - STRAY) * by_ear, alike)
    share(substitute * (1 - STRAY) * (1 - by_ear), near)
    # a third letter of a kind is no slip that people leave standing
    doubled = 0.0 if before == letter else DOUBLED
    share(insert * (1 - STRAY) * doubled, [letter + letter])
    share(insert * (1 - STRAY) * (1 - doubled), [letter + key for key in near])
    if not doubled:
        del row[letter + letter]
    return row
