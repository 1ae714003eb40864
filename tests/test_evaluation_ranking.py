"""Ranking metrics against pytrec_eval, runs against a slow sort, and what a broken form says."""

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.evaluation import Judged, Run, judged_metrics, ranking_metrics, top_k

CUTOFFS = (1, 3, 10)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, Judged, np.ndarray, np.ndarray]:
    """(catalogue size, judgements, scores[Q, N] with many ties, judged_scores[J])."""
    n_queries, n_items = draw(st.integers(1, 4)), draw(st.integers(1, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    marked = rng.random((n_queries, n_items)) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    queries, items = np.nonzero(marked)
    judged = Judged.from_pairs(queries, items, rng.integers(0, 3, len(queries)), n_queries)
    scores = rng.integers(0, draw(st.sampled_from([2, 5, 1000])), (n_queries, n_items)).astype(np.float32)
    return n_items, judged, scores, scores[judged.query_rows, judged.items]


def document(item: int) -> str:
    # trec_eval orders equal scores by the greater document name; these names fall as rows rise, so ties agree
    return f"{9999 - item:04d}"


def trec(judged: Judged, run: dict[str, dict[str, float]], grades: tuple[int, int, int], least: int) -> dict:
    qrels: dict[str, dict[str, int]] = {}
    for query, item, grade in zip(judged.query_rows, judged.items, judged.grades, strict=True):
        qrels.setdefault(str(query), {})[document(item)] = grades[grade]
    measures = {f"{name}.{','.join(map(str, CUTOFFS))}" for name in ("ndcg_cut", "recall", "P")}
    return pytrec_eval.RelevanceEvaluator(qrels, measures, relevance_level=least).evaluate(run)


def check_against_trec(judged: Judged, ours: dict, run: dict, grades: tuple[int, int, int]) -> None:
    for suffix, least in (("", 1), ("_grade2", 2)):
        theirs = trec(judged, run, grades, grades[least])
        for query in range(judged.n_queries):
            own = judged.grades[judged.indptr[query] : judged.indptr[query + 1]]
            for k in CUTOFFS:
                pairs = [(f"recall{suffix}@{k}", f"recall_{k}"), (f"precision{suffix}@{k}", f"P_{k}")]
                if least == 1:
                    pairs.append((f"ndcg@{k}", f"ndcg_cut_{k}"))
                for name, trec_name in pairs:
                    if (own >= least).any():
                        assert ours[name][query] == pytest.approx(theirs[str(query)][trec_name], abs=1e-12)
                    else:  # trec_eval says 0 here, or leaves the query out
                        assert np.isnan(ours[name][query])


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([("linear", (0, 1, 2)), ("exponential", (0, 1, 3))]))
def test_catalogue_metrics_equal_trec_eval(case: tuple, gains: tuple) -> None:
    n_items, judged, scores, _ = case
    items, _ = top_k(scores, max(CUTOFFS))
    ours = ranking_metrics(judged, items, CUTOFFS, gains[0])
    run = {
        str(query): {document(item): float(scores[query, item]) for item in range(n_items)}
        for query in range(judged.n_queries)
    }
    check_against_trec(judged, ours, run, gains[1])


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([("linear", (0, 1, 2)), ("exponential", (0, 1, 3))]))
def test_judged_pool_metrics_equal_trec_eval(case: tuple, gains: tuple) -> None:
    _, judged, _, scores = case
    ours = judged_metrics(judged, scores, CUTOFFS, gains[0])
    run: dict[str, dict[str, float]] = {}
    for query, item, score in zip(judged.query_rows, judged.items, scores, strict=True):
        run.setdefault(str(query), {})[document(item)] = float(score)
    check_against_trec(judged, ours, run, gains[1])


def test_hand_worked_example() -> None:
    judged = Judged.from_pairs([0, 0, 0, 0], [5, 1, 3, 8], [2, 1, 0, 2], n_queries=2)
    found = ranking_metrics(judged, np.array([[1, 7, 5, 3], [5, 1, 3, 8]]), cutoffs=(2, 4))
    dcg = 0.5 + 1 / np.log2(4)  # grade 1 first, an unjudged item, grade 2 third, grade 0 fourth
    ideal = 1 + 1 / np.log2(3) + 0.5 / np.log2(4)
    assert found["ndcg@4"][0] == pytest.approx(dcg / ideal)
    assert found["ndcg@2"][0] == pytest.approx(0.5 / (1 + 1 / np.log2(3)))
    assert found["recall@4"][0] == pytest.approx(2 / 3)
    assert found["recall_grade2@4"][0] == pytest.approx(1 / 2)
    assert found["precision@4"][0] == pytest.approx(2 / 4)
    assert all(np.isnan(values[1]) for values in found.values())  # the second query has no judgement


def test_unscored_pairs_come_last_in_the_judged_pool() -> None:
    judged = Judged.from_pairs([0, 0, 0], [0, 1, 2], [2, 0, 1], n_queries=1)
    found = judged_metrics(judged, np.array([np.nan, -5.0, -9.0], dtype=np.float32), cutoffs=(1, 2, 3))
    assert found["recall@1"][0] == 0.0
    assert found["recall@2"][0] == 0.5
    assert found["recall_grade2@2"][0] == 0.0
    assert found["recall_grade2@3"][0] == 1.0


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 50), st.sampled_from([2, 4, 10**6]))
def test_top_k_equals_a_full_sort(seed: int, n_items: int, k: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (3, n_items)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = np.nan
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    items, best = top_k(scores, k)
    assert items.shape == best.shape == (3, k)
    for query in range(3):
        real = [item for item in range(n_items) if scores[query, item] > -np.inf]
        expected = sorted(real, key=lambda item: (-scores[query, item], item))[:k]
        assert items[query].tolist() == expected + [-1] * (k - len(expected))
        assert best[query, : len(expected)].tolist() == [scores[query, item] for item in expected]
    Run("sorted", items, best)


def test_top_k_of_an_empty_catalogue_is_pads() -> None:
    items, best = top_k(np.zeros((2, 0)), 3)
    assert (items == -1).all() and np.isneginf(best).all()


def test_judged_from_pairs_sorts_and_keeps_every_pair() -> None:
    judged = Judged.from_pairs([2, 0, 2, 0], [9, 4, 1, 2], [0, 1, 2, 1], n_queries=4)
    assert judged.indptr.tolist() == [0, 2, 2, 4, 4]
    assert judged.items.tolist() == [2, 4, 1, 9]
    assert judged.grades.tolist() == [1, 1, 2, 0]
    assert judged.grades_of(np.array([[4], [4], [1], [-1]])).ravel().tolist() == [1, -1, 2, -1]


@pytest.mark.parametrize(
    ("queries", "items", "grades", "says"),
    [
        ([0, 0], [3, 3], [1, 2], "judged once"),
        ([0, 9], [3, 4], [1, 2], r"0\.\.1"),
        ([0, 1], [3, 4], [1, 3], "0, 1 or 2"),
        ([0, 1], [3, 4], [1.7, 2], "0, 1 or 2"),
        ([0, 1], [-3, 4], [1, 2], "negative"),
        ([0, 1], [3], [1, 2], "a pair has one of each"),
    ],
)
def test_broken_judgements_are_named(queries: list, items: list, grades: list, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Judged.from_pairs(queries, items, grades, n_queries=2)


@pytest.mark.parametrize(
    ("items", "scores", "says"),
    [
        ([[1, 2]], [[1.0]], "one shape"),
        ([[1, 2]], [[1.0, 2.0]], "best first"),
        ([[1, 1]], [[2.0, 1.0]], "twice"),
        ([[-1, 1]], [[2.0, 1.0]], "pads belong at the end"),
        ([[1, 2]], [[np.nan, np.nan]], "NaN"),
    ],
)
def test_broken_runs_are_named(items: list, scores: list, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Run("dense", np.array(items), np.array(scores, dtype=np.float32))


def test_a_cutoff_beyond_the_results_is_refused_not_guessed() -> None:
    judged = Judged.from_pairs([0], [0], [2], n_queries=1)
    with pytest.raises(ValueError, match="retrieve more"):
        ranking_metrics(judged, np.array([[0, 1]]), cutoffs=(1, 3))
