"""How much like real misspellings are the noiser's? Held-out words and queries, edits aligned alike on both sides.

    MOTHERLODE_DATA=... python benchmarks/spelling.py

Statistics are learnt from four fifths of the corrected words of the English list (by a hash of the word) and compared
on the other fifth, and on Home Depot's own misspelt queries, which nothing was learnt from; the shipped statistics and
edits that fall evenly stand beside them. Distances are total variation: half the sum of absolute differences, 0 alike,
1 apart.
"""

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl

import common
from motherlode.datasets.source import default_root
from motherlode.datasets.typos import read
from motherlode.tables.hashing import hash_ids
from motherlode.text.alignment import LETTERS, align, alignable
from motherlode.text.keyboard import keyboard_statistics
from motherlode.text.spelling import BUDGETS, SpellingNoiser
from motherlode.text.spelling_statistics import SWAP, SpellingStatistics, word_pairs

DRAWS = 20  # misspellings drawn of each held-out word
Words = list[tuple[str, str]]  # wrong, right
Edit = tuple[str, int, str, str]  # kind, fifth of the word, letter, what was typed


def words_of(wrong: Sequence[str], right: Sequence[str]) -> Words:
    """The pairs that statistics would be learnt from, each once."""
    pairs = {(a.lower(), b.lower()) for a, b in zip(wrong, right, strict=True)}
    chosen = sorted((a, b) for a, b in pairs if a != b and alignable(a) and alignable(b))
    distances = align([a for a, _ in chosen], [b for _, b in chosen]).distances
    return [pair for pair, far in zip(chosen, distances.tolist(), strict=True) if far <= 1 + len(pair[1]) // 4]


def edits(pairs: Words) -> list[list[Edit]]:
    """What was done to each word, letter by letter."""
    found = align([wrong for wrong, _ in pairs], [right for _, right in pairs])
    every = []
    for row, (wrong, right) in enumerate(pairs):
        done: list[Edit] = []
        for i, letter in enumerate(right):
            typed = wrong[found.cuts[row, i] : found.cuts[row, i + 1]]
            place = 5 * i // len(right)
            if found.swapped[row, i]:
                done.append(("swap", place, letter, SWAP))
            elif not (i and found.swapped[row, i - 1]) and typed != letter:
                doubled = typed == letter * 2
                kind = "delete" if not typed else "substitute" if len(typed) == 1 else "insert"
                done.append(("double" if doubled else kind, place, letter, typed))
        every.append(done)
    return every


def shares(values: list[object]) -> dict[object, float]:
    return {value: count / len(values) for value, count in Counter(values).items()}


def apart(one: dict[object, float], other: dict[object, float]) -> float:
    return round(sum(abs(one.get(key, 0.0) - other.get(key, 0.0)) for key in {*one, *other}) / 2, 3)


def reach(pairs: Words, done: list[list[Edit]], statistics: SpellingStatistics) -> float:
    """Share of the real misspellings that the noiser could make: every edit known, and no more than the budget."""
    able = 0
    for (_, right), changes in zip(pairs, done, strict=True):
        most = next(len(chances) - 1 for longest, chances in BUDGETS if longest is None or len(right) <= longest)
        able += len(changes) <= most and all(typed in statistics.counts.get(a, {}) for _, _, a, typed in changes)
    return round(able / len(pairs), 3)


def compare(real: Words, statistics: SpellingStatistics) -> dict[str, float]:
    """The noiser's misspellings of the same words against the real ones; homophones are left aside."""
    right = sorted({word for _, word in real})
    texts = [word for word in right for _ in range(DRAWS)]
    began = time.process_time()
    noisy = SpellingNoiser(statistics, confusable={}).noise(texts, [str(i) for i in range(len(texts))], 0)
    seconds = time.process_time() - began
    drawn = [(wrong, word) for wrong, word in zip(noisy, texts, strict=True) if wrong != word and alignable(wrong)]
    theirs, ours = edits(real), edits(drawn)
    flat = [[edit for word in side for edit in word] for side in (theirs, ours)]
    views = {
        "kinds": lambda edit: edit[0],
        "places": lambda edit: edit[1],
        "letters": lambda edit: edit[2],
        "replacements": lambda edit: edit[2:],
    }
    found = {name: apart(*(shares([view(edit) for edit in side]) for side in flat)) for name, view in views.items()}
    found["edits a word"] = apart(*(shares([len(word) for word in side]) for side in (theirs, ours)))
    found["reachable"] = reach(real, theirs, statistics)
    made = set(drawn)
    found[f"made in {DRAWS} draws"] = round(sum(pair in made for pair in real) / len(real), 3)
    found["changed"] = round(len(drawn) / len(texts), 3)
    found["texts a CPU-second"] = round(len(texts) / seconds)
    return found


def evenly() -> SpellingStatistics:
    """The rival: deletion, swap, any other letter, any letter more, all four alike, wherever it be."""
    counts = {}
    for letter in LETTERS:
        row = {letter: 0.88, "": 0.03, SWAP: 0.03}
        row |= {other: 0.03 / 25 for other in LETTERS if other != letter}
        row |= {letter + other: 0.03 / 26 for other in LETTERS}
        counts[letter] = row
    return SpellingStatistics(counts, "evenly")


def main() -> None:
    typos = read()
    held_out = pl.Series(hash_ids(typos["correction"].str.to_lowercase(), 0, "held out") % np.uint64(5) == 0)
    learnt_from = typos.filter(~held_out)
    systems = {
        "learnt from the English list": SpellingStatistics.learn(
            learnt_from["misspelling"].to_list(), learnt_from["correction"].to_list()
        ),
        "shipped": keyboard_statistics(),
        "evenly": evenly(),
    }
    rest = typos.filter(held_out)
    queries = pl.read_parquet(default_root() / "homedepot_search/query_corrections.parquet")
    tests = {
        "English words": words_of(rest["misspelling"].to_list(), rest["correction"].to_list()),
        "Home Depot queries": words_of(*word_pairs(queries["query"].to_list(), queries["corrected"].to_list())),
    }
    found = {
        name: {"words": len(real), **{system: compare(real, statistics) for system, statistics in systems.items()}}
        for name, real in tests.items()
    }
    common.write("spelling", {"learnt from": systems["learnt from the English list"].pairs, "held out": found})


if __name__ == "__main__":
    main()
