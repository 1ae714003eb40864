"""Sequences, splits and examples, against loops over dictionaries of lists."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.recommend.examples import PAD, ExampleBatches, last_of
from motherlode.recommend.holdout import leave_k_out, leave_last, popularity_slices, sample, temporal
from motherlode.recommend.sequences import Sequences, read_sequences
from motherlode.tables.tables import Tables, TableWriter
from recommend_case import random_sequences, world

EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 5)), max_size=40)


def lists(sequences: Sequences) -> list[list[int]]:
    return [sequences.items[a:b].tolist() for a, b in zip(sequences.indptr[:-1], sequences.indptr[1:], strict=True)]


@given(EVENTS, st.booleans(), st.booleans())
def test_events_are_sorted_by_user_and_time_and_met_once(events, timed, repeats):
    users, items, times = (np.array([e[k] for e in events], dtype=np.int64) for k in range(3))
    found = Sequences.from_events(users, items, 7, times if timed else None, 5, repeats=repeats)
    wanted: list[list[int]] = []
    for user in range(5):
        own = [(t if timed else 0, place, i) for place, (u, i, t) in enumerate(events) if u == user]
        seen: list[int] = []
        for _, _, item in sorted(own):
            if repeats or item not in seen:
                seen.append(item)
        wanted.append(seen)
    assert lists(found) == wanted
    assert found.frequencies().tolist() == [sum(row.count(i) for row in wanted) for i in range(7)]


@pytest.mark.parametrize("ordered", [True, False])
def test_leaving_out_against_a_loop(ordered):
    sequences = random_sequences(np.random.default_rng(3), 60, 30, 14)
    split = leave_last(sequences) if ordered else leave_k_out(sequences, 3, seed=1)
    validation, test = dict_of(split.validation), dict_of(split.test)
    for user, items in enumerate(lists(sequences)):
        train, n = lists(split.train)[user], len(items)
        asked, tested = (n > 2, n > 1) if ordered else (min(3, n // 4),) * 2
        assert len(train) == n - asked - tested
        assert train == [item for item in items if item in set(train)]
        assert (user in validation, user in test) == (bool(train and asked), bool(train and tested))
        if train and asked:
            assert validation[user][0] == train
            assert len(validation[user][1]) == asked
            assert not ordered or validation[user][1] == items[-2:-1]
        if train and tested:
            history, targets = test[user]
            assert history == [item for item in items if item not in targets]
            assert len(targets) == tested
            assert not ordered or targets == items[-1:]
            assert not asked or set(validation[user][1]) <= set(history)
    assert split.ordered is ordered
    assert (split.cold == (split.frequencies == 0)).all()


def dict_of(holdout) -> dict[int, tuple[list[int], list[int]]]:
    return dict(
        zip(holdout.users.tolist(), zip(lists(holdout.history), lists(holdout.targets), strict=True), strict=True)
    )


def test_a_sample_keeps_what_its_users_had_and_took():
    whole = leave_k_out(random_sequences(np.random.default_rng(4), 60, 30, 14), 3, seed=1).test
    told, drawn = dict_of(whole), [dict_of(sample(whole, 7, seed)) for seed in (0, 0, 1)]
    assert all(len(one) == 7 and one.items() <= told.items() for one in drawn)
    assert drawn[0] == drawn[1] != drawn[2]
    assert sample(whole, len(whole), 0) is whole


def test_leaving_k_out_draws_every_event_alike():
    sequences = Sequences.from_events(np.repeat(np.arange(3000), 8), np.tile(np.arange(8), 3000), 8)
    drawn, other = (leave_k_out(sequences, 2, seed=seed).test.targets.items for seed in (5, 6))
    counts = np.bincount(drawn, minlength=8)
    assert ((counts - 750) ** 2 / 750).sum() < 24.3  # chi-square with 7 degrees of freedom, 0.1 %
    assert (drawn != other).any()


def test_a_cut_in_time_and_what_a_user_has_is_never_asked():
    users, items = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([1, 2, 1, 3, 4, 5, 6, 1])
    times = np.array([1, 2, 8, 9, 1, 10, 9, 10])
    sequences = Sequences.from_events(users, items, 8, times, repeats=True)
    split = temporal(sequences, 0.5, 0.7)  # of times 1 1 2 8 9 9 10 10: moments 9 and 9
    assert lists(split.train) == [[1, 2, 1], [4], []]
    assert dict_of(split.test) == {0: ([1, 2, 1], [3]), 1: ([4], [5])}
    assert len(split.validation) == 0
    assert split.asked_without_history == 1
    again = temporal(Sequences.from_events([0, 0, 0, 0], [1, 2, 1, 3], 8, [1, 2, 8, 9], repeats=True), 0.3, 0.6)
    assert dict_of(again.test) == {0: ([1, 2], [3])}  # item 1 comes again, but the user has it
    with pytest.raises(SettingError, match="needs times"):
        temporal(Sequences.from_events([0], [1], 8))


def test_popularity_slices_part_the_items():
    slices = popularity_slices(np.array([0, 5, 9, 1, 1, 1, 3, 0, 2, 1, 1, 8]))
    assert np.stack(list(slices.values())).sum(axis=0).tolist() == [1] * 12
    assert np.flatnonzero(slices["head"]).tolist() == [2]
    assert np.flatnonzero(slices["torso"]).tolist() == [1, 6, 8, 11]
    assert np.flatnonzero(slices["cold"]).tolist() == [0, 7]


@pytest.mark.parametrize("ordered", [True, False])
def test_examples_against_a_loop_and_each_once_an_epoch(ordered):
    train = random_sequences(np.random.default_rng(1), 50, 40, 12)
    rows = lists(train)
    batches = ExampleBatches(train, ordered=ordered, batch=16, window=5, seed=2)
    possible = {(u, i) for u, own in enumerate(rows) for k, i in enumerate(own) if (k if ordered else len(own) > 1)}
    seen = []
    for step in range(len(batches)):
        batch = batches(1, step)
        assert batch.number == len(batches) + step
        for user, history, target in zip(batch.users, batch.history, batch.targets, strict=True):
            real = [int(i) for i in history if i != PAD]
            assert history[: len(real)].tolist() == real
            own = rows[user]
            if ordered:
                place = own.index(target)
                assert real == own[max(0, place - 5) : place]
            else:
                assert len(set(real)) == min(5, len(own) - 1)
                assert set(real) <= set(own) - {int(target)}
            seen.append((int(user), int(target)))
    assert len(seen) == len(set(seen)) == len(possible) // 16 * 16
    assert set(seen) <= possible


def test_unordered_histories_are_uniform_subsets():
    train = Sequences.from_events(np.zeros(6, int), np.arange(6), 6)
    batches = ExampleBatches(train, ordered=False, batch=6, window=2, seed=0)
    counts = np.zeros((6, 6))
    for epoch in range(3000):
        batch = batches(epoch, 0)
        np.add.at(counts, (batch.targets[:, None], batch.history), 1)
    assert (counts.diagonal() == 0).all()
    off = counts[~np.eye(6, dtype=bool)]  # 6000 draws over 5 items for each of 6 targets
    assert ((off - 1200) ** 2 / 1200).sum() < 70


def test_a_batch_depends_on_seed_epoch_and_step_alone():
    train = world(50)
    for ordered in (True, False):
        one, two = (ExampleBatches(train, ordered=ordered, batch=32, seed=4) for _ in range(2))
        wanted = [one(epoch, step) for epoch in range(2) for step in range(3)]
        for number, (epoch, step) in reversed(list(enumerate((e, s) for e in range(2) for s in range(3)))):
            found = two(epoch, step)
            for name in ("users", "history", "targets"):
                assert (getattr(found, name) == getattr(wanted[number], name)).all()
        other = ExampleBatches(train, ordered=ordered, batch=32, seed=5)(0, 0)
        assert (other.targets != wanted[0].targets).any()


def test_the_last_of_a_history():
    sequences = Sequences.from_events([0, 0, 0, 1, 3], [4, 2, 3, 1, 0], 5)
    assert last_of(sequences, 2).tolist() == [[2, 3], [1, -1], [-1, -1], [0, -1]]
    assert last_of(sequences, 2, 1, 2).tolist() == [[1]]  # no wider than the longest


def test_refusals():
    with pytest.raises(InputError, match="outside"):
        Sequences.from_events([0], [5], 5)
    with pytest.raises(SettingError, match="two training events"):
        ExampleBatches(Sequences.from_events([0, 1], [1, 2], 5), ordered=True)
    with pytest.raises(SettingError, match="one process"):
        ExampleBatches(world(5), ordered=True)(0, 0, rank=1, world=2)


def test_the_interactions_table(tmp_path):
    with TableWriter(tmp_path, "catalogue") as writer:
        writer.write({"item_id": ["b", "a", "c"], "title": ["B", "A", "C"]})
    tables = Tables(tmp_path)
    with pytest.raises(MissingError, match="interactions"):
        read_sequences(tables)
    times = pl.Series([5, 1, 3, 2], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")).to_arrow()
    rows = {"user_id": ["v", "u", "v", "v"], "item_id": ["a", "c", "b", "a"]}
    with TableWriter(tmp_path, "interactions") as writer:
        writer.write({**rows, "time": times})
    sequences, users = read_sequences(tables)
    assert (lists(sequences), list(users), sequences.n_items) == ([[1, 0], [2]], ["v", "u"], 3)
    with TableWriter(tmp_path, "interactions") as writer:
        writer.write(rows)
    assert lists(read_sequences(tables, repeats=True)[0]) == [[1, 0, 1], [2]]
    with TableWriter(tmp_path, "interactions") as writer:
        writer.write({"user_id": ["v"], "item_id": ["z"]})
    with pytest.raises(InputError, match="'z'"):
        read_sequences(tables)
