"""Separation of grades against loops over all pairs."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.evaluation import Judged, separation, separation_by_query
from motherlode.evaluation.separation import auc


def random_case(seed: int, levels: int) -> tuple[Judged, np.ndarray]:
    rng = np.random.default_rng(seed)
    queries, items = np.nonzero(rng.random((5, 12)) < 0.6)
    judged = Judged.from_pairs(queries, items, rng.integers(0, 3, len(queries)), n_queries=5)
    scores = (rng.integers(0, levels, len(queries)) / levels).astype(np.float32)
    scores[rng.random(len(scores)) < 0.1] = np.nan
    return judged, scores


def slow_auc(high: list[float], low: list[float]) -> float:
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(high, low)]
    return float(np.mean(wins)) if wins else float("nan")


def of_grade(judged: Judged, scores: np.ndarray, query: int | None, grade: int) -> list[float]:
    return [
        float(score)
        for row, own, score in zip(judged.query_rows, judged.grades, scores, strict=True)
        if own == grade and (query is None or row == query) and not np.isnan(score)
    ]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 4, 1000]))
def test_everything_equals_loops_over_pairs(seed: int, levels: int) -> None:
    judged, scores = random_case(seed, levels)
    by_query = separation_by_query(judged, scores)
    summary = separation(judged, scores)
    for high, low in ((2, 1), (1, 0), (2, 0)):
        margins, areas = [], []
        for query in range(judged.n_queries):
            above, below = of_grade(judged, scores, query, high), of_grade(judged, scores, query, low)
            margins.append(np.mean(above) - np.mean(below) if above and below else np.nan)
            areas.append(slow_auc(above, below))
            if (high, low) == (2, 0):
                worst = min(above) - max(below) if above and below else np.nan
                np.testing.assert_allclose(by_query["worst_margin_2_0"][query], worst, atol=1e-12)
        np.testing.assert_allclose(by_query[f"margin_{high}_{low}"], margins, atol=1e-12)
        np.testing.assert_allclose(by_query[f"auc_{high}_{low}"], areas, atol=1e-12)
        pooled = slow_auc(of_grade(judged, scores, None, high), of_grade(judged, scores, None, low))
        found = summary[f"auc_{high}_{low}"]
        assert found["n"] == np.count_nonzero(~np.isnan(areas))
        if found["n"]:
            assert found["within"] == pytest.approx(np.nanmean(areas))
            assert summary[f"margin_{high}_{low}"]["mean"] == pytest.approx(np.nanmean(margins))
        assert (found["pooled"] is None) if np.isnan(pooled) else found["pooled"] == pytest.approx(pooled)


def test_pooled_and_within_differ_where_queries_have_their_own_level() -> None:
    # every query is ordered perfectly, but the second lies wholly below the first
    judged = Judged.from_pairs([0, 0, 1, 1], [0, 1, 0, 1], [2, 0, 2, 0], n_queries=2)
    found = separation(judged, np.array([0.9, 0.8, 0.2, 0.1], dtype=np.float32))["auc_2_0"]
    assert found["within"] == 1.0
    assert found["pooled"] == 0.75


def test_band_occupancy_counts_the_edges_in_and_nothing_unscored() -> None:
    grades = [2, 2, 2, 1, 1, 1, 0, 0]
    judged = Judged.from_pairs([0] * 8, range(8), grades, n_queries=1)
    scores = np.array([0.75, 0.9, 0.74, 0.5, 0.25, 0.7, 0.25, np.nan], dtype=np.float32)
    found = separation(judged, scores, bands={2: (0.75, None), 1: (0.25, 0.6), 0: (None, 0.25)})
    assert found["band_2"] == {"share": pytest.approx(2 / 3), "n": 3}
    assert found["band_1"] == {"share": pytest.approx(2 / 3), "n": 3}
    assert found["band_0"] == {"share": 1.0, "n": 1}


def test_a_missing_grade_is_none_never_a_number() -> None:
    judged = Judged.from_pairs([0, 0], [0, 1], [2, 1], n_queries=1)
    found = separation(judged, np.array([0.9, 0.8], dtype=np.float32))
    assert found["margin_2_0"] == {"mean": None, "n": 0}
    assert found["auc_2_0"] == {"pooled": None, "within": None, "n": 0}
    assert found["band_0"] == {"share": None, "n": 0}


def test_auc_does_not_change_under_a_rising_map_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    high, low = rng.normal(1, 1, 500), rng.normal(0, 1, 700)
    assert auc(high, low) == pytest.approx(auc(np.exp(high), np.exp(low)))
    assert auc(high, low) == pytest.approx(1 - auc(low, high))  # type: ignore[operator]
