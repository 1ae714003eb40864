"""The learnt blend: its features against a loop, its gain on held-out queries, its bytes on disk."""

import json

import numpy as np
import pytest
import torch

from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged
from motherlode.index import blends, learnt_blend
from motherlode.index.blend_features import features, names
from motherlode.index.candidates import best
from motherlode.index.learnt_blend import LearntBlend
from motherlode.index.pool import Pool, pool
from motherlode.index.rank_fusion import RankFusion, ndcg
from motherlode.index.word_matches import Matches


def shop(seed, queries=80, items=40):
    """The dense leg tells grades apart in long queries, the lexical one in short ones: no fixed weight serves both."""
    rng = np.random.default_rng(seed)
    grades = rng.choice([0, 1, 2], p=[0.8, 0.15, 0.05], size=(queries, items))
    long = rng.random((queries, 1)) < 0.5
    dense = (0.5 + 0.1 * np.where(long, grades, 0) + rng.normal(0, 0.05, grades.shape)).astype(np.float32)
    lexical = (5 + np.where(long, 0, grades) + rng.normal(0, 0.5, grades.shape)).astype(np.float32)
    rows = np.broadcast_to(np.arange(items), grades.shape).copy()

    def of(scores):
        return lambda indptr, wanted: scores[np.repeat(np.arange(queries), np.diff(indptr)), wanted]

    legs = {"dense": best(dense, rows, 30), "lexical": best(lexical, rows, 30)}
    found = pool(legs, {"dense": of(dense), "lexical": of(lexical)})
    words = np.concatenate([np.where(long, 6, 1), np.ones((queries, 3))], axis=1).astype(np.float32)
    pairs = np.zeros((*found.rows.shape, 8), dtype=np.float32)
    pairs[..., 0] = rng.random(found.rows.shape)
    found = Pool(found.legs, found.rows, found.scores, found.ranks, Matches(pairs, words))
    at, item = np.nonzero(rng.random(grades.shape) < 0.9)
    return found, Judged.from_pairs(at, item, grades[at, item], queries)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Half the steps: enough for shops as clear as these."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learnt_blend, "STEPS", 200)
        yield


@pytest.fixture
def few(monkeypatch):
    """For tests that need no good blend."""
    monkeypatch.setattr(learnt_blend, "STEPS", 40)


@pytest.fixture(scope="module")
def learnt():
    return LearntBlend.fit(*shop(0))


def test_features_are_the_slow_loop():
    found, _ = shop(3, queries=4)
    found.scores[0, :, 0] = np.nan  # a leg that knows nothing
    found.scores[1, 3:, 1] = np.nan
    values, columns = features(found), names(found.legs, True)
    assert values.shape == (*found.rows.shape, len(columns)) and np.isfinite(values).all()
    assert not values[found.rows < 0].any()
    for query in range(4):
        real = np.flatnonzero(found.rows[query] >= 0)
        tops, spread, shares = [], {}, {}
        for leg, name in enumerate(found.legs):
            own = found.scores[query, real, leg].astype(float)
            known = ~np.isnan(own)
            order = sorted(np.flatnonzero(known), key=lambda at: (-own[at], at))
            low = own[known].min() if known.any() else 0.0
            filled = np.where(known, own, low)
            ranks = np.full(len(real), known.sum() + 1)
            for rank, at in enumerate(order, start=1):
                ranks[at] = rank
            first = filled[ranks <= 50]
            mean, std, top = first.mean(), first.std(), filled.max()
            whole = max(abs(top), 1e-6)
            spread[name], shares[name] = (top - mean) / whole, filled / whole
            tops.append({at for at in order if ranks[at] <= 10})
            expected = {
                "score": filled,
                "share of best": filled / whole,
                "standard score": (filled - mean) / (std + 1e-3),
                "reciprocal rank": 1 / (10 + ranks),
                "log rank": np.log(ranks),
            }
            for key, want in expected.items():
                got = values[query, real, columns.index(f"{name} {key}")]
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        around = {
            "agreement": len(tops[0] & tops[1]) / 10,
            "dense spread": spread["dense"],
            "lexical spread": spread["lexical"],
            "terms": found.matches.queries[query, 0],
            "greatest idf": found.matches.queries[query, 2],
        }
        for leg in found.legs:
            for key, value in around.items():
                got = values[query, real, columns.index(f"{leg} share of best x {key}")]
                np.testing.assert_allclose(got, shares[leg] * value, rtol=1e-4, atol=1e-5)
        at = columns.index("words")
        np.testing.assert_array_equal(values[query, real, at : at + 8], found.matches.pairs[query, real])


def test_it_beats_fixed_weights_on_queries_it_has_not_seen(learnt):
    found, judged = shop(1)
    ours = ndcg(learnt.blend(found, 10), judged)
    convex = blends.CalibratedConvex.fit(found, judged)  # fitted on the test queries themselves
    assert ours > ndcg(convex.blend(found, 10), judged) + 0.01
    assert ours > ndcg(RankFusion.fit(found, judged).blend(found, 10), judged) + 0.01


@pytest.mark.usefixtures("few")
def test_labels_without_meaning_teach_nothing():
    found, judged = shop(2)
    noise = Judged(judged.indptr, judged.items, np.random.default_rng(0).permutation(judged.grades))
    held, rest = np.arange(judged.n_queries) % 2 == 0, np.arange(judged.n_queries) % 2 == 1
    held, rest = np.flatnonzero(held), np.flatnonzero(rest)
    learnt = LearntBlend.fit(found.part(rest), noise.part(rest))
    value = ndcg(learnt.blend(found.part(held), 10), noise.part(held))
    order = np.random.default_rng(1).random(found.rows[held].shape)
    assert abs(value - ndcg(best(order, found.rows[held], 10), noise.part(held))) < 0.08


def test_what_tells_nothing_gets_little_weight():
    found, judged = shop(4)
    noise = np.random.default_rng(0).normal(size=found.scores.shape[:2]).astype(np.float32)
    scores = found.scores.copy()
    scores[:, :, found.leg("lexical")] = noise  # the leg says nothing of the grade now
    blend = LearntBlend.fit(Pool(found.legs, found.rows, scores, found.ranks, found.matches), judged)
    assert abs(blend.attention["lexical score"]) < 0.5 * abs(blend.attention["dense score"])


def test_scores_are_the_model_written_out(learnt):
    x = np.random.default_rng(0).normal(size=(7, len(learnt.mean))).astype(np.float32) * 3
    z = np.clip((x.astype(float) - learnt.mean) / learnt.scale, -5, 5)
    np.testing.assert_allclose(learnt.score(x), z @ learnt.weights.astype(float), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("few")
def test_learning_is_deterministic():
    found, judged = shop(0)
    assert LearntBlend.fit(found, judged).to_json() == LearntBlend.fit(found, judged).to_json()


def test_json_keeps_every_bit(learnt, tmp_path):
    found, _ = shop(0)
    blends.save(learnt, tmp_path / "blend.json")
    again = blends.load(tmp_path / "blend.json")
    for ours, theirs in zip(learnt.blend(found, 10), again.blend(found, 10), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_does_not_fit_is_refused(learnt, tmp_path):
    found, judged = shop(0)
    with pytest.raises(InputError, match="learnt from the legs"):
        learnt.blend(Pool(found.legs, found.rows, found.scores, found.ranks), 10)
    with pytest.raises(InputError, match="to learn a blend from"):
        LearntBlend.fit(found, Judged(judged.indptr, judged.items, np.zeros_like(judged.grades)))
    changed = learnt.to_json() | {"features": ["other"]}
    (tmp_path / "blend.json").write_text(json.dumps(changed))
    with pytest.raises(InputError, match="holds no blend"):
        blends.load(tmp_path / "blend.json")


@pytest.mark.usefixtures("few")
def test_words_are_left_out_where_it_learnt_without_them():
    found, judged = shop(0)
    bare = Pool(found.legs, found.rows, found.scores, found.ranks)
    blend = LearntBlend.fit(bare, judged)
    for ours, theirs in zip(blend.blend(bare, 10), blend.blend(found, 10), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.usefixtures("few")
def test_it_learns_the_same_on_any_number_of_threads():
    case = shop(3, queries=200)
    alone = LearntBlend.fit(*case)
    torch.set_num_threads(2)
    try:
        np.testing.assert_array_equal(LearntBlend.fit(*case).weights, alone.weights)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
