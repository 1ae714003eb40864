"""Neighbours equal brute force in any block and pool; approximate ones have the recall they claim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError, SettingError
from motherlode.index import dense
from motherlode.mining import neighbours as room
from motherlode.mining.neighbours import neighbours


def unit(rng, n, d):
    vectors = rng.standard_normal((n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def brute(queries, items, k, among):
    scores = (queries.astype(np.float64) @ items.astype(np.float64).T).astype(np.float32)
    return [sorted(among, key=lambda row, line=line: (-line[row], row))[:k] for line in scores]


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 30), st.booleans())
def test_neighbours_are_brute_force_in_any_pool(tmp_path_factory, seed, count, k, part):
    rng = np.random.default_rng(seed)
    items = unit(rng, 15, 8)[rng.integers(15, size=60)]  # with ties
    queries = unit(rng, count, 8)
    among = rng.choice(60, 25) if part else None
    found = neighbours(queries, items, k, tmp_path_factory.getbasetemp(), among)
    expected = brute(queries, items, k, sorted(set(among.tolist())) if part else range(60))
    for row, true in zip(found.rows.tolist(), expected, strict=True):
        assert row == true + [-1] * (k - len(true))
    assert found.facts["recall"] == 1 and found.facts["kind"] == "exact"


def test_blocks_change_nothing(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    queries, items = unit(rng, 50, 16), unit(rng, 300, 16)
    whole = neighbours(queries, items, 20, tmp_path)
    monkeypatch.setattr(room, "BLOCK", 7)
    parts = neighbours(queries, items, 20, tmp_path)
    np.testing.assert_array_equal(whole.rows, parts.rows)
    np.testing.assert_array_equal(whole.scores, parts.scores)
    assert not list(tmp_path.iterdir())


def test_approximate_search_tells_its_recall_and_leaves_nothing(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    centres = unit(rng, 60, 32)
    items = centres[rng.integers(60, size=4_000)] + 0.15 * rng.standard_normal((4_000, 32)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    queries = unit(rng, 300, 32)
    true = neighbours(queries, items, 100, tmp_path)
    monkeypatch.setattr(dense, "EXACT_ROWS", 3_000)
    monkeypatch.setattr(room, "SAMPLE", 1_000)  # all queries, so that the recall can be told exactly
    found = neighbours(queries, items, 100, tmp_path)
    recall = np.mean([len(set(a) & set(b)) / 100 for a, b in zip(true.rows.tolist(), found.rows.tolist(), strict=True)])
    assert found.facts["kind"] == "ivf-pq" and found.facts["sample"] == 300
    assert found.facts["recall"] == pytest.approx(recall) and recall > 0.8
    same = found.rows == true.rows
    np.testing.assert_array_equal(found.scores[same], true.scores[same])
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_is_refused(tmp_path):
    vectors = unit(np.random.default_rng(0), 5, 4)
    with pytest.raises(SettingError, match="k = 1"):
        neighbours(vectors, vectors, 1, tmp_path)
    for among in ([], [5], [-1]):
        with pytest.raises(InputError, match=r"must lie in 0\.\.4"):
            neighbours(vectors, vectors, 2, tmp_path, np.array(among, dtype=np.int64))
    with pytest.raises(InputError, match="4 dimensions"):
        neighbours(vectors[:, :3], vectors, 2, tmp_path)
