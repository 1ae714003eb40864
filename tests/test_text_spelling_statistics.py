"""Learning from misspellings: counted again letter by letter; files that are none are refused by name."""

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from motherlode.datasets.typos import read
from motherlode.errors import InputError
from motherlode.text.alignment import align
from motherlode.text.homophones import TABLE, homophones
from motherlode.text.keyboard import keyboard_statistics, neighbours, sound_alikes
from motherlode.text.spelling_statistics import LEAST, SWAP, SpellingStatistics, word_pairs


def slow_counts(pairs: list[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Every letter of every pair looked at by itself."""
    counts: dict[str, Counter[str]] = {}
    for wrong, right in pairs:
        found = align([wrong], [right])
        if not 0 < found.distances[0] <= 1 + len(right) // 4:
            continue
        for i, letter in enumerate(right):
            piece = wrong[found.cuts[0, i] : found.cuts[0, i + 1]]
            if (i and found.swapped[0, i - 1]) or len(piece) > 3:
                continue
            if found.swapped[0, i]:
                if len(piece) != 1:
                    continue
                piece = SWAP
            for order in range(4):
                context = ("<<<" + right)[i + 3 - order : i + 3]
                counts.setdefault(context + letter, Counter())[piece] += 1
    return {key: dict(row) for key, row in counts.items() if row.total() >= LEAST}


def test_learning_counts_what_a_slow_reading_counts(data_root: Path) -> None:
    typos = read(data_root).sample(700, seed=3)
    pairs = [
        (wrong.lower(), right.lower())
        for wrong, right in typos.rows()
        if (wrong + right).isascii() and (wrong + right).isalpha() and max(len(wrong), len(right)) <= 24
    ]
    learnt = SpellingStatistics.learn(typos["misspelling"].to_list(), typos["correction"].to_list(), "a sample")
    assert learnt.counts == slow_counts(pairs)
    assert any(SWAP in row for row in learnt.counts.values())
    assert any("" in row for row in learnt.counts.values())


def test_capitals_numbers_and_other_words_are_left_out() -> None:
    wrong = ["Hamer", "2x", "hammer", "zzzzzz", "pâte", "ha mer"]
    learnt = SpellingStatistics.learn(wrong * 5, ["hammer", "2y", "hammer", "hammer", "pate", "hammer"] * 5)
    assert learnt.pairs == 5
    assert learnt.counts["mm"] == {"": 5.0}
    assert "z" not in "".join(typed for row in learnt.counts.values() for typed in row)
    with pytest.raises(InputError, match="of my list"):
        SpellingStatistics.learn(["2x"], ["2y"], "my list")


def test_statistics_come_back_from_their_file(tmp_path: Path) -> None:
    learnt = SpellingStatistics.learn(["recieve", "hamer"] * 5, ["receive", "hammer"] * 5, "two words")
    learnt.save(tmp_path / "spelling.json")
    again = SpellingStatistics.load(tmp_path / "spelling.json")
    assert again == learnt
    assert again.fingerprint == learnt.fingerprint != keyboard_statistics().fingerprint


@pytest.mark.parametrize(
    ("key", "row", "said"),
    [
        ("abcde", {"e": 1}, "0 to 3 characters"),
        ("a<b", {"b": 1}, "context"),
        ("1", {"a": 1}, "letter a to z"),
        ("", {"a": 1}, "letter a to z"),
        ("a", {}, "no replacements"),
        ("a", {"é": 1}, "'é'"),
        ("a", {"abcd": 1}, "'abcd'"),
        ("a", {"b": -1}, "above 0"),
        ("a", {"b": True}, "above 0"),
    ],
)
def test_a_damaged_file_is_refused_by_entry(tmp_path: Path, key: str, row: object, said: str) -> None:
    path = tmp_path / "spelling.json"
    path.write_text(json.dumps({"format": "motherlode spelling 1", "counts": {"b": {"b": 2}, key: row}}))
    with pytest.raises(InputError, match=said) as error:
        SpellingStatistics.load(path)
    assert str(path) in str(error.value)
    assert repr(key) in str(error.value)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    for text in ("[]", "{", '{"format": "another", "counts": {}}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match=r"x\.json"):
            SpellingStatistics.load(tmp_path / "x.json")


def test_words_of_misspelt_queries() -> None:
    queries = pl.DataFrame(
        {
            "wrong": ["bulk calking", "water proff board", "ok tile"],
            "right": ["bulk caulking", "waterproof board", "ok tile"],
        }
    )
    assert word_pairs(queries["wrong"].to_list(), queries["right"].to_list()) == (["calking"], ["caulking"])


def test_keyboard_rows_are_distributions_over_slips() -> None:
    counts = keyboard_statistics().counts
    assert len(counts) == 26 + 26 * 27
    for key, row in counts.items():
        assert sum(row.values()) == pytest.approx(1)
        assert row[key[-1]] == pytest.approx(0.97 if key.startswith("<") else 0.88)
        assert min(row.values()) > 0
    assert "lll" not in counts["ll"]
    assert counts["ll"][""] > counts["al"][""]
    assert counts["l"]["ll"] > counts["l"]["lk"]


def test_keys_are_neighbours_of_each_other() -> None:
    assert neighbours("g") == "bfhtvy"
    assert neighbours("q") == "aw"
    assert sound_alikes("c") == "kqs"
    for letter in "abcdefghijklmnopqrstuvwxyz":
        assert all(letter in neighbours(other) for other in neighbours(letter))
        assert all(letter in sound_alikes(other) for other in sound_alikes(letter))


def test_homophones_stand_for_each_other_and_never_for_themselves() -> None:
    table = homophones()
    assert set(table["carat"]) == {"carrot", "karat", "caret"}
    for word, others in table.items():
        assert word not in others
        assert len(set(others)) == len(others) > 0
        assert all(word in table[other] for other in others)
    lines = [frozenset(line.split()) for line in TABLE.strip().splitlines()]
    assert len(set(lines)) == len(lines)
    assert TABLE.lower() == TABLE
