"""Words as the cheap grader compares them: cut, folded, without plural endings; likeness by letters; measures."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

TERM = re.compile(r"[^\W\d_]+|\d+(?:[./]\d+)*")  # letters and digits part company: "5gal" meets "5 gal"
# how catalogues write one unit; the mark " for inches and ' for feet too
UNITS = {
    "in": "inch",
    "ft": "foot",
    "feet": "foot",
    "yd": "yard",
    "gal": "gallon",
    "qt": "quart",
    "oz": "ounce",
    "lb": "pound",
    "lbs": "pound",
    "watts": "watt",
    "w": "watt",
    "volts": "volt",
    "v": "volt",
    "amps": "amp",
    "a": "amp",
    "pc": "pack",
    "pk": "pack",
    "piece": "pack",
    "count": "pack",
    "ct": "pack",
}
_MARKS = str.maketrans({'"': " inch ", "″": " inch ", "”": " inch ", "′": " foot "})
_PRIME = re.compile(r"(?<=\d)'(?!\w)")


def words(text: str) -> list[str]:
    """The words of a text in order: lower case, accents folded, singular.

    A word is a run of letters of any script, or a number with its fraction ("1/2", "2.5").
    """
    marked = _PRIME.sub(" foot ", text.translate(_MARKS)).casefold()
    if not marked.isascii():
        marked = "".join(one for one in unicodedata.normalize("NFKD", marked) if not unicodedata.combining(one))
    return [singular(one) for one in TERM.findall(marked)]


def singular(word: str) -> str:
    """The word without an English plural ending. Harman's S stemmer (1991): "ies", "es", "s", each with exceptions."""
    if len(word) > 3 and word.endswith("s"):
        if word.endswith("ies") and not word.endswith(("eies", "aies")):
            return word[:-3] + "y"
        if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
            return word[:-1]
        if not word.endswith(("us", "ss", "es")):
            return word[:-1]
    return word


def letters(word: str) -> frozenset[str]:
    """Runs of three letters of a word with its ends marked."""
    marked = f"^{word}$"
    return frozenset(marked[at : at + 3] for at in range(len(marked) - 2))


def likeness(first: frozenset[str], second: frozenset[str]) -> float:
    """2 |A and B| / (|A| + |B|) of the `letters` of two words (Dice 1945): 1 for the same word, misspellings high."""
    return 2 * len(first & second) / (len(first) + len(second))


def is_number(word: str) -> bool:
    """Whether a word, as `words` cuts it, is a number."""
    return word[0].isdigit()


def measures(found: list[str]) -> dict[str, set[str]]:
    """Numbers by the word that follows each, units under one name: {"gallon": {"5"}} for "5 gal bucket"."""
    held: dict[str, set[str]] = {}
    for number, unit in pairwise(found):
        if is_number(number) and not is_number(unit):
            held.setdefault(UNITS.get(unit, unit), set()).add(number)
    return held
