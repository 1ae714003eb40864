"""Graded groups: formats of Eq. 1, caps, strata; batches: who is in whose instance, and why."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.training.batches import GradedBatches
from motherlode.training.groups import Caps, GradedGroups, stratified_order


def groups_of(*rows: dict[int, int]) -> GradedGroups:
    pairs = [(query, item, grade) for query, row in enumerate(rows) for item, grade in row.items()]
    return GradedGroups.from_pairs(*np.array(pairs).T)


def test_formats_of_eq_1():
    groups = groups_of({0: 2, 1: 1, 2: 0}, {0: 2, 1: 0}, {0: 1, 1: 0}, {0: 2, 1: 1}, {0: 2}, {0: 1}, {0: 0})
    assert groups.trainable(unrelated=False).tolist() == [0, 1, 2, 3]
    assert groups.trainable(unrelated=True).tolist() == [0, 1, 2, 3, 4, 5]


def test_higher_grade_wins_where_texts_coincide():
    groups = GradedGroups.from_pairs(np.array([3, 3, 3]), np.array([7, 7, 5]), np.array([0, 2, 1]))
    assert groups.items.tolist() == [5, 7]
    assert groups.grades.tolist() == [1, 2]


def test_caps_hold_per_grade_and_everything_below_them_stays():
    groups = groups_of(dict(enumerate([2] * 10 + [1] * 3 + [0] * 20)))
    items, grades = groups.sample(0, Caps(4, 4, 8), np.random.default_rng(0))
    assert np.bincount(grades).tolist() == [8, 3, 4]
    assert len(set(items)) == 15
    assert all(groups.grades[item] == grade for item, grade in zip(items, grades, strict=True))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.integers(0, 99))
def test_strata_are_spread_evenly(strata, seed):
    strata = np.array(strata)
    order = stratified_order(strata, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(strata)))
    half = strata[order[: len(strata) // 2]]
    for stratum in np.unique(strata):
        assert abs((half == stratum).sum() - (strata == stratum).sum() / 2) <= 2 + len(np.unique(strata)) / 2


@pytest.fixture
def many() -> GradedGroups:
    rng = np.random.default_rng(1)
    rows = [{int(i): int(rng.integers(0, 3)) for i in rng.choice(60, 6, replace=False)} for _ in range(40)]
    return groups_of(*rows)


def batches_of(groups, unrelated, **more):
    return GradedBatches(
        groups,
        size=8,
        caps=Caps(2, 2, 2),
        unrelated=unrelated,
        random_items=10,
        pool=np.arange(60, 100),
        **more,
    )


@pytest.mark.parametrize("unrelated", ["none", "random", "in_batch", "both"])
def test_instances_hold_what_the_setting_says(many, unrelated):
    batch = batches_of(many, unrelated)(0, 1)
    judged = {
        (int(query), int(item)): int(grade)
        for row, query in enumerate(many.queries)
        for item, grade in zip(
            many.items[many.indptr[row] : many.indptr[row + 1]],
            many.grades[many.indptr[row] : many.indptr[row + 1]],
            strict=True,
        )
    }
    assert len(set(batch.items.tolist())) == len(batch.items)
    for row, query in enumerate(batch.queries):
        for column, item in enumerate(batch.items):
            known = judged.get((int(query), int(item)))
            if batch.mask[row, column]:
                assert batch.grades[row, column] == (0 if known is None else known)
                assert batch.assumed[row, column] == (known is None)
                if unrelated == "none":
                    assert known is not None
                if unrelated == "random":
                    assert known is not None or item >= 60
                if unrelated == "in_batch":
                    assert item < 60
            else:
                assert unrelated in ("none", "random")
    if unrelated == "none":
        assert batch.mask.sum() == batch.judged
    if unrelated in ("random", "both"):
        assert (batch.items >= 60).sum() == 10
        assert batch.mask[:, batch.items >= 60].all()


def test_batches_are_a_pure_function_of_seed_epoch_and_step(many):
    first, again, other = (batches_of(many, "both", seed=seed) for seed in (0, 0, 1))
    for step in range(len(first)):
        for a, b in zip(vars(first(2, step)).values(), vars(again(2, step)).values(), strict=True):
            assert np.array_equal(a, b)
    assert not np.array_equal(first(0, 0).queries, other(0, 0).queries)
    assert not np.array_equal(first(0, 0).queries, first(1, 0).queries)


def test_an_epoch_holds_every_trainable_group_over_all_processes(many):
    batches = batches_of(many, "none")
    seen = [query for step in range(len(batches)) for rank in range(2) for query in batches(0, step, rank, 2).queries]
    expected = many.trainable(False)
    assert sorted(seen) == sorted(np.repeat(many.queries[expected], many.repeats(Caps(2, 2, 2))[expected]))


def test_a_query_with_more_items_than_the_caps_comes_as_often_as_they_need():
    groups = groups_of(dict(enumerate([2] * 9 + [0] * 3)), {0: 2, 1: 1})
    assert groups.repeats(Caps(4, 4, 8)).tolist() == [3, 1]
    assert groups.repeats(Caps(4, 4, 1)).tolist() == [3, 1]
    assert groups.repeats(Caps(0, 4, 2)).tolist() == [2, 1]
