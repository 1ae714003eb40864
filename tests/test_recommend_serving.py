"""What a recommender answers is what a slow loop over all items finds, for any history."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.recommend.sequences import Sequences
from motherlode.recommend.serving import Recommender
from motherlode.recommend.towers import TowerSettings, UserItemTwoTower

ITEMS, COLD, WINDOW = 30, (4, 17), 5
IDS = [f"i{row:02d}" for row in range(ITEMS)]
TITLES = [f"Thing {row}" for row in range(ITEMS)]
USERS = Sequences.from_events([0, 0, 0, 2, 2], [3, 9, 1, 8, 4], ITEMS)


def model(content: bool = False, item_hidden: tuple[int, ...] = ()) -> UserItemTwoTower:
    known = np.ones(ITEMS, bool)
    known[list(COLD)] = False
    vectors = np.random.default_rng([1, 2]).normal(size=(ITEMS, 6)).astype(np.float32) if content else None
    made = UserItemTwoTower(
        ITEMS, TowerSettings(8, WINDOW, "attention", (8,), item_hidden), known=known, content=vectors, seed=3
    )
    with torch.no_grad():  # an attention that has learnt something: the order of a history matters
        made.pool.recency.copy_(torch.linspace(1, -1, WINDOW))
    return made.eval()


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving") / "recommender"
    return Recommender.build(folder, model(), IDS, TITLES, users=(["ann", "bob", "cy"], USERS))


def slow(towers: UserItemTwoTower, history: list[int], k: int, served: set[int]) -> list[tuple[int, float]]:
    """Inner products in double precision, item by item, sorted in plain Python."""
    last = history[-WINDOW:]
    user = towers.encode_users(np.array([last + [-1] * (WINDOW - len(last))]))[0].astype(np.float64)
    items = towers.encode_items().astype(np.float64)
    scored = [(-float(user @ items[row]), row) for row in sorted(served) if row not in history]
    return [(row, -score) for score, row in sorted(scored)[:k]]


@settings(max_examples=60)
@given(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=40), st.integers(1, 35))
def test_it_answers_as_a_slow_loop(held, history, k):
    found = held.recommend([IDS[row] for row in history], k)
    expected = slow(model(), list(dict.fromkeys(history)), k, set(range(ITEMS)) - set(COLD))
    assert [one.item_id for one in found] == [IDS[row] for row, _ in expected]
    assert [one.title for one in found] == [TITLES[row] for row, _ in expected]
    assert [one.rank for one in found] == list(range(1, len(expected) + 1))
    np.testing.assert_allclose([one.score for one in found], [score for _, score in expected], atol=1e-6)


def test_unknown_items_are_passed_over_and_the_order_counts(held):
    assert held.recommend(["nothing", "i03", "gone", "i09"]) == held.recommend(["i03", "i09"])
    assert held.unknown(["i03", "gone"]) == ["gone"]
    assert held.titles_of(["gone", "i03"]) == [None, "Thing 3"]
    assert held.recommend(["i03", "i09"]) != held.recommend(["i09", "i03"])
    with pytest.raises(InputError, match="None of the 1 items"):
        held.recommend(["gone"])
    with pytest.raises(SettingError, match="k = 0"):
        held.recommend(["i03"], 0)


def test_it_knows_what_users_have_had(held):
    assert held.history_of("ann") == ["i03", "i09", "i01"]
    assert held.history_of("cy") == ["i08", "i04"]
    for nobody in ("bob", "dan"):  # bob has had nothing
        with pytest.raises(InputError, match=f"no user '{nobody}'"):
            held.history_of(nobody)


@pytest.mark.parametrize(("content", "hidden", "served"), [(False, (), 28), (False, (4,), 28), (True, (), 30)])
def test_items_that_nothing_is_known_of_are_not_served(tmp_path, content, hidden, served):
    towers = model(content, hidden)
    made = Recommender.build(tmp_path / "r", towers, IDS, TITLES)
    assert made.facts["served"] == served
    found = {one.item_id for one in made.recommend(["i00"], ITEMS)}
    assert len(found) == served - 1
    assert found.isdisjoint({IDS[row] for row in COLD}) == (served == 28)
    with pytest.raises(MissingError, match="knows no users"):
        made.history_of("ann")


def test_what_is_opened_answers_as_what_was_built(held):
    again = Recommender.open(held.folder)
    assert again.facts == held.facts
    assert again.recommend(["i03", "i09"], 20) == held.recommend(["i03", "i09"], 20)


def test_damage_is_named(tmp_path):
    with pytest.raises(MissingError, match="holds no recommender"):
        Recommender.open(tmp_path)
    with pytest.raises(InputError, match="do not fit a model of 30"):
        Recommender.build(tmp_path / "short", model(), IDS[:3], TITLES)
    assert not (tmp_path / "short").exists()
    Recommender.build(tmp_path / "r", model(), IDS, TITLES)
    said = tmp_path / "r/recommender.json"
    said.write_text(said.read_text().replace('"items": 30', '"items": 31'))
    with pytest.raises(InputError, match="damaged"):
        Recommender.open(tmp_path / "r")
    said.write_text("{")
    with pytest.raises(InputError, match="damaged"):
        Recommender.open(tmp_path / "r")
