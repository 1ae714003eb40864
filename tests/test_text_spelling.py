"""The noiser: its mixture, budgets and draws re-derived; nothing but Latin letters ever changes."""

import string
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from motherlode.text.keyboard import keyboard_statistics
from motherlode.text.spelling import SpellingNoiser
from motherlode.text.spelling_statistics import SWAP, SpellingStatistics
from motherlode.text.spelling_tables import OTHER, SpellingTables

MANY = 20_000
CASES = SpellingStatistics(
    {
        "a": {"a": 3, "e": 1},
        "b": {"b": 1, "": 1, SWAP: 2},
        "<a": {"a": 9, "o": 1},
        "ab": {"b": 1, "bb": 1},
        "<<<a": {"a": 1, "ai": 4},
        "<ab": {"p": 1},
        "bab": {"b": 5, "e": 5},
    }
)


def slow_mixture(statistics: SpellingStatistics, before: str, letter: str) -> dict[str, float]:
    """§1.7 step 3 for one letter."""
    found: dict[str, float] = {}
    total = 0.0
    for order, weight in enumerate((0.025, 0.05, 0.2, 0.7)):
        row = statistics.counts.get(("<<<" + before)[len(before) + 3 - order :] + letter)
        if row is None:
            continue
        total += weight
        for typed, count in row.items():
            found[typed] = found.get(typed, 0.0) + weight * count / sum(row.values())
    return {typed: share / total for typed, share in found.items()}


@pytest.mark.parametrize("before", ["", "a", "b", "ab", "ba", "bab", "aab", "7a", "éb"])
@pytest.mark.parametrize("letter", ["a", "b", "c"])
@pytest.mark.parametrize("statistics", [CASES, keyboard_statistics()], ids=["cases", "keyboard"])
def test_each_letter_is_drawn_from_the_mixture_over_its_contexts(
    statistics: SpellingStatistics, before: str, letter: str
) -> None:
    tables = SpellingTables(statistics)
    codes = [string.ascii_lowercase.index(one) + 1 if one in string.ascii_lowercase else OTHER for one in before]
    padded = ([0, 0, 0, *codes])[-3:]
    contexts = np.repeat(np.array(padded[::-1])[:, None], MANY, axis=1)
    rows = tables.rows(contexts, np.full(MANY, string.ascii_lowercase.index(letter) + 1))
    rng = np.random.default_rng(6)
    typed = tables.sample(rows, rng.random(MANY), rng.random(MANY))
    expected = slow_mixture(statistics, before, letter)
    if not expected:
        assert (typed == -1).all()
        return
    drawn = Counter(tables.replacements[number] for number in typed.tolist())
    assert set(drawn) <= set(expected)
    for replacement, share in expected.items():
        assert drawn[replacement] / MANY == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / MANY) + 1e-4)
        number = np.full(MANY, tables.replacements.index(replacement))
        np.testing.assert_allclose(tables.chance(rows, number), share, rtol=1e-9)


@pytest.mark.parametrize(
    ("length", "chances"),
    [
        (1, (0.9, 0.1)),
        (3, (0.9, 0.1)),
        (4, (0.7, 0.15, 0.15)),
        (6, (0.7, 0.15, 0.15)),
        (7, (0.2, 0.25, 0.35, 0.15, 0.05)),
        (15, (0.2, 0.25, 0.35, 0.15, 0.05)),
    ],
)
def test_as_many_letters_change_as_the_budget_allows(length: int, chances: tuple[float, ...]) -> None:
    always = SpellingNoiser(SpellingStatistics({"a": {"b": 1}}), confusable={})
    noisy = always.noise(["a" * length] * MANY, [str(i) for i in range(MANY)], 1)
    edits = Counter(text.count("b") for text in noisy)
    assert set(edits) == set(range(len(chances)))
    for budget, chance in enumerate(chances):
        assert edits[budget] / MANY == pytest.approx(chance, abs=0.012)


def test_letters_win_the_budget_in_proportion_to_the_chance_of_what_was_drawn() -> None:
    statistics = SpellingStatistics({"a": {"x": 1}, "b": {"y": 0.5, "z": 0.5}})
    noisy = SpellingNoiser(statistics, confusable={}).noise(["ab"] * MANY, [str(i) for i in range(MANY)], 2)
    found = Counter(noisy)
    changed = MANY - found["ab"]
    assert found["xb"] / changed == pytest.approx(2 / 3, abs=0.04)  # 1 against 1/2
    assert found["ay"] / changed == pytest.approx(1 / 6, abs=0.03)


def test_a_homophone_comes_one_time_in_ten_and_is_then_left_alone() -> None:
    statistics = SpellingStatistics({"w": {"v": 1}})
    noiser = SpellingNoiser(statistics, confusable={"flour": ("flower", "floor")})
    noisy = Counter(noiser.noise(["rye\tFlour  2kg"] * MANY, [str(i) for i in range(MANY)], 3))
    assert set(noisy) == {"rye\tFlour  2kg", "rye\tFlower  2kg", "rye\tFloor  2kg"}
    assert noisy["rye\tFlower  2kg"] / MANY == pytest.approx(0.05, abs=0.008)
    assert noisy["rye\tFloor  2kg"] / MANY == pytest.approx(0.05, abs=0.008)


@pytest.mark.parametrize(
    "text",
    [
        "μαύρα παπούτσια 42",
        "लाल साड़ी",
        "حذاء رياضي",
        "黑色 跑步鞋",
        "ランニングシューズ",
        "빨간 구두",
        "рюкзак",
        "👩‍👩‍👧 🎁 1️⃣",
        "e\u0301te\u0301"[:2],
        '18 2*4 3/4 #8 & ½"',
        "",
        "   ",
    ],
)
def test_other_scripts_signs_and_numbers_are_left_as_they_are(text: str) -> None:
    every = {letter: {"z" if letter != "z" else "y": 1.0} for letter in string.ascii_lowercase}
    noiser = SpellingNoiser(SpellingStatistics(every))
    assert noiser.noise([text] * 200, [str(i) for i in range(200)], 4) == [text] * 200


TEXTS = st.lists(
    st.sampled_from(
        [*"abcde", *"ABC", *" \t-'&7", "é", "e\u0301", "ß", "म", "क्ष", "ش", "猫", "ｶﾞ", "👍🏽", "\u200d", "\ud800"]
    ),
    max_size=25,
).map("".join)


def only_others(text: str) -> list[str]:
    return [one for one in text if one not in string.ascii_letters]


@hypothesis_settings(max_examples=60)
@given(st.lists(TEXTS, min_size=1, max_size=6), st.integers(0, 99))
def test_whatever_is_no_latin_letter_stays_in_its_order(texts: list[str], seed: int) -> None:
    noisy = SpellingNoiser(confusable={}).noise(texts, [f"q{i}" for i in range(len(texts))], seed)
    for text, other in zip(texts, noisy, strict=True):
        assert only_others(other) == only_others(text)
        assert len(other.split()) == len(text.split())  # no word appears or goes
        for at, character in enumerate(text[:-1]):
            if character in string.ascii_letters and text[at + 1] in "\u0301\u200d":
                assert text[at : at + 2] in other


def test_the_draw_depends_on_seed_and_id_alone() -> None:
    noiser = SpellingNoiser()
    texts = [f"cordless hammer drill number {word}" for word in ("one", "two", "three", "four") * 50]
    ids = [f"q{i}" for i in range(len(texts))]
    noisy = noiser.noise(texts, ids, 7)
    assert noisy != noiser.noise(texts, ids, 8)
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = noiser.noise([texts[row] for row in order], [ids[row] for row in order], 7)
    assert shuffled == [noisy[row] for row in order]
    assert noiser.noise(texts[3:4], ids[3:4], 7) == noisy[3:4]
    assert noiser.noise(["x", texts[3]], ["another", ids[3]], 7)[1] == noisy[3]


@pytest.mark.parametrize("neighbour", ["\u0301x", "abc", "", " "])
def test_the_text_beside_it_does_not_show(neighbour: str) -> None:
    always = SpellingNoiser(SpellingStatistics({"a": {"b": 1}}), confusable={})
    alone = always.noise(["a"] * 100, [str(i) for i in range(100)], 0)
    assert "b" in alone
    beside = [always.noise([neighbour, "a", neighbour], ["x", str(i), "y"], 0)[1] for i in range(100)]
    assert beside == alone
    assert always.noise([""], ["q"], 0) == [""]


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, ids = ["stainless steel sink", "bath mat"] * 20, [str(i) for i in range(40)]
    whole = SpellingNoiser().noise(texts, ids, 0)
    monkeypatch.setattr("motherlode.text.spelling.AT_ONCE", 7)
    assert SpellingNoiser().noise(texts, ids, 0) == whole


def test_a_swap_takes_the_next_letter_and_keeps_capitals_in_place() -> None:
    swapping = SpellingNoiser(SpellingStatistics({"a": {SWAP: 1}}), confusable={})
    found = {
        text: set(swapping.noise([text] * 400, [str(i) for i in range(400)], 1)) - {text}
        for text in ("ab", "Ab", "AB", "aa", "a", "ba", "a-b", "abé", "abab")
    }
    assert found["ab"] == {"ba"}
    assert found["Ab"] == {"Ba"}
    assert found["AB"] == {"BA"}
    assert found["abé"] == {"baé"}
    assert found["abab"] == {"baab", "abba", "baba"}
    assert found["aa"] == found["a"] == found["ba"] == found["a-b"] == set()


def test_a_word_is_never_deleted_and_capitals_stay() -> None:
    deleting = SpellingNoiser(SpellingStatistics({"a": {"": 1}, "b": {"xy": 1}}), confusable={})
    ids = [str(i) for i in range(300)]
    assert set(deleting.noise(["a a"] * 300, ids, 1)) == {"a a"}
    assert set(deleting.noise(["aa"] * 300, ids, 1)) == {"aa", "a"}
    assert set(deleting.noise(["Bc"] * 300, ids, 1)) == {"Bc", "Xyc"}
    assert set(deleting.noise(["BC"] * 300, ids, 1)) == {"BC", "XYC"}
