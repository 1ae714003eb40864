"""Escalation: the closed form against NDCG computed anew, and what the chosen verdicts mend in a simulation."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import InputError
from motherlode.evaluation import Judged, ranking_metrics
from motherlode.grading.escalation import choose, expected_change


def ndcg(query: np.ndarray, ranks: np.ndarray, grades: np.ndarray) -> np.ndarray:
    """NDCG@10 of every query by the evaluation room, 0 where nothing is relevant; ranks 0: not shown."""
    judged = Judged.from_pairs(query, np.arange(len(query)), grades, int(query.max()) + 1)
    shown = np.full((judged.n_queries, 10), -1)
    for row in np.flatnonzero((ranks > 0) & (ranks <= 10)):
        shown[query[row], ranks[row] - 1] = row
    return np.nan_to_num(ranking_metrics(judged, shown, (10,))["ndcg@10"])


def case(seed: int, queries: int = 6, most: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, most, queries)
    query = np.repeat(np.arange(queries), sizes)
    ranks = np.concatenate([rng.permutation(20)[:size] for size in sizes])
    return query, ranks, rng.integers(0, 3, len(query)), rng.dirichlet([0.5] * 3, len(query))


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_the_closed_form_equals_ndcg_computed_anew(seed: int) -> None:
    query, ranks, grades, probabilities = case(seed)
    before = ndcg(query, ranks, grades)
    slow = np.zeros(len(query))
    for row in range(len(query)):
        for grade in range(3):
            flipped = grades.copy()
            flipped[row] = grade
            slow[row] += probabilities[row, grade] * abs((ndcg(query, ranks, flipped) - before)[query[row]])
    found = expected_change(query, np.where(ranks <= 10, ranks, 0), grades, probabilities)
    np.testing.assert_allclose(found, slow, atol=1e-12)


def simulated(seed: int, queries: int = 300) -> tuple[pl.DataFrame, np.ndarray]:
    """Pairs with calibrated probabilities, the true grade drawn from them: the errors are those the grader makes."""
    rng = np.random.default_rng(seed)
    query = np.repeat(np.arange(queries), 25)
    probabilities = rng.dirichlet([0.35, 0.25, 0.3], len(query))
    truth = (rng.random((len(query), 1)) > np.cumsum(probabilities, axis=1)[:, :2]).sum(axis=1)
    # a system ranks by a noisy view of the truth
    score = truth + rng.normal(0, 1.2, len(query))
    ranks = np.concatenate([np.argsort(np.argsort(-score[query == one])) + 1 for one in range(queries)])
    frame = pl.DataFrame(
        {
            "query_id": [f"q{one:04d}" for one in query],
            "item_id": [f"i{one:05d}" for one in range(len(query))],
            **{f"p{grade}": probabilities[:, grade] for grade in range(3)},
            "rank": [int(rank) if rank <= 15 else None for rank in ranks],
        }
    )
    return frame, truth


def error_after(frame: pl.DataFrame, truth: np.ndarray, chosen: pl.DataFrame) -> float:
    """Mean |NDCG with the grades as they then are - NDCG with the true ones| over queries."""
    query = np.unique(frame["query_id"].to_numpy(), return_inverse=True)[1]
    ranks = frame["rank"].fill_null(0).to_numpy()
    grades = frame.select("p0", "p1", "p2").to_numpy().argmax(axis=1)
    rows = chosen["item_id"].str.slice(1).cast(pl.Int64).to_numpy()
    grades[rows] = truth[rows]
    return float(np.abs(ndcg(query, ranks, grades) - ndcg(query, ranks, truth)).mean())


def test_chosen_verdicts_mend_more_than_random_ones_and_than_uncertainty_alone() -> None:
    for seed in (1, 2):
        frame, truth = simulated(seed)
        nothing = error_after(frame, truth, frame.head(0))
        for budget in (300, 900):
            ours = error_after(frame, truth, choose(frame, budget))
            unsure = frame.with_columns(top=pl.max_horizontal("p0", "p1", "p2")).sort("top").head(budget)
            by_uncertainty = error_after(frame, truth, unsure)
            at_random = error_after(frame, truth, frame.sample(budget, seed=seed, shuffle=True))
            # error mended a verdict: well above both
            assert nothing - ours > 1.5 * (nothing - by_uncertainty)
            assert nothing - ours > 2.5 * (nothing - at_random)


def test_picks_are_spread_over_clusters_as_a_greedy_walk_would() -> None:
    frame, _ = simulated(3, queries=40)
    frame = frame.with_columns(cluster=pl.col("query_id").str.slice(4))  # ten clusters
    chosen = choose(frame, 120)
    scored = choose(frame, frame.height).select("query_id", "item_id", "cluster", "effect").sort("query_id", "item_id")
    left = scored.to_dicts()
    picked: dict[str, int] = {}
    for row in chosen.iter_rows(named=True):
        best = max(left, key=lambda one: one["effect"] * 0.9 ** picked.get(one["cluster"], 0))
        assert best["item_id"] == row["item_id"]
        picked[best["cluster"]] = picked.get(best["cluster"], 0) + 1
        left.remove(best)
    plain = scored.sort("effect", descending=True).head(120)["cluster"].value_counts()["count"]
    assert chosen["cluster"].value_counts()["count"].std() < plain.std()


def test_the_order_is_the_same_whatever_the_rows_are_in() -> None:
    frame, _ = simulated(4, queries=20)
    frame = pl.concat([frame, frame.with_columns(query_id="z" + pl.col("query_id"))])  # every effect twice: ties
    first = choose(frame, 60)
    assert first.equals(choose(frame.sample(fraction=1, shuffle=True, seed=9), 60))
    assert first["score"].is_sorted(descending=True) and len(first) == 60


def test_a_pair_nobody_answered_is_as_open_as_can_be() -> None:
    row = {"query_id": "q", "rank": 1}
    pairs = pl.DataFrame(
        [
            {**row, "item_id": "a", "p0": 0.98, "p1": 0.01, "p2": 0.01},
            {**row, "item_id": "b", "p0": None, "p1": None, "p2": None, "rank": 2},
            {**row, "item_id": "c", "p0": float("nan"), "p1": 0.0, "p2": 0.0, "rank": None},
        ]
    )
    found = choose(pairs, 3)
    assert found["item_id"].to_list()[0] == "b"
    assert dict(zip(found["item_id"], found["uncertainty"], strict=True))["c"] == pytest.approx(2 / 3)
    assert found.filter(item_id="c")["effect"].item() == 0  # never shown and nothing relevant: NDCG stays 0


def test_faults_are_named() -> None:
    frame, _ = simulated(5, queries=2)
    with pytest.raises(InputError, match="lack the column rank"):
        choose(frame.drop("rank"), 1)
    with pytest.raises(InputError, match="rank below 1"):
        choose(frame.with_columns(rank=pl.lit(0)), 1)
    with pytest.raises(InputError, match="a pair twice"):
        choose(pl.concat([frame, frame.head(1)]), 1)
