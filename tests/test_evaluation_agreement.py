"""Agreement against scikit-learn, and its intervals against a slow bootstrap and against repeated samples."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, f1_score, precision_score, recall_score

from motherlode.evaluation.agreement import agreement, agreement_gain, agreement_interval, quadratic_kappa

gradings = st.integers(2, 4).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=40),
    )
)


@given(gradings)
def test_every_figure_equals_scikit_learn(case: tuple[int, list[tuple[int, int]]]) -> None:
    classes, pairs = case
    truth, predicted = np.array(pairs).T
    found = agreement(truth, predicted, classes)
    labels = list(range(classes))
    assert found["n"] == len(pairs) and found["unanswered"] == 0
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert found["within_1"] == pytest.approx(np.mean([abs(a - b) <= 1 for a, b in pairs]))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))
    assert found["confusion"] == confusion_matrix(truth, predicted, labels=labels).tolist()
    if len(set(truth) | set(predicted)) > 1:
        kappa = cohen_kappa_score(truth, predicted, labels=labels, weights="quadratic")
        assert found["quadratic_kappa"] == pytest.approx(kappa)
        assert quadratic_kappa(predicted, truth, classes) == pytest.approx(kappa)
    else:
        assert found["quadratic_kappa"] is None
    precision = precision_score(truth, predicted, labels=labels, average=None, zero_division=np.nan)
    recall = recall_score(truth, predicted, labels=labels, average=None, zero_division=np.nan)
    for grade in labels:
        row = found["grades"][grade]
        assert (row["truth"], row["predicted"]) == ((truth == grade).sum(), (predicted == grade).sum())
        for name, values in (("precision", precision), ("recall", recall)):
            assert row[name] == (None if np.isnan(values[grade]) else pytest.approx(values[grade]))
    json.dumps(found, allow_nan=False)


def test_pairs_without_an_answer_are_counted_apart() -> None:
    truth, predicted = np.array([0, 1, 2, 2, 1]), np.array([0, -1, 2, -1, 0])
    found = agreement(truth, predicted)
    assert found["unanswered"] == 2
    assert {**found, "unanswered": 0} == agreement([0, 2, 1], [0, 2, 0])
    nothing = agreement([1], [-1])
    assert nothing["n"] == 0 and nothing["accuracy"] is None and nothing["macro_f1"] is None


def sample(queries: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grades whose errors come query by query: all pairs of a hard query tend to be wrong."""
    rng = np.random.default_rng(seed)
    query = np.repeat(np.arange(queries), rng.integers(1, 15, queries))
    truth = rng.integers(0, 3, len(query))
    wrong = rng.random(len(query)) < rng.beta(0.5, 1.0, queries)[query]
    predicted = np.where(wrong, rng.integers(0, 3, len(query)), truth)
    return query, truth, predicted


def slow_bootstrap(query: np.ndarray, truth: np.ndarray, predicted: np.ndarray, resamples: int) -> np.ndarray:
    rng = np.random.default_rng(99)
    rows = [np.flatnonzero(query == one) for one in np.unique(query)]
    values = []
    for _ in range(resamples):
        drawn = np.concatenate([rows[at] for at in rng.integers(0, len(rows), len(rows))])
        found = agreement(truth[drawn], predicted[drawn])
        values.append([found["accuracy"], found["quadratic_kappa"], found["macro_f1"]])
    return np.percentile(values, [2.5, 97.5], axis=0)


def test_intervals_equal_a_slow_bootstrap_over_queries() -> None:
    query, truth, predicted = sample(60, 0)
    low, high = slow_bootstrap(query, truth, predicted, 1_500)
    found = agreement_interval(truth, predicted, query_ids=[f"q{one}" for one in query], resamples=4_000)
    overall = agreement(truth, predicted)
    for at, name in enumerate(["accuracy", "quadratic_kappa", "macro_f1"]):
        assert found[name]["value"] == overall[name]
        width = high[at] - low[at]
        assert found[name]["low"] == pytest.approx(low[at], abs=0.1 * width)
        assert found[name]["high"] == pytest.approx(high[at], abs=0.1 * width)


def test_queries_as_clusters_cover_the_truth_where_single_pairs_do_not() -> None:
    large = sample(20_000, 1)
    truth_of_all = agreement(*large[1:])["accuracy"]
    covered = {"clusters": 0, "pairs": 0}
    for seed in range(200):
        query, truth, predicted = sample(80, seed + 2)
        for name, ids in (("clusters", query), ("pairs", None)):
            found = agreement_interval(truth, predicted, query_ids=ids, resamples=400, seed=seed)["accuracy"]
            covered[name] += found["low"] <= truth_of_all <= found["high"]
    assert 0.90 <= covered["clusters"] / 200 <= 0.99
    assert covered["pairs"] / 200 < 0.85


def test_gain_over_a_baseline_is_paired() -> None:
    query, truth, predicted = sample(80, 5)
    worse = np.where(np.arange(len(truth)) % 10 == 0, (truth + 1) % 3, predicted)
    gain = agreement_gain(truth, predicted, worse, query_ids=query)
    expected = np.mean(predicted == truth) - np.mean(worse == truth)
    assert gain["accuracy"]["value"] == pytest.approx(expected)
    assert 0 < gain["accuracy"]["low"] < expected < gain["accuracy"]["high"]
    alone = agreement_interval(truth, predicted, query_ids=query)["accuracy"]
    # the same queries are hard for both, so a paired draw is much surer than two separate ones
    assert gain["accuracy"]["high"] - gain["accuracy"]["low"] < 0.5 * (alone["high"] - alone["low"])
    same = agreement_gain(truth, predicted, predicted, query_ids=query)
    assert all(same[name] == {"value": 0.0, "low": 0.0, "high": 0.0} for name in same)


def test_intervals_repeat_and_know_when_they_mean_nothing() -> None:
    query, truth, predicted = sample(30, 9)
    first = agreement_interval(truth, predicted, query_ids=query, resamples=300, seed=3)
    assert first == agreement_interval(truth, predicted, query_ids=query, resamples=300, seed=3)
    one_query = agreement_interval(truth, predicted, query_ids=np.zeros(len(truth)), resamples=50)
    assert one_query["accuracy"]["low"] is None
    assert one_query["accuracy"]["value"] == agreement(truth, predicted)["accuracy"]


@pytest.mark.parametrize(
    ("truth", "predicted", "words"),
    [([0, 1], [0], "share one shape"), ([0, 3], [0, 0], "truth must"), ([0, 1], [0, -2], "predicted must")],
)
def test_faults_are_named(truth: list[int], predicted: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        agreement(truth, predicted)
    with pytest.raises(ValueError, match=words):
        agreement_interval(truth, predicted)
