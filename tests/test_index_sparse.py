"""The inverted index against brute force in double precision: order, ties, filters, one-byte impacts, damage."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.index.selection import Selection
from motherlode.index.sparse import SparseIndex
from motherlode.sparse.term_vectors import TermVectors


def matrix(rows: int, width: int, seed: int, share: float = 0.3, levels: int | None = None) -> np.ndarray:
    """Sparse weights; with `levels` of few values, so that scores tie."""
    rng = np.random.default_rng([seed, rows, width])
    values = rng.gamma(2.0, 0.5, (rows, width)) if levels is None else rng.integers(1, levels + 1, (rows, width))
    return (values * (rng.random((rows, width)) < share)).astype(np.float32)


def brute(queries: np.ndarray, items: np.ndarray, k: int, rows: np.ndarray | None = None):
    """The k best by (score falling, row rising) of those above 0, in double precision."""
    rows = np.arange(len(items)) if rows is None else rows
    lists = []
    for query in queries.astype(np.float64):
        scored = [(-np.float32(items[row].astype(np.float64) @ query), row) for row in rows]
        lists.append([(float(-score), int(row)) for score, row in sorted(scored)[:k] if score < 0])
    return lists


def pairs(found) -> list[list[tuple[float, int]]]:
    return [
        [(float(score), int(row)) for score, row in zip(*lists, strict=True) if row >= 0]
        for lists in zip(found.scores, found.rows, strict=True)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_search_is_brute_force(tmp_path, seed):
    items, queries = matrix(60, 25, seed, levels=3), matrix(9, 25, seed + 50, levels=2)
    items[7] = queries[3] = 0  # an item and a query without terms
    index = SparseIndex.build(TermVectors.from_dense(items), tmp_path / "index")
    found = index.search(TermVectors.from_dense(queries), 12)
    assert found.scores.dtype == np.float32 and found.rows.dtype == np.int64
    assert pairs(found) == brute(queries, items, 12)  # whole numbers: sums are exact, and many tie
    assert (found.rows[3] == -1).all()
    assert 7 not in found.rows


@pytest.mark.parametrize(("rows", "k"), [(64, 1), (700, 3), (700, 10), (700, 11), (6_400, 100), (6_401, 40)])
def test_the_first_of_many_items_are_found_whatever_ties(rows, k):
    for seed, levels in ((0, 2), (1, 40), (2, None)):
        items, queries = matrix(rows, 6, seed, 0.2, levels), matrix(3, 6, seed + 9, 0.5, levels)
        items[: rows // 2] *= seed > 0  # whole blocks without a score
        found = SparseIndex.of(TermVectors.from_dense(items)).search(TermVectors.from_dense(queries), k)
        expected = brute(queries, items, k)
        assert [[row for _, row in one] for one in pairs(found)] == [[row for _, row in one] for one in expected]
        many = Selection(np.arange(1, rows, 2), rows)
        odd = SparseIndex.of(TermVectors.from_dense(items)).search(TermVectors.from_dense(queries), k, among=many)
        assert [[row for _, row in one] for one in pairs(odd)] == [
            [row for _, row in one] for one in brute(queries, items, k, many.rows)
        ]


def test_term_weights_come_back_out_of_an_index():
    vectors = TermVectors.from_dense(matrix(50, 20, 8))
    kept = np.array([3, 4, 17, 49])
    ours, theirs = SparseIndex.of(vectors).terms(kept), vectors.take(kept)
    for name in ("indptr", "terms", "weights"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert ours.width == 20


def test_scores_of_real_weights_are_sums_in_double_precision(tmp_path):
    items, queries = matrix(80, 30, 1), matrix(6, 30, 2)
    index = SparseIndex.build(TermVectors.from_dense(items), tmp_path / "index")
    found = index.search(TermVectors.from_dense(queries), 80)
    expected = queries.astype(np.float64) @ items.T.astype(np.float64)
    for query, (scores, rows) in enumerate(zip(found.scores, found.rows, strict=True)):
        held = rows >= 0
        np.testing.assert_allclose(scores[held], expected[query, rows[held]], rtol=1e-7)
        assert held.sum() == (expected[query] > 0).sum()
    one = index.search(TermVectors.from_dense(queries[2:3]), 80)
    np.testing.assert_array_equal(one.scores[0], found.scores[2])  # whatever is asked beside


@given(st.integers(0, 30), st.integers(1, 70))
def test_among_is_the_search_of_the_rest_left_out(tmp_path_factory, seed, k):
    items, queries = matrix(50, 12, seed, levels=3), matrix(4, 12, seed + 99, levels=2)
    rows = np.flatnonzero(np.random.default_rng(seed).random(50) < 0.4)
    index = SparseIndex.build(TermVectors.from_dense(items), tmp_path_factory.mktemp("among") / "index")
    found = index.search(TermVectors.from_dense(queries), k, among=Selection(rows, 50))
    assert pairs(found) == brute(queries, items, k, rows)
    assert found.rows.shape == (4, k)


def test_score_of_pairs_agrees_with_search(tmp_path):
    items, queries = matrix(40, 15, 3), matrix(5, 15, 4)
    index = SparseIndex.build(TermVectors.from_dense(items), tmp_path / "index")
    indptr, rows = np.array([0, 3, 3, 5, 6, 8]), np.array([5, 0, 5, 39, 1, 7, 20, 2])
    expected = queries.astype(np.float64) @ items.T.astype(np.float64)
    query = np.repeat(np.arange(5), np.diff(indptr))
    np.testing.assert_allclose(
        index.score(TermVectors.from_dense(queries), indptr, rows), expected[query, rows], rtol=1e-6
    )


def test_one_byte_impacts_are_within_their_step_and_lose_no_posting(tmp_path):
    items = matrix(200, 20, 5)
    items[0, :] = 1e-4  # far below half a step
    vectors = TermVectors.from_dense(items)
    index = SparseIndex.build(vectors, tmp_path / "index", "uint8")
    step = items.max(axis=0) / 255
    stored = np.zeros_like(items)
    for term in range(20):
        span = slice(index.indptr[term], index.indptr[term + 1])
        stored[index.rows[span], term] = index.impacts[span] * index.scales[term]
    assert index.impacts.dtype == np.uint8
    np.testing.assert_array_equal(stored > 0, items > 0)
    coarse = np.where(items < step / 2, step, step / 2)
    assert (np.abs(stored - items) <= coarse * 1.0001).all()
    queries = matrix(4, 20, 6)
    found = index.search(TermVectors.from_dense(queries), 200)
    expected = queries.astype(np.float64) @ stored.T.astype(np.float64)
    for query in range(4):
        np.testing.assert_allclose(found.scores[query], np.sort(expected[query])[::-1], rtol=1e-5)


def test_postings_count_what_a_search_reads(tmp_path):
    items, queries = matrix(40, 15, 3), matrix(5, 15, 4)
    index = SparseIndex.build(TermVectors.from_dense(items), tmp_path / "index")
    expected = [int((items[:, query > 0] > 0).sum()) for query in queries]
    assert index.postings(TermVectors.from_dense(queries)).tolist() == expected


def test_what_it_refuses(tmp_path):
    vectors = TermVectors.from_dense(matrix(10, 6, 0))
    with pytest.raises(SettingError, match="int4"):
        SparseIndex.build(vectors, tmp_path / "index", "int4")
    with pytest.raises(InputError, match="empty"):
        SparseIndex.build(TermVectors.from_dense(np.zeros((0, 6))), tmp_path / "index")
    wrong = TermVectors(vectors.indptr, vectors.terms, -vectors.weights, 6)
    with pytest.raises(InputError, match="positive"):
        SparseIndex.build(wrong, tmp_path / "index")
    assert not (tmp_path / "index").exists()
    with pytest.raises(MissingError):
        SparseIndex.open(tmp_path / "index")
    index = SparseIndex.build(vectors, tmp_path / "index")
    with pytest.raises(InputError, match="7 terms"):
        index.search(TermVectors.from_dense(np.ones((1, 7))), 3)


@pytest.mark.parametrize("name", ["indptr.npy", "rows.npy", "impacts.npy", "scales.npy"])
def test_a_damaged_folder_is_an_error(tmp_path, name):
    SparseIndex.build(TermVectors.from_dense(matrix(30, 9, 0)), tmp_path / "index")
    path = tmp_path / "index" / name
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"damaged|does not hold"):
        SparseIndex.open(tmp_path / "index")


def test_facts_that_do_not_fit_are_an_error(tmp_path):
    SparseIndex.build(TermVectors.from_dense(matrix(30, 9, 0)), tmp_path / "index")
    path = tmp_path / "index/sparse_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"terms": 8}))
    with pytest.raises(InputError):
        SparseIndex.open(tmp_path / "index")


def test_term_vectors_take_join_and_cut():
    dense = matrix(12, 8, 7, levels=3)
    vectors = TermVectors.from_dense(dense).checked()

    def back(held: TermVectors) -> np.ndarray:
        result = np.zeros((len(held), held.width), np.float32)
        result[np.repeat(np.arange(len(held)), held.counts), held.terms] = held.weights
        return result

    np.testing.assert_array_equal(back(vectors), dense)
    rows = np.array([3, 3, 0, 11])
    np.testing.assert_array_equal(back(vectors.take(rows)), dense[rows])
    joined = TermVectors.joined([vectors.take(np.arange(5)), vectors.take(np.arange(5, 12))], 8)
    np.testing.assert_array_equal(back(joined), dense)
    lengths = np.linalg.norm(dense, axis=1, keepdims=True)
    np.testing.assert_allclose(back(vectors.normalised()), dense / np.where(lengths, lengths, 1), rtol=1e-6)
    for k in (1, 2, 5):
        for before, after in zip(dense, back(vectors.strongest(k).checked()), strict=True):
            order = np.lexsort((np.arange(8), -before))[:k]
            expected = np.zeros(8, np.float32)
            expected[order] = before[order]
            np.testing.assert_array_equal(after, expected)


def test_term_vectors_that_do_not_fit():
    with pytest.raises(InputError, match="rising"):
        TermVectors(np.array([0, 2]), np.array([3, 1], np.int32), np.ones(2, np.float32), 5).checked()
    with pytest.raises(InputError, match="below 2"):
        TermVectors(np.array([0, 1]), np.array([3], np.int32), np.ones(1, np.float32), 2).checked()
    with pytest.raises(InputError, match="do not fit"):
        TermVectors(np.array([0, 3]), np.array([3], np.int32), np.ones(1, np.float32), 5).checked()
    with pytest.raises(InputError, match="row 1"):
        weights = np.array([1, np.nan], np.float32)
        TermVectors(np.array([0, 1, 2]), np.array([3, 3], np.int32), weights, 5).checked()
