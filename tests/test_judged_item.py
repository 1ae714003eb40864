"""The item's text for judges: its parts in order, nothing lost but what is empty or too long."""

from hypothesis import given
from hypothesis import strategies as st

from motherlode.text.judged_item import cut, judged_item

words = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="…"), min_size=1, max_size=12)
lines = st.lists(words, max_size=60).map(" ".join)


def test_all_parts_in_their_order() -> None:
    text = judged_item(
        "Oat drink\n1 l",
        ["Food", "Drinks", "Plant drinks"],
        "Hafer & Co",
        [{"name": "diet", "value": "vegan"}, {"name": "size", "value": "1  l"}],
        "Creamy and   mild.",
    )
    assert text == (
        "Oat drink 1 l | brand: Hafer & Co | category: Food > Drinks > Plant drinks | diet: vegan; size: 1 l | "
        "Creamy and mild."
    )


def test_empty_parts_leave_no_trace() -> None:
    assert judged_item("Oat drink") == "Oat drink"
    assert judged_item("Oat drink", [], "  ", [], "") == "Oat drink"
    assert judged_item("Oat drink", ["", "Drinks"], None, [{"name": "diet", "value": None}]) == (
        "Oat drink | category: Drinks"
    )


@given(words, st.lists(words, max_size=4), words, st.lists(st.tuples(words, words), max_size=4), lines)
def test_everything_the_catalogue_says_is_there(
    title: str, path: list[str], brand: str, facts: list[tuple[str, str]], description: str
) -> None:
    attributes = [{"name": name, "value": value} for name, value in facts]
    text = judged_item(title, path, brand, attributes, description, limit=10_000)
    at = 0
    for part in [title, brand, *path, *(word for fact in facts for word in fact), description]:
        at = text.index(part, at) + len(part)  # in this order, none inside another
    assert "\n" not in text and at == len(text)


@given(lines, st.integers(0, 200))
def test_a_cut_ends_after_a_word(text: str, limit: int) -> None:
    kept = cut(text, limit)
    assert len(kept) <= limit
    if len(text) <= limit:
        assert kept == text
        return
    stem = kept.removesuffix("…")
    assert text.startswith(stem) and (kept.endswith("…") or limit == 0)
    whole = text[len(stem) : len(stem) + 1] == " "
    # either after a whole word, or the last word alone fills half of what may be kept
    assert whole or " " not in text[max(limit - 1, 0) // 2 : max(limit - 1, 0)]
    if whole:
        following = text[len(stem) :].split()[0]
        assert len(stem) + 1 + len(following) + 1 > limit or len(stem) >= (limit - 1) // 2


def test_a_word_that_just_fits_stays() -> None:
    assert cut("oat drink mild milk", 15) == "oat drink mild…"
    assert cut("oat drink mild milk", 14) == "oat drink…"
    assert cut("oat drink mild milk", 19) == "oat drink mild milk"


def test_writing_without_spaces_is_cut_at_the_character() -> None:
    assert cut("無糖豆乳とオーツ麦の飲み物", 6) == "無糖豆乳と…"
    assert cut("有機 " + "豆" * 50, 30) == "有機 " + "豆" * 26 + "…"
