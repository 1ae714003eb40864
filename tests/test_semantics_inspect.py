"""The inspector's figures are their definitions; controls keep what they promise; semantic ids name one item each."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError, MissingError
from motherlode.semantics import (
    Codes,
    describe_codes,
    label_codes,
    random_codes_like,
    read_semantic_ids,
    semantic_id_table,
    write_semantic_ids,
)
from motherlode.semantics.inspect_codes import perplexity, purity, together


def drawn(seed=0, items=200, primary=12, secondary=4):
    rng = np.random.default_rng(seed)
    first = rng.integers(primary - 2, size=items).astype(np.int32)  # two dead cells
    second = rng.integers(secondary, size=items).astype(np.int32)
    centres = rng.standard_normal((primary, 3)).astype(np.float32)
    return Codes(first, second, centres, secondary, np.ones(items, bool))


def test_usage_is_counted():
    codes = drawn(items=60)
    found = describe_codes(codes)
    cells, leaves = Counter(codes.primary.tolist()), Counter(zip(codes.primary, codes.secondary, strict=True))
    assert found["primary"]["used"] == len(cells) and found["primary"]["dead"] == 12 - len(cells)
    assert found["primary"]["largest"] == max(cells.values())
    assert found["leaf"]["codes"] == 48 and found["leaf"]["used"] == len(leaves)
    assert found["aliased"] == sum(n for n in leaves.values() if n > 1) / 60
    shares = np.array(list(leaves.values())) / 60
    assert found["leaf"]["perplexity"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert codes.leaf_counts().sum(1).tolist() == codes.primary_counts().tolist()
    json.dumps(found, allow_nan=False)


def test_perplexity_at_its_ends():
    assert perplexity(np.full(9, 5)) == pytest.approx(9)
    assert perplexity(np.array([7, 0, 0])) == pytest.approx(1)
    assert perplexity(np.zeros(3, np.int64)) == 0


@given(st.integers(0, 2**32 - 1))
def test_purity_is_that_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    cells = rng.integers(5, size=40)
    labels = [[None, [], ["a"], ["a", "b"], ["c"], ["b", "b"]][k] for k in rng.integers(6, size=40)]
    hit = 0
    for cell in set(cells.tolist()):
        inside = Counter(
            one for c, several in zip(cells, labels, strict=True) if c == cell for one in set(several or ())
        )
        hit += max(inside.values(), default=0)
    labelled = sum(bool(several) for several in labels)
    assert purity(cells, labels) == (pytest.approx(hit / labelled) if labelled else None)


def test_purity_of_single_labels_and_of_none():
    assert purity(np.array([0, 0, 0, 1]), ["x", "x", "y", "y"]) == 0.75
    assert purity(np.array([0, 1]), [None, None]) is None
    with pytest.raises(InputError, match="1 labels for 2 items"):
        purity(np.array([0, 1]), ["x"])


def test_together_is_that_of_a_loop_and_chance_has_no_lift():
    rng = np.random.default_rng(0)
    cells = rng.integers(6, size=50)
    pairs = rng.integers(50, size=(300, 2))
    found = together(cells, pairs)
    assert found["share"] == pytest.approx(np.mean([cells[a] == cells[b] for a, b in pairs]))
    assert found["chance"] == pytest.approx(np.mean([cells[a] == cells[b] for a in pairs[:, 0] for b in pairs[:, 1]]))
    kin = np.stack(
        [np.arange(50), np.arange(50)[np.argsort(cells, kind="stable")][np.argsort(np.argsort(cells, kind="stable"))]],
        1,
    )
    assert together(cells, kin)["share"] == 1.0
    independent = together(cells, rng.integers(50, size=(200_000, 2)))
    assert independent["lift"] == pytest.approx(1, abs=0.05)


def test_labels_and_pairs_are_reported_against_chance():
    codes = drawn(items=400)
    labels = [f"cell {p}" for p in codes.primary]
    pairs = np.array([[a, b] for a in range(0, 100) for b in range(a) if codes.primary[a] == codes.primary[b]])
    found = describe_codes(codes, {"own": labels}, pairs)
    assert found["purity"]["own"]["primary"] == 1.0 and found["purity"]["own"]["primary by chance"] < 0.4
    assert found["together"]["primary"]["share"] == 1.0 and found["together"]["primary"]["lift"] > 4


def test_random_codes_keep_sizes_and_nothing_else():
    codes = drawn(items=2_000)
    shuffled = random_codes_like(codes, seed=1)
    np.testing.assert_array_equal(shuffled.leaf_counts(), codes.leaf_counts())
    np.testing.assert_array_equal(shuffled.primary_centres, codes.primary_centres)
    shares = codes.primary_counts() / 2_000
    assert (shuffled.primary == codes.primary).mean() == pytest.approx(np.square(shares).sum(), abs=0.03)
    np.testing.assert_array_equal(shuffled.leaf, random_codes_like(codes, seed=1).leaf)
    assert (shuffled.leaf != random_codes_like(codes, seed=2).leaf).any()


def test_label_codes_follow_the_paths():
    paths = [["b", "x"], ["a", "y"], ["a", "z", "deep"], ["a", "y"], ["b"], []]
    vectors = np.arange(18, dtype=np.float32).reshape(6, 3)
    codes = label_codes(paths, vectors)
    assert codes.primary.tolist() == [2, 1, 1, 1, 2, 0] and codes.secondary_size == 2
    assert codes.secondary[1] == codes.secondary[3] != codes.secondary[2] and codes.secondary[0] != codes.secondary[4]
    assert codes.coded.tolist() == [True] * 5 + [False]
    np.testing.assert_allclose(codes.primary_centres, [vectors[5], vectors[1:4].mean(0), vectors[[0, 4]].mean(0)])
    deeper = label_codes(paths, vectors, level=2)
    assert deeper.primary[1] == deeper.primary[3] != deeper.primary[2] and deeper.primary_size == 5


def test_rare_labels_share_the_last_code():
    paths = [["a", step] for step in "uuuvvvwxyz"]
    codes = label_codes(paths, np.ones((10, 2), np.float32), secondary_size=3)
    assert codes.secondary.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2] and codes.secondary_size == 3
    with pytest.raises(InputError, match="10 label paths for 9"):
        label_codes(paths, np.ones((9, 2), np.float32))


def test_semantic_ids_name_one_item_each_and_come_back(tmp_path):
    codes = drawn(items=500)
    ids = [f"item {row}" for row in range(500)]
    table = semantic_id_table(ids, codes)
    names = list(zip(*(table[c].to_pylist() for c in ("primary", "secondary", "suffix")), strict=True))
    assert len(set(names)) == 500
    for (p, s), count in Counter((p, s) for p, s, _ in names).items():
        assert [suffix for a, b, suffix in names if (a, b) == (p, s)] == list(range(count))
    write_semantic_ids(tmp_path / "ids.parquet", ids, codes, codebooks="abc", seed=3)
    again, provenance = read_semantic_ids(tmp_path / "ids.parquet")
    assert again.equals(table)
    assert provenance == {"sizes": {"primary": 12, "secondary": 4}, "codebooks": "abc", "seed": 3}


def test_semantic_ids_that_cannot_be(tmp_path):
    codes = drawn(items=3)
    with pytest.raises(InputError, match="comes twice"):
        semantic_id_table(["a", "b", "a"], codes)
    with pytest.raises(InputError, match="2 item ids"):
        semantic_id_table(["a", "b"], codes)
    with pytest.raises(MissingError):
        read_semantic_ids(tmp_path / "no.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no semantic ids"):
        read_semantic_ids(tmp_path / "bad.parquet")
