"""Pools, word matches and blends equal loops over dictionaries; what is chosen is the best that could be."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from motherlode.errors import InputError, MissingError
from motherlode.evaluation.judged import Judged
from motherlode.index import blends
from motherlode.index.blends import CalibratedConvex, DenseGate
from motherlode.index.candidates import best
from motherlode.index.pool import pool
from motherlode.index.rank_fusion import CONSTANTS, RankFusion, ndcg
from motherlode.index.word_matches import PAIR, Titles


def leg(lists, width):
    """Candidates of dictionaries row -> score."""
    rows = np.full((len(lists), width), -1)
    scores = np.zeros((len(lists), width))
    for number, found in enumerate(lists):
        rows[number, : len(found)] = list(found)
        scores[number, : len(found)] = list(found.values())
    return best(scores, rows, width)


@st.composite
def two_legs(draw):
    queries = draw(st.integers(1, 3))
    one = st.dictionaries(st.integers(0, 9), st.integers(-8, 8).map(lambda value: value / 8), max_size=6)
    return [[draw(one) for _ in range(queries)] for _ in range(2)]


@settings(max_examples=60, deadline=None)
@given(two_legs(), st.booleans())
def test_a_pool_is_the_union_with_each_legs_own_score_and_place(lists, exact):
    truth = np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32)

    def scorer(indptr, rows):
        return truth[np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)), rows]

    legs = {name: leg(found, 6) for name, found in zip(("dense", "lexical"), lists, strict=True)}
    made = pool(legs, {"lexical": scorer} if exact else None)
    for query in range(len(lists[0])):
        wanted = sorted(set(lists[0][query]) | set(lists[1][query]))
        assert made.rows[query][made.rows[query] >= 0].tolist() == wanted
        assert made.rows[query, : len(wanted)].tolist() == wanted
        for at, row in enumerate(wanted):
            for column, own in enumerate((lists[0][query], lists[1][query])):
                order = sorted(own, key=lambda item: (-own[item], item))
                if row in own:
                    assert made.scores[query, at, column] == np.float32(own[row])
                    assert made.ranks[query, at, column] == order.index(row) + 1
                else:
                    assert made.ranks[query, at, column] == 0
                    known = made.scores[query, at, column]
                    assert known == truth[query, row] if exact and column else np.isnan(known)


def test_a_pool_refuses_legs_of_different_queries():
    with pytest.raises(InputError, match="same queries"):
        pool({"dense": leg([{1: 1.0}], 1), "lexical": leg([{}, {}], 1)})
    with pytest.raises(InputError, match="no leg 'other'"):
        pool({"dense": leg([{1: 1.0}], 1)}, {"other": lambda _, rows: rows})


@settings(max_examples=60, deadline=None)
@given(two_legs(), st.sampled_from([1, 60]))
def test_rank_fusion_is_the_slow_loop(lists, constant):
    blended = RankFusion(constant).blend(pool({"a": leg(lists[0], 6), "b": leg(lists[1], 6)}), 20)
    for query in range(len(lists[0])):
        totals = {}
        for own in (lists[0][query], lists[1][query]):
            for rank, row in enumerate(sorted(own, key=lambda item: (-own[item], item)), start=1):
                totals[row] = totals.get(row, 0) + 1 / (constant + rank)
        order = sorted(totals, key=lambda row: (-np.float32(totals[row]), row))
        assert blended.rows[query][blended.rows[query] >= 0].tolist() == order


TITLES = ["red steel hammer", "hammer red", "claw hammer with red grip", "paint", "", "red red hammer hammer"]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["red", "hammer", "claw", "paint", "unknown", "grip"]), max_size=5))
def test_matches_are_the_slow_loop(words):
    titles = Titles.build(TITLES, str.split)
    rows = np.array([[0, 1, 2, 3, 4, 5, -1]])
    found = titles.matches([" ".join(words)], rows)
    assert not found.pairs[0, -1].any()
    terms = list(dict.fromkeys(words))
    if not terms:
        assert not found.pairs.any() and not found.queries.any()
        return
    holding = {term: sum(term in title.split() for title in TITLES) for term in terms}
    idf = {term: np.log(1 + (len(TITLES) - n + 0.5) / (n + 0.5)) for term, n in holding.items()}
    np.testing.assert_allclose(
        found.queries[0],
        [len(words), np.mean(list(idf.values())), max(idf.values()), np.mean([holding[term] == 0 for term in terms])],
        rtol=1e-5,
    )
    for row, title in enumerate(TITLES):
        held = title.split()
        pairs = list(pairwise(terms))
        neighbours = list(pairwise(held))
        shared = [term in held for term in terms]
        hits = [place + 1 for place, term in enumerate(held) if term in terms]
        heads = [place + 1 for place, term in enumerate(held) if term == terms[-1]]
        size = max(len(held), 1)
        expected = [
            np.mean(shared),
            sum(idf[term] for term in terms if term in held) / sum(idf.values()),
            np.mean([pair in neighbours for pair in pairs]) if pairs else np.mean(shared),
            float(terms[-1] in held),
            len(hits) / size,
            max(hits, default=0) / size,
            max(heads, default=0) / size,
            np.log(1 + len(held)),
        ]
        assert len(expected) == len(PAIR)
        np.testing.assert_allclose(found.pairs[0, row], expected, rtol=1e-5, atol=1e-7)


def test_titles_are_mapped_as_they_were_built_and_grow(tmp_path):
    titles = Titles.build(TITLES[:4], str.split)
    titles.save(tmp_path / "titles")
    queries, rows = ["red claw", "unknown hammer"], np.array([[0, 2, -1], [1, 3, 2]])
    opened = Titles.open(tmp_path / "titles", str.split).matches(queries, rows)
    built = titles.matches(queries, rows)
    np.testing.assert_array_equal(opened.pairs, built.pairs)
    np.testing.assert_array_equal(opened.queries, built.queries)
    grown = Titles.open(tmp_path / "titles", str.split, [*TITLES[4:], "unknown red"])
    found = grown.matches(queries, np.array([[0, 5, 4], [6, 1, 5]]))
    np.testing.assert_array_equal(found.queries, built.queries)  # idf stays that of the first titles
    same = titles.matches(queries, np.array([[0, -1, -1], [-1, 1, -1]]))
    np.testing.assert_array_equal(found.pairs[0, 0], same.pairs[0, 0])
    np.testing.assert_array_equal(found.pairs[1, 1], same.pairs[1, 1])
    assert found.pairs[1, 0, PAIR.index("words")] == 0.5  # "unknown", though no first title holds it
    assert found.pairs[0, 1, PAIR.index("words")] == 0.5
    assert not found.pairs[0, 2, : PAIR.index("length")].any()


def shop(seed=0, queries=60, items=30, misleading=True):
    """Two legs that each see part of the grade; the lexical one also returns junk of low dense score."""
    rng = np.random.default_rng(seed)
    grades = rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1], size=(queries, items))
    dense = np.clip(grades / 2 * 0.5 + rng.normal(0.2, 0.15, grades.shape), -1, 1).astype(np.float32)
    lexical = np.maximum(grades * 2 + rng.normal(3, 2, grades.shape), 0).astype(np.float32)
    if misleading:
        junk = (grades == 0) & (rng.random(grades.shape) < 0.3)
        dense[junk], lexical[junk] = -0.3, 15
    rows = np.broadcast_to(np.arange(items), grades.shape).copy()
    legs = {"dense": best(dense, rows, 15), "lexical": best(lexical, rows, 15)}

    def of(scores):
        return lambda indptr, wanted: scores[np.repeat(np.arange(queries), np.diff(indptr)), wanted]

    at, item = np.nonzero(rng.random(grades.shape) < 0.8)  # the others are not judged
    judged = Judged.from_pairs(at, item, grades[at, item], queries)
    return pool(legs, {"dense": of(dense), "lexical": of(lexical)}), judged


def test_the_constant_chosen_is_the_best_of_those_tried():
    found, judged = shop()
    values = {constant: ndcg(RankFusion(constant).blend(found, 10), judged) for constant in CONSTANTS}
    assert values[RankFusion.fit(found, judged).constant] == max(values.values())
    assert len(set(values.values())) > 1


def test_calibrated_convex_is_its_formula_and_calibrated():
    found, judged = shop(misleading=False)
    blend = CalibratedConvex.fit(found, judged)
    good = judged.grades_of(found.rows) >= 1
    for column in range(2):
        known = found.rows >= 0
        own = LogisticRegression(C=np.inf, tol=1e-8, max_iter=10_000).fit(
            found.scores[known][:, [column]].astype(float), good[known]
        )
        np.testing.assert_allclose(blend.slopes[column], own.coef_[0, 0], rtol=1e-2)
        np.testing.assert_allclose(blend.offsets[column], own.intercept_[0], rtol=1e-2)
    blended = blend.blend(found, 30)
    for query in range(5):
        expected = {}
        for row, scores in zip(found.rows[query], found.scores[query].astype(float), strict=True):
            parts = [
                weight / (1 + np.exp(-(slope * score + offset)))
                for weight, slope, score, offset, floor in zip(
                    blend.weights, blend.slopes, scores, blend.offsets, blend.floors, strict=True
                )
                if score >= floor and weight > 0
            ]
            if row >= 0 and parts:
                expected[row] = sum(parts)
        got = {row: score for row, score in zip(blended.rows[query], blended.scores[query], strict=True) if row >= 0}
        assert got.keys() == expected.keys()
        np.testing.assert_allclose([got[row] for row in expected], list(expected.values()), rtol=1e-5)


def test_no_other_candidate_moves_a_calibrated_score():
    found, judged = shop()
    blend = CalibratedConvex.fit(found, judged)
    whole = blend.blend(found, 30)
    alone = type(found)(found.legs, found.rows[:, :1], found.scores[:, :1], found.ranks[:, :1])
    for query, (row, score) in enumerate(zip(*(side[:, 0] for side in blend.blend(alone, 1)[::-1]), strict=True)):
        if row >= 0:
            assert score == whole.scores[query][whole.rows[query] == row]


def test_the_gate_drops_lexical_hits_of_low_dense_score_alone():
    found, judged = shop()
    gate = DenseGate(0.0, RankFusion(60))
    kept = gate.blend(found, 30).rows
    for query in range(len(kept)):
        own = found.ranks[query, :, 0] > 0
        passes = (found.rows[query] >= 0) & (own | (found.scores[query, :, 0] >= 0.0))
        assert set(kept[query][kept[query] >= 0]) == set(found.rows[query][passes])
    assert (found.scores[:, :, 0] < 0).any() and len(np.unique(kept)) > 5
    fitted = DenseGate.fit(found, judged)
    assert ndcg(fitted.blend(found, 10), judged) > ndcg(RankFusion.fit(found, judged).blend(found, 10), judged)


@pytest.mark.parametrize("kind", [RankFusion, CalibratedConvex, DenseGate])
def test_a_blend_comes_back_from_json(kind, tmp_path):
    found, judged = shop()
    blend = kind.fit(found, judged)
    blends.save(blend, tmp_path / "blend.json")
    again = blends.load(tmp_path / "blend.json")
    assert again == blend
    for ours, theirs in zip(blend.blend(found, 10), again.blend(found, 10), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_loading_names_what_is_wrong(tmp_path):
    with pytest.raises(MissingError, match="not there"):
        blends.load(tmp_path / "none.json")
    for broken in ("{", json.dumps({"kind": "unheard of"}), json.dumps([1])):
        (tmp_path / "broken.json").write_text(broken)
        with pytest.raises(InputError, match="holds no blend"):
            blends.load(tmp_path / "broken.json")


def test_fitting_without_relevant_candidates_says_so():
    found, judged = shop()
    nothing = Judged(judged.indptr, judged.items, np.zeros_like(judged.grades))
    with pytest.raises(InputError, match="0 relevant candidates"):
        CalibratedConvex.fit(found, nothing)
    with pytest.raises(InputError, match="no leg 'dense'"):
        DenseGate.fit(type(found)(("a", "b"), found.rows, found.scores, found.ranks), judged)
