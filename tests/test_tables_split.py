"""The split's promises: order does not matter, newcomers move nobody, no pair is shared, shares are met."""

import hashlib

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import SettingError
from motherlode.tables.hashing import mix, uniform
from motherlode.tables.split import folds, split

SHARES = st.floats(0, 0.5)
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
PAIRS = st.lists(st.tuples(IDS, IDS), min_size=1, max_size=60, unique=True)


def frame(pairs):
    return pl.DataFrame(pairs, schema={"query_id": pl.String, "item_id": pl.String}, orient="row")


def roles(divided):
    return dict(zip(divided.select("query_id", "item_id").rows(), divided["part"], strict=True))


def many(queries=3000, items=6):
    return frame([(f"q{q}", f"i{i}") for q in range(queries) for i in range(items)])


@given(PAIRS, st.integers(0, 9), SHARES, SHARES, st.floats(0, 1), st.randoms())
def test_order_of_rows_and_newcomers_change_nothing(pairs, seed, validation, test, unseen, random):
    settings_ = {"seed": seed, "validation": validation, "test": test, "unseen": unseen}
    all_rows = roles(split(frame(pairs), **settings_))
    shuffled = random.sample(pairs, len(pairs))
    assert roles(split(frame(shuffled), **settings_)) == all_rows
    some = shuffled[: len(pairs) // 2 + 1]
    assert roles(split(frame(some), **settings_)).items() <= all_rows.items()


@settings(max_examples=60)
@given(PAIRS, st.integers(0, 9), SHARES, SHARES, st.floats(0, 1))
def test_parts_are_apart(pairs, seed, validation, test, unseen):
    divided = split(frame(pairs), seed=seed, validation=validation, test=test, unseen=unseen)
    parts = {name: set(divided.filter(part=name)["query_id"]) for name in ("train", "validation", "test")}
    assert divided.height == len(pairs) == sum(divided["part"].is_in(list(parts)))
    assert not parts["validation"] & (parts["train"] | parts["test"])
    assert divided["seen"].to_list() == [query in parts["train"] for query in divided["query_id"]]


def test_shares_are_met():
    divided = split(many(), seed=1)
    queries = divided.group_by("query_id").agg(pl.col("part").unique(), pl.col("seen").any())
    with_test = queries.filter(pl.col("part").list.contains("test"))
    assert len(queries.filter(pl.col("part").list.contains("validation"))) / 3000 == pytest.approx(0.1, abs=0.02)
    assert len(with_test) / 3000 == pytest.approx(0.2, abs=0.025)
    assert 1 - with_test["seen"].mean() == pytest.approx(0.3, abs=0.06)
    halved = divided.filter(pl.col("query_id").is_in(with_test.filter("seen")["query_id"].to_list()))
    assert (halved["part"] == "test").mean() == pytest.approx(0.5, abs=0.05)


def test_strict_split_shares_no_query():
    divided = split(many(), seed=2, unseen=1.0)
    assert divided.group_by("query_id").agg(pl.col("part").n_unique())["part"].max() == 1
    assert not divided.filter(part="test")["seen"].any()


def test_seeds_differ_and_repeated_rows_stay_together():
    rows = many(200)
    assert not split(rows, seed=1)["part"].equals(split(rows, seed=2)["part"])
    twice = split(pl.concat([rows, rows]), seed=1)["part"]
    assert twice[: rows.height].equals(twice[rows.height :])


@pytest.mark.parametrize("wrong", [{"test": 1.2}, {"unseen": -0.1}, {"validation": 0.6, "test": 0.6}])
def test_impossible_shares_are_refused(wrong):
    with pytest.raises(SettingError):
        split(many(2), seed=0, **wrong)


def hashed(name, salt, seed=7):
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=f"{seed}:{salt}".encode()).digest()
    return int.from_bytes(digest, "little")


def scrambled(z):
    """splitmix64's finaliser in Python's unbounded integers."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_same_as_a_slow_loop_written_from_the_definition():
    """Also guards every split ever published: a change of the hashes would move its queries."""
    rows = frame([(f"q{q}", f"Pfännchen {i}") for q in range(150) for i in range(4)])
    expected = []
    for query, item in rows.rows():
        role, pair = (
            hashed(query, "role"),
            scrambled((scrambled(hashed(query, "pair")) + hashed(item, "pair")) % 2**64),
        )
        if (role >> 11) / 2**53 < 0.25:
            held_out = (hashed(query, "unseen") >> 11) / 2**53 < 0.4
            expected.append("test" if held_out or (pair >> 11) / 2**53 < 0.5 else "train")
        else:
            expected.append("validation" if (role >> 11) / 2**53 < 0.4 else "train")
    assert split(rows, seed=7, validation=0.15, test=0.25, unseen=0.4)["part"].to_list() == expected


def test_pair_hash_depends_on_order_and_spreads_evenly():
    left, right = np.arange(20_000, dtype=np.uint64), np.arange(20_000, dtype=np.uint64)[::-1].copy()
    hashes = mix(left, right)
    assert not np.array_equal(hashes, mix(right, left))
    assert len(np.unique(hashes)) == 20_000
    counts = np.histogram(uniform(hashes), bins=10, range=(0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9  # chi-squared, 9 degrees of freedom, p = 0.001


def test_folds_are_stable_and_about_equal():
    ids = [f"q{number}" for number in range(5000)]
    first = folds(ids, 5, seed=3)
    assert np.bincount(first, minlength=5) == pytest.approx(np.full(5, 1000), rel=0.12)
    assert folds(ids[::-1], 5, seed=3)[::-1].tolist() == first.tolist()
    assert folds(ids[:10], 5, seed=3).tolist() == first[:10].tolist()
    with pytest.raises(SettingError):
        folds(ids, 1, seed=0)
