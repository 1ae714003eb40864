import numpy as np
import pytest
import torch

from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.index import blends, learnt_blend
from motherlode.index.blend import convex, simplex
from motherlode.index.blend_choice import FOLDS, KINDS, choose
from motherlode.index.candidates import best
from motherlode.index.pool import pool
from motherlode.index.query_convex import QueryConvex
from motherlode.index.rank_fusion import ndcg


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(learnt_blend, "STEPS", 30)


def shop(lexical_knows, seed=0, queries=60, items=40):
    """Grades that the dense leg half sees; the lexical leg sees them as well, or says nothing."""
    rng = np.random.default_rng(seed)
    grades = rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1], size=(queries, items))
    dense = (grades / 2 + rng.normal(0, 0.6, grades.shape)).astype(np.float32)
    lexical = ((grades * 3 if lexical_knows else 0) + rng.normal(9, 3, grades.shape)).astype(np.float32)
    rows = np.broadcast_to(np.arange(items), grades.shape).copy()
    legs = {"dense": best(dense, rows, 20), "lexical": best(lexical, rows, 20)}

    def of(scores):
        return lambda indptr, wanted: scores[np.repeat(np.arange(queries), np.diff(indptr)), wanted]

    query, item = np.nonzero(grades >= 0)
    judged = Judged.from_pairs(query, item, grades[query, item], queries)
    return legs, pool(legs, {"dense": of(dense), "lexical": of(lexical)}), judged


def test_the_lists_of_the_legs_come_back_out_of_a_pool():
    legs, found, _ = shop(lexical_knows=True)
    for name, leg in legs.items():
        np.testing.assert_array_equal(found.found(name).rows, leg.rows)
        np.testing.assert_array_equal(found.found(name).scores, leg.scores)
    short = {"dense": best(np.array([[3.0, 2.0]]), np.array([[4, -1]]), 3), "lexical": legs["lexical"]}
    only = pool({"dense": short["dense"], "lexical": best(np.array([[1.0]]), np.array([[-1]]), 2)})
    assert only.found("dense").rows.tolist() == [[4]] and only.found("lexical").rows.shape == (1, 0)


def test_the_convex_blend_is_that_of_the_lists():
    legs, found, judged = shop(lexical_knows=True)
    blend = QueryConvex.fit(found, judged)
    expected = convex(legs["dense"], legs["lexical"], blend.alpha, 10)
    np.testing.assert_array_equal(blend.blend(found, 10).rows, expected.rows)
    assert ndcg(expected, judged) >= max(
        ndcg(convex(legs["dense"], legs["lexical"], alpha, 10), judged) for alpha in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    assert blends.from_json(blend.to_json()) == blend
    old = blends.from_json({"kind": "convex", "alpha": blend.alpha})  # as written before there were three legs
    np.testing.assert_array_equal(old.blend(found, 10).scores, expected.scores)
    with pytest.raises(InputError, match="no leg 'lexical'"):
        blend.blend(pool({"dense": legs["dense"]}), 10)


def test_of_three_legs_the_best_weights_are_found():
    legs, _, judged = shop(lexical_knows=True)
    junk = best(-legs["lexical"].scores, legs["lexical"].rows, 20)
    three = pool({"dense": legs["dense"], "junk": junk, "lexical": legs["lexical"]})
    blend = QueryConvex.fit(three, judged)
    assert blend.legs == ("dense", "junk", "lexical")
    assert blend.weights in simplex(3)
    reached = ndcg(blend.blend(three, 10), judged)
    assert reached >= max(ndcg(convex(legs["dense"], legs["lexical"], a / 10, 10), judged) for a in range(11))
    assert blends.from_json(blend.to_json()) == blend


def test_judgements_of_some_queries_are_those_of_the_whole():
    _, _, judged = shop(lexical_knows=True, queries=8)
    chosen = np.array([5, 2, 7])
    part = judged.part(chosen)
    for at, query in enumerate(chosen):
        mine, whole = (slice(one.indptr[i], one.indptr[i + 1]) for one, i in ((part, at), (judged, query)))
        assert part.items[mine].tolist() == judged.items[whole].tolist()
        assert part.grades[mine].tolist() == judged.grades[whole].tolist()
    assert judged.part(np.array([], dtype=np.int64)).n_queries == 0


def test_what_is_reported_was_answered_by_blends_that_had_not_seen_the_query():
    _, found, judged = shop(lexical_knows=True)
    choice = choose(found, judged)
    folds = np.random.default_rng([0, judged.n_queries]).permutation(judged.n_queries) % FOLDS
    for kind in (QueryConvex, learnt_blend.LearntBlend):
        values = np.zeros(judged.n_queries)
        for fold in range(FOLDS):
            rest, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            lists = kind.fit(found.part(rest), judged.part(rest)).blend(found.part(held), 10)
            values[held] = ranking_metrics(judged.part(held), lists.rows, (10,))["ndcg@10"]
        assert choice.tried[kind.kind]["ndcg@10"] == pytest.approx(np.nanmean(values), abs=1e-12)
    seen = learnt_blend.LearntBlend.fit(found, judged).blend(found, 10)
    assert choice.tried["learnt"]["ndcg@10"] != pytest.approx(ndcg(seen, judged), abs=1e-6)
    assert set(choice.tried) == {kind.kind for kind in KINDS} == set(choice.fitted)


def test_the_simplest_within_one_standard_error_is_chosen():
    for lexical_knows in (True, False):
        _, found, judged = shop(lexical_knows)
        choice = choose(found, judged)
        close = [kind for kind, one in choice.tried.items() if one["behind"] <= one["error"]]
        order = [kind.kind for kind in KINDS]
        assert choice.blend.kind == min(close, key=order.index)
        assert choice.blend is choice.fitted[choice.blend.kind]
        assert choice.why.startswith(choice.blend.kind)


def test_a_leg_of_junk_scores_calls_for_more_than_the_convex_blend():
    # of every second query the lexical leg is loud and wrong; a scale of the query's own cannot tell
    rng = np.random.default_rng(3)
    grades = rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1], size=(80, 40))
    dense = (grades / 2 + rng.normal(0, 0.7, grades.shape)).astype(np.float32)
    loud = np.arange(80)[:, None] % 2 == 0
    lexical = np.where(loud, grades * 3 + rng.normal(20, 1, grades.shape), rng.normal(2, 1, grades.shape))
    lexical = lexical.astype(np.float32)
    rows = np.broadcast_to(np.arange(40), grades.shape).copy()
    found = pool(
        {"dense": best(dense, rows, 40), "lexical": best(lexical, rows, 40)},
    )
    query, item = np.nonzero(grades >= 0)
    choice = choose(found, Judged.from_pairs(query, item, grades[query, item], 80))
    assert choice.blend.kind != "convex"
    assert choice.tried["convex"]["behind"] > choice.tried["convex"]["error"]


def test_a_blend_that_cannot_be_fitted_says_why_and_others_are_tried():
    _, found, judged = shop(lexical_knows=True, queries=8)
    choice = choose(found, judged)
    assert "queries" in choice.tried["learnt"]["cannot"]
    assert choice.blend.kind in choice.fitted
