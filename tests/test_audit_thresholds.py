"""Rates, broadness and cuts against loops."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from motherlode.audit.counts import Counts, Step
from motherlode.audit.rates import events, shrunk
from motherlode.audit.thresholds import broadness, deciles, doubtful


def test_shrunk_rates_equal_a_loop_and_lie_between_own_and_query() -> None:
    rng = np.random.default_rng(0)
    queries, looks = rng.integers(0, 30, 600), rng.lognormal(2, 1, 600)
    buckets = queries % 2
    done = rng.poisson(looks * rng.gamma(3, 0.1, 600)).astype(float)
    found = shrunk(done, looks, queries, buckets)
    for row in range(600):
        here = buckets == buckets[row]
        mean = done[here].sum() / looks[here].sum()
        variance = sum((x - mean * e) ** 2 - mean * e for x, e in zip(done[here], looks[here], strict=True))
        m = np.clip(mean / (variance / (looks[here] ** 2).sum()), 1, 1e4)
        own = queries == queries[row]
        level = (done[own].sum() + m * mean) / (looks[own].sum() + m)
        assert found[row] == pytest.approx((done[row] + m * level) / (looks[row] + m))
        assert min(done[row] / looks[row], level) - 1e-12 <= found[row] <= max(done[row] / looks[row], level) + 1e-12


def test_a_gamma_prior_is_recovered_as_the_weight_of_the_query() -> None:
    rng = np.random.default_rng(1)
    looks = np.full(20_000, 40.0)
    done = rng.poisson(looks * rng.gamma(2, 0.1, 20_000)).astype(float)  # a prior worth 10 looks
    found = shrunk(done, looks, np.zeros(20_000, dtype=int), np.zeros(20_000, dtype=int))
    assert found[done == 0][0] == pytest.approx(10 * 0.2 / 50, rel=0.05)


def test_every_step_weighs_the_same_in_all() -> None:
    steps = [
        Step("clicks", np.ones(3), np.array([6.0, 2.0, np.nan])),
        Step("adds", np.ones(3), np.array([1.0, 3.0, 0.0])),
    ]
    assert events(steps).tolist() == [(6 + 1 * 2) / 2, (2 + 3 * 2) / 2, 0]
    assert events([]).tolist() == []


def test_steps_follow_the_columns_that_the_log_has() -> None:
    frame = pl.DataFrame({"impressions": [10, 20], "adds": [1, None], "purchases": [2, 0], "clicks": [None, None]})
    looks = np.array([5.0, 8.0])
    first, second = Counts.of(frame).steps(looks)
    assert (first.name, second.name) == ("adds", "purchases")
    assert first.tried is looks and np.isnan(first.done[1])
    assert second.tried[0] == 2  # more purchases than adds: as many chances
    assert np.isnan(second.tried[1])
    assert np.isnan(Counts.of(frame).position).all()


QUERIES = pl.DataFrame({"query_id": ["a", "b", "c", "d"], "text": ["sofa", "red sofa", " big red sofa bed", "x"]})
CATALOGUE = pl.DataFrame({"item_id": ["1", "2", "3"], "taxonomy": [["Home", "Sofas"], ["Home", "Beds"], None]})


def test_broadness_equals_a_loop() -> None:
    clicks = [
        ("a", "1", 4),
        ("a", "2", 3),
        ("b", "1", 9),
        ("b", "3", 1),
        ("c", "1", 5),
        ("d", "3", 1),
        ("a", "3", None),
    ]
    engagement = pl.DataFrame(clicks, schema=["query_id", "item_id", "clicks"], orient="row")
    found = broadness(QUERIES, engagement, CATALOGUE, 2)
    leaf = {"1": "Home > Sofas", "2": "Home > Beds", "3": ""}
    slow: dict[str, list[float | None]] = {"words": [], "items": [], "nodes": []}
    for query, text in QUERIES.iter_rows():
        slow["words"].append(len(text.split()))
        for name, key in (("items", lambda item: item), ("nodes", leaf.get)):
            counts = Counter()
            for one, item, number in clicks:
                if one == query:
                    counts[key(item)] += number or 0
            n, twice = sum(counts.values()), sum(c * (c - 1) for c in counts.values())
            slow[name].append(n * (n - 1) / twice if twice else None)
    for name, values in slow.items():
        assert found[name].to_list() == pytest.approx(values)
    assert found["items"][3] is None
    ranks = [rankdata(slow["words"]) / 4]
    for name in ("items", "nodes"):
        values = np.array([np.nan if value is None else value for value in slow[name]], dtype=float)
        ranks.append(rankdata(-values, nan_policy="omit") / 3)
    order = np.argsort(np.nanmean(ranks, axis=0), kind="stable")
    assert found["bucket"].to_list() == [int(place >= 2) for place in np.argsort(order)]


def test_deciles_equal_a_loop_and_leave_out_what_was_hardly_seen() -> None:
    rng = np.random.default_rng(2)
    queries = rng.integers(0, 40, 800)
    buckets, rates, enough = queries % 3, rng.integers(0, 12, 800) / 12, rng.random(800) < 0.7
    high, low = deciles(rates, queries, buckets, enough, 0.9, 0.1)
    place = np.full(800, np.nan)
    for query in range(40):
        here = np.flatnonzero((queries == query) & enough)
        for row in here:
            below, same = (rates[here] < rates[row]).sum(), (rates[here] == rates[row]).sum()
            place[row] = (below + (same + 1) / 2 - 0.5) / len(here)
    for bucket in range(3):
        here = np.flatnonzero((buckets == bucket) & enough)
        ordered = np.sort(place[here])
        above, below = (ordered[round(share * (len(here) - 1))] for share in (0.9, 0.1))
        assert high[here].tolist() == (place[here] >= above - 1e-12).tolist()
        assert low[here].tolist() == (place[here] <= below + 1e-12).tolist()
        assert 0.08 < high[here].mean() < 0.2
    assert not high[~enough].any() and not low[~enough].any()


def test_a_query_that_always_sells_has_no_higher_top_decile() -> None:
    queries = np.repeat([0, 1], 50)
    rates = np.concatenate([np.arange(50), 1_000 + np.arange(50)]) / 2_000
    high, low = deciles(rates, queries, np.zeros(100, dtype=int), np.ones(100, dtype=bool), 0.9, 0.1)
    assert high[:50].sum() == high[50:].sum() > 0 and low[:50].sum() == low[50:].sum() > 0


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2), st.booleans()), max_size=40), st.floats(0.05, 0.95))
def test_doubtful_is_the_longest_prefix_of_each_bucket(rows: list, precision: float) -> None:
    doubt = np.array([row[0] for row in rows])
    buckets = np.array([row[1] for row in rows], dtype=int)
    eligible = np.array([row[2] for row in rows], dtype=bool)
    chosen = doubtful(doubt, buckets, eligible, precision)
    assert not (chosen & ~eligible).any()
    for bucket in range(3):
        here = sorted(doubt[eligible & (buckets == bucket)], reverse=True)
        longest = max((n for n in range(1, len(here) + 1) if sum(here[:n]) / n >= precision - 1e-12), default=0)
        shortest = max((n for n in range(1, len(here) + 1) if sum(here[:n]) / n >= precision + 1e-12), default=0)
        taken = sorted(doubt[chosen & (buckets == bucket)], reverse=True)
        assert shortest <= len(taken) <= longest
        assert taken == here[: len(taken)]
