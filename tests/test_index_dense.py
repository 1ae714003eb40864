"""Exact search equals brute force to the last tie; approximate search keeps the recall it claims."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.index import approximate
from motherlode.index import dense as room
from motherlode.index.dense import DenseIndex
from motherlode.index.selection import Selection


def unit(rng, n, d):
    vectors = rng.standard_normal((n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def brute(vectors, queries, k):
    """All inner products in double precision, rounded once, sorted by score and then by row."""
    scores = (queries.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)
    rows = np.stack([np.lexsort((np.arange(len(vectors)), -line))[:k] for line in scores])
    return np.take_along_axis(scores, rows, axis=1), rows


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """3,000 vectors of which each direction occurs about 60 times: ties run far over any boundary."""
    rng = np.random.default_rng(1)
    vectors = unit(rng, 50, 24)[rng.integers(50, size=3_000)]
    return vectors, DenseIndex.build(vectors, tmp_path_factory.mktemp("dense") / "index")


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 10, 59, 200]))
def test_exact_search_is_brute_force_with_ties_by_row(crowded, seed, queries, k):
    vectors, index = crowded
    asked = unit(np.random.default_rng(seed), queries, 24)
    scores, rows = index.search(asked, k)
    expected_scores, expected_rows = brute(vectors, asked, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("queries", [1, room.COPIED - 1, room.COPIED, 30])
def test_selected_rows_are_searched_as_if_they_were_all(crowded, monkeypatch, queries):
    monkeypatch.setattr(room, "BLOCK", 100)  # so that copied rows come in several blocks
    vectors, index = crowded
    rng = np.random.default_rng(12)
    rows, asked = np.flatnonzero(rng.random(len(vectors)) < 0.3), unit(rng, queries, 24)
    scores, found = index.search(asked, 70, among=Selection(rows, len(vectors)))
    expected_scores, places = brute(vectors[rows], asked, 70)
    np.testing.assert_array_equal(found, rows[places])
    np.testing.assert_array_equal(scores, expected_scores)


def test_batch_and_threads_change_nothing(crowded):
    _, index = crowded
    asked = unit(np.random.default_rng(2), 64, 24)
    together = index.search(asked, 30, threads=1)
    for other in (index.search(asked, 30, threads=2), index.search(asked, 30)):
        np.testing.assert_array_equal(together.rows, other.rows)
        np.testing.assert_array_equal(together.scores, other.scores)
    alone = [index.search(query[None], 30) for query in asked]
    np.testing.assert_array_equal(together.rows, np.concatenate([one.rows for one in alone]))
    np.testing.assert_array_equal(together.scores, np.concatenate([one.scores for one in alone]))


def test_threads_are_given_back(crowded):
    import faiss

    before = faiss.omp_get_max_threads()
    crowded[1].search(crowded[0][:1], 1, threads=before + 1)
    assert faiss.omp_get_max_threads() == before


def test_few_items_are_padded(tmp_path):
    vectors = unit(np.random.default_rng(0), 3, 4)
    found = DenseIndex.build(vectors, tmp_path / "index").search(vectors[:2], 5)
    assert (found.rows[:, 3:] == -1).all() and (found.scores[:, 3:] == 0).all()
    assert found.rows[:, 0].tolist() == [0, 1] and set(found.rows[0, :3]) == {0, 1, 2}
    assert found.rows.dtype == np.int64 and found.scores.dtype == np.float32


def test_scores_of_given_pairs_are_those_of_search(crowded):
    _, index = crowded
    asked = unit(np.random.default_rng(3), 7, 24)
    found = index.search(asked, 9)
    scores = index.score(asked, np.arange(0, 64, 9), found.rows.ravel())
    np.testing.assert_array_equal(scores, found.scores.ravel())


def test_approximate_search_keeps_its_recall(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "EXACT_ROWS", 5_000)
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((400, 16))
    points = (centres[rng.integers(400, size=21_000)] + 0.6 * rng.standard_normal((21_000, 16))).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    vectors, tuned_on, held_out = points[:20_000], points[20_000:20_500], points[20_500:20_700]
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    index = DenseIndex.build(mapped, tmp_path / "index", tuned_on)
    assert index.facts["kind"] == "ivf-pq" and index.facts["measured on"] == "queries"
    assert 1 <= index.facts["visited"] < index.facts["lists"]
    scores, rows = index.search(held_out, 10)
    _, expected = brute(vectors, held_out, 10)
    recall = np.mean([np.isin(a, b).mean() for a, b in zip(expected, rows, strict=True)])
    assert recall > 0.92 and abs(recall - index.facts["recall@10"]) < 0.03
    products = np.einsum("qd,qkd->qk", held_out.astype(np.float64), vectors[rows].astype(np.float64))
    np.testing.assert_allclose(scores, products, rtol=1e-6)  # exact whatever the codes say
    again = DenseIndex.build(vectors, tmp_path / "again")
    assert again.facts["measured on"] == "items" and again.facts["recall@10"] >= 0.98


def clustered(rng, n, d):
    """Points around 200 centres, the centre of each, and unit length."""
    own = rng.integers(200, size=n)
    points = rng.standard_normal((200, d))[own] + 0.7 * rng.standard_normal((n, d))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), own


def selected_recall(index, vectors, asked, rows):
    found = index.search(asked, 10, among=Selection(rows, len(vectors))).rows
    expected = rows[brute(vectors[rows], asked, 10)[1]]
    assert np.isin(found[found >= 0], rows).all()
    return np.mean([np.isin(a, b).mean() for a, b in zip(expected, found, strict=True)])


@pytest.mark.parametrize("precision", ["pq", "int8", "binary"])
def test_codes_keep_recall_also_under_filters(tmp_path, monkeypatch, precision):
    monkeypatch.setattr(room, "FEW", 50)  # so that codes answer even the narrow ones
    monkeypatch.setattr(room, "LIST", 60)  # so that there are many lists
    points, own = clustered(np.random.default_rng(5), 8_200, 32)
    vectors, tuned_on, asked = points[:8_000], points[8_000:8_100], points[8_100:]
    index = DenseIndex.build(vectors, tmp_path / "index", tuned_on, precision=precision)
    facts = index.facts
    assert facts["kind"] == f"ivf-{precision}" and facts["target"] == 0.98 and facts["visited"] < facts["lists"]
    assert facts["recall@10"] >= 0.98 and facts["recall@100"] >= 0.98
    assert [entry["share"] for entry in facts["filtered"]] == [0.3, 0.1, 0.03]  # a hundredth leaves too few to measure
    assert all(entry["recall@100"] >= 0.98 or entry["visited"] == facts["lists"] for entry in facts["filtered"])
    found = index.search(asked, 100).rows
    expected = brute(vectors, asked, 100)[1]
    assert np.mean([np.isin(a, b).mean() for a, b in zip(expected, found, strict=True)]) > 0.965
    rng = np.random.default_rng(6)
    for share in (0.5, 0.1, 0.01):
        rows = np.flatnonzero(rng.random(8_000) < share)
        assert selected_recall(index, vectors, asked, rows) > 0.92
    together = np.flatnonzero(own[:8_000] < 10)  # a filter that most queries lie far from
    assert selected_recall(index, vectors, asked, together) > 0.92


def test_recall_of_tuning_is_that_of_sets():
    rng, none = np.random.default_rng(11), approximate.NOWHERE
    true = np.array([[4, 2, 9, 7], [3, 1, -1, -1], [-1, -1, -1, -1], [5, 0, 8, 6]])
    found = np.array([[2, 8, 4, -1, -1], [6, 3, 0, 1, 2], [0, 1, 2, 3, 4], [1, 2, 3, -1, -1]])
    places = approximate._places(true, found)
    assert places.tolist() == [[2, 0, none, none], [1, 3, -1, -1], [-1] * 4, [none] * 4]
    true = np.argsort(rng.random((9, 400)), axis=1)[:, :100]
    found = np.argsort(rng.random((9, 400)), axis=1)
    for widen in (1, 2, 3):
        expected = [
            np.mean([np.isin(a[:k], b[: widen * k + 32]).mean() for a, b in zip(true, found, strict=True)])
            for k in (10, 100)
        ]
        assert approximate._recalls(approximate._places(true, found), [10, 100], widen) == pytest.approx(expected)


def test_few_selected_rows_are_searched_exactly(tmp_path):
    points, _ = clustered(np.random.default_rng(7), 6_000, 16)
    index = DenseIndex.build(points, tmp_path / "index", precision="binary")
    rows = np.arange(0, 6_000, 7)
    assert selected_recall(index, points, points[:50], rows) == 1.0
    assert (index.search(points[:2], 5, among=Selection(rows[:0], 6_000)).rows == -1).all()
    found = index.search(points[:2], 5, among=Selection(rows[:3], 6_000))
    assert (found.rows[:, 3:] == -1).all() and set(found.rows[0, :3]) == set(rows[:3])
    with pytest.raises(SettingError, match="precision 'half'"):
        DenseIndex.build(points, tmp_path / "other", precision="half")


def test_bad_vectors_are_named_and_nothing_is_left(tmp_path):
    vectors = unit(np.random.default_rng(0), 20, 4)
    for spoilt in (np.nan, 2.0, np.inf):
        bad = vectors.copy()
        bad[17] *= spoilt
        with pytest.raises(InputError, match="item row 17"):
            DenseIndex.build(bad, tmp_path / "index")
    for shape in (vectors[0], vectors[:0]):
        with pytest.raises(InputError, match="shape"):
            DenseIndex.build(shape, tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


def test_bad_queries_are_refused(crowded):
    with pytest.raises(InputError, match="24 dimensions"):
        crowded[1].search(np.zeros((1, 23), "f"), 5)
    with pytest.raises(InputError, match="NaN"):
        crowded[1].search(np.full((1, 24), np.nan, "f"), 5)


def test_absent_or_damaged_folders_are_said(tmp_path, monkeypatch):
    with pytest.raises(MissingError, match="no dense index"):
        DenseIndex.open(tmp_path)
    monkeypatch.setattr(room, "EXACT_ROWS", 1_000)
    DenseIndex.build(unit(np.random.default_rng(0), 3_000, 8), tmp_path / "index")
    for name in ("vectors.npy", "ann.faiss", "dense.json"):
        path = tmp_path / "index" / name
        whole = path.read_bytes()
        for spoilt in (whole[: len(whole) // 2], b"", b"x" * len(whole)):
            path.write_bytes(spoilt)
            with pytest.raises(InputError, match="damaged"):
                DenseIndex.open(tmp_path / "index")
        path.write_bytes(whole)
    DenseIndex.open(tmp_path / "index")
