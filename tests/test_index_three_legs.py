"""A store with a learned sparse leg: brute force over term weights, blends, filters, changes, and what it refuses."""

import shutil

import numpy as np
import pytest

from motherlode.encoders.presets import load
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.index.blend import weighted
from motherlode.index.blend_features import names
from motherlode.index.blends import CalibratedConvex
from motherlode.index.filters import Filter
from motherlode.index.learnt_blend import LearntBlend
from motherlode.index.pool import pool
from motherlode.index.publishing import SparsePlan
from motherlode.index.query_convex import QueryConvex
from motherlode.index.rank_fusion import RankFusion
from motherlode.index.store import LEGS, Index
from motherlode.sparse.encode import encode_terms, terms_fingerprint
from motherlode.sparse.term_encoder import TermEncoder, TermSettings
from motherlode.tables.tables import Tables, TableWriter
from motherlode.text.template import item_texts

WORDS = ["red", "blue", "paint", "brush", "hose", "reel", "garden", "wall", "kettle", "mug"]
QUERIES = ["red paint", "garden hose reel", "blue", "brush wall"]
FILTERS = [None, Filter(brand=("b1",)), Filter(taxonomy=("Home",), price=(3.0, 40.0))]
LEVELS = 2


def item(number, version=0):
    rng = np.random.default_rng([number, version])
    return {
        "item_id": f"i{number}",
        "title": " ".join(rng.choice(WORDS, rng.integers(1, 6))),
        "brand": f"b{rng.integers(3)}",
        "taxonomy": [str(rng.choice(["Home", "Garden"]))],
        "attributes": [{"name": "price", "value": str(rng.integers(50))}],
        "description": None,
    }


def texts(items):
    return item_texts([one["title"] for one in items], [one["taxonomy"] for one in items], LEVELS)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a dense and a term encoder, both on a static table, neither trained."""
    from motherlode.encoders.towers import two_tower

    folder = tmp_path_factory.mktemp("inputs")
    some = texts([item(number) for number in range(200)])
    dense = two_tower("static", some)
    dense.save(str(folder / "encoder"))
    ids = [one.ids for one in load("minilm").tokenizer._tokenizer.encode_batch([*some, *WORDS, *QUERIES])]
    pieces = np.union1d(np.concatenate(ids), np.arange(2000, 2200))
    encoder = TermEncoder.start("static", some, TermSettings(True, 12, 30), pieces=pieces, seed=1)
    encoder.save(folder / "terms")
    return folder, dense, encoder


def build(inputs, items, folder, mix=None, sparse=True):
    source, dense, encoder = inputs
    folder.mkdir()
    with TableWriter(folder / "tables", "catalogue") as writer:
        writer.write({name: [one[name] for one in items] for name in items[0]})
    np.save(folder / "vectors.npy", vectors(dense, items))
    terms = encode_terms(encoder, texts(items), "document", folder / "cache")
    return Index.build(
        Tables(folder / "tables"), folder / "vectors.npy", source / "encoder", folder / "index", 0.4, {}, mix=mix,
        sparse=SparsePlan.of(source / "terms", terms, LEVELS) if sparse else None,
    )  # fmt: skip


def vectors(dense, items):
    return dense.encode_document(texts(items), normalize_embeddings=True, show_progress_bar=False)


def full(terms):
    """Term vectors as a matrix."""
    found = np.zeros((len(terms), terms.width))
    found[np.repeat(np.arange(len(terms)), terms.counts), terms.terms] = terms.weights
    return found


def brute(inputs, items, folder):
    """Scores [Q, N] of the paper: the query's weights at length 1, the item's as they are."""
    _, _, encoder = inputs
    queries, rows = (
        full(encode_terms(encoder, some, task, folder))
        for some, task in ((QUERIES, "query"), (texts(items), "document"))
    )
    return queries / np.linalg.norm(queries, axis=1, keepdims=True) @ rows.T


@pytest.fixture(scope="module")
def made(inputs, tmp_path_factory):
    items = [item(number) for number in range(120)]
    return items, build(inputs, items, tmp_path_factory.mktemp("made") / "a")


@pytest.mark.parametrize("wanted", FILTERS)
def test_the_sparse_leg_is_brute_force_over_term_weights(inputs, made, tmp_path, wanted):
    items, index = made
    scores = brute(inputs, items, tmp_path)
    allowed = np.ones(len(items), bool) if wanted is None else np.isin(np.arange(len(items)), index.select(wanted).rows)
    assert allowed.any()
    for query, hits in enumerate(index.search(QUERIES, 200, "sparse", wanted)):
        expected = {row: scores[query, row] for row in np.flatnonzero(allowed & (scores[query] > 0))}
        assert {hit.row for hit in hits} == set(expected)
        np.testing.assert_allclose([hit.sparse for hit in hits], [expected[hit.row] for hit in hits], rtol=1e-5)
        assert (
            [hit.score for hit in hits] == [hit.sparse for hit in hits] == sorted((h.score for h in hits), reverse=True)
        )
        assert all(hit.dense is None and hit.lexical is None for hit in hits)


def test_every_hit_of_a_hybrid_search_says_what_each_leg_found(made):
    _, index = made
    legs = index.legs(QUERIES, 100)
    assert tuple(legs) == LEGS == index.names
    blended = weighted(list(legs.values()), (0.4, 0.3, 0.3), 10)
    for query, hits in enumerate(index.search(QUERIES, 10)):
        assert [hit.row for hit in hits] == blended.rows[query].tolist()
        for name, leg in legs.items():
            own = dict(zip(leg.rows[query].tolist(), leg.scores[query].tolist(), strict=True))
            assert [getattr(hit, name) for hit in hits] == [own.get(hit.row) for hit in hits]
    assert index.facts["sparse"]["items"] == 120 and index.facts["sparse"]["postings"] > 120


def learnt():
    columns = names(LEGS, True)
    zero, one = np.zeros(len(columns), np.float32), np.ones(len(columns), np.float32)
    return LearntBlend(LEGS, True, zero, one, np.random.default_rng(1).normal(size=len(columns)).astype(np.float32))


BLENDS = [
    RankFusion(7),
    QueryConvex(LEGS, (0.2, 0.3, 0.5)),
    CalibratedConvex(LEGS, (8.0, 0.4, 0.7), (-3.0, -1.0, -2.0), (-np.inf, 0.5, 0.2), (0.5, 0.2, 0.3)),
    learnt(),
]


@pytest.mark.parametrize("mix", BLENDS, ids=lambda blend: blend.kind)
def test_a_blend_of_three_legs_makes_the_lists_and_stays_through_changes(inputs, tmp_path, mix):
    items = [item(number) for number in range(60)]
    index = build(inputs, items[:50], tmp_path / "a", mix)
    index.upsert(items[45:], vectors(inputs[1], items[45:]))
    index.delete(["i3"])
    for now in (index, index.publish(), index.publish().compact()):
        assert now.blend.to_json() == mix.to_json()
        asked, legs = now.encode(QUERIES), now.legs(QUERIES, 100)
        terms = now.terms.queries(QUERIES)
        union = pool(legs, {
            "dense": lambda indptr, rows, now=now, asked=asked: now.dense.score(asked, indptr, rows),
            "lexical": lambda indptr, rows, now=now: now.lexical.score(QUERIES, indptr, rows),
            "sparse": lambda indptr, rows, now=now, terms=terms: now.sparse.score(terms, indptr, rows),
        })  # fmt: skip
        if mix.words:
            union = type(union)(
                union.legs, union.rows, union.scores, union.ranks, now._titles.matches(QUERIES, union.rows)
            )
        expected = mix.blend(union, 10)
        for query, hits in enumerate(now.search(QUERIES, 10)):
            assert [hit.row for hit in hits] == [row for row in expected.rows[query] if row >= 0]


def test_a_query_is_asked_with_its_strongest_terms_alone(inputs, made, tmp_path):
    items, index = made
    source, _, encoder = inputs
    plan = SparsePlan.of(source / "terms", index.sparse.terms(np.arange(len(items))), LEVELS, served=1)
    tables, vectors_path = index.folder.parent.parent / "tables", index.folder.parent.parent / "vectors.npy"
    cut = Index.build(Tables(tables), vectors_path, source / "encoder", tmp_path / "b", 0.4, {}, sparse=plan)
    queries = full(encode_terms(encoder, QUERIES, "query", tmp_path))
    assert (np.count_nonzero(queries, axis=1) > 1).any()
    queries = np.where(queries == queries.max(axis=1, keepdims=True), queries, 0)
    scores = queries / np.linalg.norm(queries, axis=1, keepdims=True) @ full(plan.items).T
    for compacted in (False, True):
        if compacted:
            cut.delete(["i119"])
        now = cut.compact() if compacted else cut
        assert now.terms.queries(QUERIES).counts.tolist() == [1] * len(QUERIES)
        for query, hits in enumerate(now.search(QUERIES, 20, "sparse")):
            expected = [scores[query, int(hit.item_id[1:])] for hit in hits]
            np.testing.assert_allclose([hit.score for hit in hits], expected, rtol=1e-5)


def answers(index, wanted=None):
    return [{hit.item_id: hit.sparse for hit in hits} for hits in index.search(QUERIES, 1000, "sparse", wanted)]


def test_changes_equal_an_index_built_anew(inputs, tmp_path):
    items = [item(number) for number in range(150)]
    index = build(inputs, items[:120], tmp_path / "a")
    changed = [item(5, 1), *items[120:140]]
    index.upsert(changed, vectors(inputs[1], changed))
    index.delete(["i7", "i8", "never was"])
    second = index.publish()
    index = second
    index.upsert(items[140:], vectors(inputs[1], items[140:]))
    index.delete(["i121", "i0"])
    third = index.publish()
    gone = {"i0", "i5", "i7", "i8", "i121"}
    expected = [one for one in items[:120] if one["item_id"] not in gone]
    expected += [one for one in [*changed, *items[140:]] if one["item_id"] != "i121"]
    anew = build(inputs, expected, tmp_path / "b")
    compact = third.compact()
    assert (third.folder / "added/terms").exists() and not (compact.folder / "added").exists()
    assert third.facts["sparse"]["items"] == 120 and compact.facts["sparse"]["items"] == len(expected)
    for wanted in FILTERS:
        assert answers(third, wanted) == answers(compact, wanted)  # to the last bit: weights are carried over
        for ours, theirs in zip(answers(compact, wanted), answers(anew, wanted), strict=True):
            assert set(ours) == set(theirs) and ours
            np.testing.assert_allclose([ours[name] for name in ours], [theirs[name] for name in ours], rtol=1e-5)
    assert compact.facts["sparse"]["weights"] == anew.facts["sparse"]["weights"] == terms_fingerprint(inputs[2])
    assert compact.facts["sparse"]["postings"] == anew.facts["sparse"]["postings"]
    assert (compact.folder / "terms/head.safetensors").samefile(third.folder / "terms/head.safetensors")


def test_nothing_of_it_is_opened_before_it_is_asked(made):
    index = Index.open(made[1].folder.parent)
    index.search("red paint", mode="lexical")
    index.search("red paint", mode="dense")
    assert "sparse" not in vars(index) and "_loaded" not in vars(index.terms)
    index.search("red paint")
    assert "sparse" in vars(index) and "_loaded" in vars(index.terms)


def test_the_folder_is_self_contained_and_says_what_made_it(made, tmp_path):
    shutil.copytree(made[1].folder.parent, tmp_path / "elsewhere")
    moved = Index.open(tmp_path / "elsewhere")
    assert answers(moved) == answers(made[1])
    assert not [path for path in moved.folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".bin", ".pt")]
    for name in ("sparse/sparse_index.json", "sparse/rows.npy", "terms/head.safetensors"):
        path = moved.folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(InputError, match="missing or cut short"):
            Index.open(tmp_path / "elsewhere")
        path.write_bytes(b"#" * len(whole))
        with pytest.raises(InputError, match=r"damaged|does not hold"):
            Index.open(tmp_path / "elsewhere").search("paint")
        path.write_bytes(whole)


def test_an_index_of_two_legs_is_what_it_was(inputs, tmp_path):
    index = build(inputs, [item(number) for number in range(30)], tmp_path / "a", sparse=False)
    assert index.names == ("dense", "lexical") and "sparse" not in index.facts
    assert not (index.folder / "terms").exists() and tuple(index.legs(["paint"], 5)) == index.names
    with pytest.raises(SettingError, match="choose hybrid, dense or lexical"):
        index.search("paint", mode="sparse")
    index.delete(["i1"])
    assert "sparse" not in index.publish().compact().facts


def test_what_does_not_fit_is_refused(inputs, tmp_path):
    items = [item(number) for number in range(20)]
    source, _, encoder = inputs
    terms = encode_terms(encoder, texts(items), "document", tmp_path / "cache")
    build(inputs, items, tmp_path / "a")
    made = (Tables(tmp_path / "a/tables"), tmp_path / "a/vectors.npy", source / "encoder", tmp_path / "b", 0.5, {})
    with pytest.raises(InputError, match="19 items, not 20"):
        Index.build(*made, sparse=SparsePlan.of(source / "terms", terms.take(np.arange(19)), LEVELS))
    with pytest.raises(MissingError, match="no sparse encoder"):
        SparsePlan.of(source / "encoder", terms, LEVELS)
    with pytest.raises(InputError, match="of 7 terms"):
        SparsePlan.of(source / "terms", type(terms)(terms.indptr, terms.terms, terms.weights, 7), LEVELS)
    two = LearntBlend(LEGS[:2], False, *np.zeros((3, len(names(LEGS[:2], False))), np.float32))
    with pytest.raises(SettingError, match="dense, lexical, not dense, lexical, sparse"):
        Index.build(*made, mix=two, sparse=SparsePlan.of(source / "terms", terms, LEVELS))
    assert not (tmp_path / "b").exists()
