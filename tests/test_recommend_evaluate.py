"""Ranks and metrics over the whole catalogue against a naive evaluator, and the baselines against loops."""

import math

import numpy as np
import pytest

from motherlode.errors import InputError
from motherlode.recommend import evaluate as module
from motherlode.recommend.baselines import implicit_als, item_knn, matrix, popularity
from motherlode.recommend.evaluate import evaluate, model_scorer, recommend, target_ranks
from motherlode.recommend.examples import last_of
from motherlode.recommend.holdout import leave_k_out, leave_last, popularity_slices
from motherlode.recommend.towers import TowerSettings, UserItemTwoTower
from recommend_case import random_sequences, world


def case(seed: int = 0, ties: bool = True):
    rng = np.random.default_rng(seed)
    split = leave_k_out(random_sequences(rng, 80, 70, 40), 4, seed)
    scores = rng.standard_normal((len(split.test), 70)).astype(np.float32)
    return split, np.round(scores, 1) if ties else scores


def naive_order(holdout, scores, user: int) -> list[int]:
    had = set(holdout.history.items[holdout.history.indptr[user] : holdout.history.indptr[user + 1]].tolist())
    return sorted((i for i in range(scores.shape[1]) if i not in had), key=lambda i: (-scores[user, i], i))


@pytest.mark.parametrize("cells", [1, 300, 8_000_000])  # one user at a time, a few, all at once
def test_metrics_equal_a_naive_evaluator(cells, monkeypatch):
    monkeypatch.setattr(module, "CELLS", cells)
    split, scores = case()
    slices = popularity_slices(split.frequencies)
    holdout = split.test
    found = evaluate(holdout, lambda a, b: scores[a:b], cutoffs=(3, 10), slices=slices).per_user
    for user in range(len(holdout)):
        targets = holdout.targets.items[holdout.targets.indptr[user] : holdout.targets.indptr[user + 1]].tolist()
        order = naive_order(holdout, scores, user)
        for k in (3, 10):
            assert found[f"recall@{k}"][user] == len(set(order[:k]) & set(targets)) / len(targets)
            for name, items in slices.items():
                inside = [t for t in targets if items[t]]
                value = found[f"recall@{k}/{name}"][user]
                if inside:
                    assert value == len(set(order[:k]) & set(inside)) / len(inside)
                else:
                    assert math.isnan(value)
        gain = sum(1 / math.log2(place + 2) for place, i in enumerate(order[:50]) if i in targets)
        ideal = sum(1 / math.log2(place + 2) for place in range(len(targets)))
        assert found["ndcg@50"][user] == pytest.approx(gain / ideal, rel=1e-12)


def test_the_top_k_equals_brute_force_and_agrees_with_the_ranks():
    split, scores = case(1)
    holdout = split.test
    rows, best = recommend(holdout, lambda a, b: scores[a:b], 60)
    ranks = target_ranks(holdout, lambda a, b: scores[a:b])
    for user in range(len(holdout)):
        order = naive_order(holdout, scores, user)[:60]
        assert rows[user].tolist() == order + [-1] * (60 - len(order))
        assert best[user, : len(order)].tolist() == scores[user, order].tolist()
        for place in range(holdout.targets.indptr[user], holdout.targets.indptr[user + 1]):
            target = holdout.targets.items[place]
            if ranks[place] <= 60:
                assert rows[user, ranks[place] - 1] == target
            else:
                assert target not in rows[user]


def test_metrics_mean_over_the_users_who_have_them():
    split, scores = case(2)
    found = evaluate(split.test, lambda a, b: scores[a:b], slices={"none": np.zeros(70, dtype=bool)})
    assert found.means["recall@50/none"] is None
    assert found.means["recall@50"] == pytest.approx(found.per_user["recall@50"].mean())


def test_the_model_scores_by_cosine_of_the_last_events():
    split = leave_last(world(60, length=7))
    model = UserItemTwoTower(63, TowerSettings(width=8, window=3))
    holdout = split.test
    histories = last_of(holdout.history, 3)
    assert histories.shape == (60, 3)
    wanted = model.encode_users(histories).astype(np.float64) @ model.encode_items().astype(np.float64).T
    np.testing.assert_allclose(model_scorer(model, holdout)(5, 20), wanted[5:20], atol=1e-6)


def test_a_score_that_is_no_number_is_refused():
    split, scores = case()
    scores[3, 4] = np.nan
    with pytest.raises(InputError, match="NaN"):
        target_ranks(split.test, lambda a, b: scores[a:b])


def test_popularity_counts_training_events():
    split, _ = case()
    found = popularity(split.train, split.test)(2, 5)
    assert (found == np.bincount(split.train.items, minlength=70)).all()
    assert found.shape == (3, 70)


def test_item_knn_from_its_definition():
    split, _ = case(3)
    seen = matrix(split.train).toarray().astype(np.float64)
    lengths = np.sqrt(np.maximum(seen.sum(axis=0), 1))
    cosines = seen.T @ seen / np.outer(lengths, lengths)
    np.fill_diagonal(cosines, 0)
    cosines = np.round(cosines, 6)  # equal ones are equal
    history = split.test.history
    found = item_knn(split.train, split.test, neighbours=100)(0, len(split.test))
    for user in range(len(split.test)):
        own = history.items[history.indptr[user] : history.indptr[user + 1]]
        np.testing.assert_allclose(found[user], cosines[:, own].sum(axis=1), atol=1e-5)
    few = item_knn(split.train, split.test, neighbours=2)(0, len(split.test))
    most = np.sort(cosines, axis=1)[:, -2:].sum(axis=1)
    everything = np.zeros(70)
    one = np.flatnonzero(np.diff(history.indptr) > 0)[0]
    own = history.items[history.indptr[one] : history.indptr[one + 1]]
    for item in range(70):
        near = np.argsort(-cosines[item], kind="stable")[:2]
        everything[item] = cosines[item, np.intersect1d(near, own)].sum()
    assert (few[one] <= most + 1e-5).all()
    assert few.sum() < found.sum()
    exact = [i for i in range(70) if len(set(np.sort(cosines[i])[-3:])) == 3]  # without a tie at the border
    assert len(exact) > 30
    np.testing.assert_allclose(few[one][exact], everything[exact], atol=1e-5)


def test_als_finds_the_rings_and_popularity_does_not():
    pytest.importorskip("implicit")
    split = leave_last(world(240))
    found = evaluate(split.test, implicit_als(split.train, split.test, 16), cutoffs=(10,)).means["recall@10"]
    popular = evaluate(split.test, popularity(split.train, split.test), cutoffs=(10,)).means["recall@10"]
    assert found > 0.9 > 0.5 > popular
