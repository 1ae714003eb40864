"""Confident learning against cleanlab, its ordinal form against a loop over labels and cuts."""

import numpy as np
import polars as pl
import pytest
from cleanlab.count import compute_confident_joint
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_self_confidence_for_each_label
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from motherlode.audit.confident import confident, ordinal_confident, out_of_fold
from motherlode.errors import SettingError


def case(seed: int, n: int = 400, sharp: float = 1.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 3, n)
    labels = np.where(rng.random(n) < 0.15, rng.integers(0, 3, n), true)
    logits = rng.normal(0, 1, (n, 3)) - sharp * np.abs(np.arange(3) - true[:, None])
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), labels, true


@pytest.mark.parametrize("seed", range(6))
def test_joint_and_issues_equal_cleanlabs(seed: int) -> None:
    p, labels, _ = case(seed, sharp=[0.5, 1.5, 3.0][seed % 3])
    found = confident(p, labels)
    # cleanlab counts a pair under its most probable grade although that grade's threshold is not met, once two
    # others are; the paper takes the most probable among those that are met
    odd = (p >= found.thresholds - 1e-6).sum(axis=1) >= 2
    odd &= found.true != p.argmax(axis=1)
    joint, rows = compute_confident_joint(labels, p, calibrate=False, return_indices_of_off_diagonals=True)
    off = np.zeros(len(labels), dtype=bool)
    off[rows] = True
    assert ((found.true >= 0) & (found.true != labels))[~odd].tolist() == off[~odd].tolist()
    assert joint.sum() == found.joint.sum()
    same = compute_confident_joint(labels[~odd], p[~odd], thresholds=found.thresholds, calibrate=False)
    np.testing.assert_array_equal(_joint(labels[~odd], found.true[~odd]), same)
    np.testing.assert_array_equal(found.joint, _joint(labels, found.true))
    np.testing.assert_array_equal(found.doubt, 1 - get_self_confidence_for_each_label(labels, p))
    if not odd.any():
        np.testing.assert_array_equal(found.joint, joint)


def _joint(labels: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.array([[int(((labels == i) & (true == j)).sum()) for j in range(3)] for i in range(3)])


def test_issues_are_cleanlabs_filter() -> None:
    p, labels, _ = case(11, n=2_000, sharp=2.5)
    found = confident(p, labels)
    most = p.argmax(axis=1)
    assert ((found.true < 0) | (found.true == most) | ((p >= found.thresholds).sum(axis=1) == 1)).all()
    ours = (found.true >= 0) & (found.true != labels)
    # its filter spares a label that is the most probable after all
    theirs = find_label_issues(labels, p, filter_by="confident_learning", n_jobs=1)
    assert (ours & (most != labels)).tolist() == theirs.tolist()
    assert theirs.sum() > 100


def slow_ordinal(p: np.ndarray, label: int, up: list[float], down: list[float]) -> int:
    def above(cut: int) -> float:
        return float(p[cut:].sum())

    def sure_up(cut: int) -> bool:
        both = above(cut) >= up[cut - 1] - 1e-6 and 1 - above(cut) >= down[cut - 1] - 1e-6
        return above(cut) >= up[cut - 1] - 1e-6 and (not both or above(cut) >= 0.5)

    def sure_down(cut: int) -> bool:
        both = above(cut) >= up[cut - 1] - 1e-6 and 1 - above(cut) >= down[cut - 1] - 1e-6
        return 1 - above(cut) >= down[cut - 1] - 1e-6 and (not both or above(cut) < 0.5)

    highest = lowest = label
    while highest < 2 and sure_up(highest + 1):
        highest += 1
    while lowest > 0 and sure_down(lowest):
        lowest -= 1
    if highest > label and (lowest == label or p[2] >= p[0]):
        return highest
    if lowest < label:
        return lowest
    held = all(sure_up(cut) if cut <= label else sure_down(cut) for cut in (1, 2))
    return label if held else -1


@pytest.mark.parametrize("seed", range(6))
def test_ordinal_equals_a_loop(seed: int) -> None:
    # a model worse than chance has low thresholds on both sides of a cut
    p, labels, _ = case(seed, sharp=[-0.5, 1.5, 3.0][seed % 3])
    found = ordinal_confident(p, labels)
    up = [float(np.mean([row[cut:].sum() for row, own in zip(p, labels, strict=True) if own >= cut])) for cut in (1, 2)]
    down = [
        float(np.mean([row[:cut].sum() for row, own in zip(p, labels, strict=True) if own < cut])) for cut in (1, 2)
    ]
    np.testing.assert_allclose(found.thresholds, [up, down])
    slow = [slow_ordinal(row, int(own), up, down) for row, own in zip(p, labels, strict=True)]
    assert found.true.tolist() == slow
    assert len(set(slow)) == 4
    distance = [sum(row[j] * abs(j - own) for j in range(3)) for row, own in zip(p, labels, strict=True)]
    np.testing.assert_allclose(found.doubt, distance)
    np.testing.assert_array_equal(found.joint, _joint(labels, found.true))


def test_order_sees_what_plain_counting_misses() -> None:
    rest = np.array([[0.9, 0.08, 0.02], [0.05, 0.85, 0.1], [0.02, 0.08, 0.9]] * 20)
    labels = np.array([0, 1, 2] * 20)
    p = np.append(rest, [[0.02, 0.49, 0.49]], axis=0)  # surely not 0, but 1 or 2?
    labels = np.append(labels, 0)
    assert confident(p, labels).true[-1] == -1
    assert ordinal_confident(p, labels).true[-1] == 1
    # and it ranks a label two grades off above one that is one off
    doubt = ordinal_confident(np.append(p, [[0.1, 0.0, 0.9], [0.1, 0.9, 0.0]], axis=0), np.append(labels, [0, 0])).doubt
    assert doubt[-2] > doubt[-1]


@given(st.integers(0, 2**32 - 1))
def test_a_mirrored_scale_gives_mirrored_findings(seed: int) -> None:
    p, labels, _ = case(seed, n=60)
    ours, mirrored = ordinal_confident(p, labels), ordinal_confident(p[:, ::-1], 2 - labels)
    tied = np.isclose(p[:, 0], p[:, 2])
    expected = np.where(mirrored.true >= 0, 2 - mirrored.true, -1)
    assert ours.true[~tied].tolist() == expected[~tied].tolist()
    np.testing.assert_allclose(ours.doubt, mirrored.doubt)


def test_a_grade_nobody_was_given_is_never_sure() -> None:
    p, _, _ = case(3, n=50)
    labels = np.arange(50) % 2
    assert (confident(p, labels).true < 2).all()
    assert (ordinal_confident(p, labels).true < 2).all()


def test_out_of_fold_never_trains_on_the_query_it_predicts() -> None:
    rng = np.random.default_rng(0)
    queries = pl.Series([f"q{number}" for number in rng.integers(0, 80, 900)])
    level = dict(zip(queries.unique(), rng.integers(0, 3, queries.n_unique()), strict=True))
    labels = np.array([level[query] for query in queries])  # the query gives its label away
    codes = queries.rank("dense").to_numpy().astype(int)
    x = np.eye(codes.max() + 1)[codes]
    seen = []

    def predict(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
        assert not set(queries[train]) & set(queries[rows])
        seen.append(rows)
        return LogisticRegression().fit(x[train], labels[train]).predict_proba(x[rows])

    p = out_of_fold(queries, predict, k=4, seed=1)
    assert np.sort(np.concatenate(seen)).tolist() == list(range(900))
    assert (p.argmax(axis=1) == labels).mean() < 0.6  # in-sample it is 1
    np.testing.assert_allclose(p.sum(axis=1), 1)
    with pytest.raises(SettingError, match="folds"):
        out_of_fold(queries, predict, k=1)
