"""A store that was changed answers as one built anew; a kill while publishing leaves the version before."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from motherlode.errors import InputError
from motherlode.index import approximate, dense, store
from motherlode.index.analysis import analyser
from motherlode.index.blend_features import names
from motherlode.index.filters import Filter
from motherlode.index.learnt_blend import LearntBlend
from motherlode.index.pool import pool
from motherlode.index.rank_fusion import RankFusion
from motherlode.index.store import Index
from motherlode.index.word_matches import PAIR, Titles
from motherlode.tables.tables import Tables, TableWriter

WORDS = ["red", "blue", "paint", "brush", "hose", "reel", "garden", "wall"]
QUERIES = ["red paint", "garden hose reel", "blue", "brush wall"]
FILTERS = [None, Filter(brand=("b1",)), Filter(taxonomy=("Home",), price=(3.0, 40.0))]


def item(number, version=0):
    rng = np.random.default_rng([number, version])
    price = {"name": "price", "value": str(rng.integers(50))}
    return {
        "item_id": f"i{number}",
        "title": " ".join(rng.choice(WORDS, rng.integers(1, 6))),
        "brand": f"b{rng.integers(3)}",
        "taxonomy": [str(rng.choice(["Home", "Garden"]))],
        "attributes": [price, {"name": "note", "value": f"v{version}"}],
        "description": None,
    }


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """An encoder of random token vectors, and how to build a store of given items with it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    folder = tmp_path_factory.mktemp("inputs")
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(["?", *WORDS])}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.random.default_rng(0).standard_normal((len(WORDS) + 1, 16)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()])
    model.save(str(folder / "encoder"))
    return folder, lambda items: model.encode_document([i["title"] for i in items], show_progress_bar=False)


def build(inputs, items, folder, mix=None):
    encoder, encode = inputs
    folder.mkdir()
    with TableWriter(folder / "tables", "catalogue") as writer:
        writer.write({name: [item[name] for item in items] for name in items[0]})
    np.save(folder / "vectors.npy", encode(items))
    return Index.build(
        Tables(folder / "tables"), folder / "vectors.npy", encoder / "encoder", folder / "index", 0.5, {}, mix=mix
    )


def answers(index, mode, wanted):
    return [
        [(hit.item_id, hit.title, hit.brand, getattr(hit, mode)) for hit in hits]
        for hits in index.search(QUERIES, 25, mode, wanted)
    ]


def same(left, right, exact=True):
    """The dense leg to the last bit; the lexical one too, or the same items while dropped ones count in idf."""
    for wanted in FILTERS:
        assert answers(left, "dense", wanted) == answers(right, "dense", wanted)
        if exact:
            assert answers(left, "lexical", wanted) == answers(right, "lexical", wanted)
        for mine, theirs in zip(
            *(index.search(QUERIES, 1000, "lexical", wanted) for index in (left, right)), strict=True
        ):
            assert {hit.item_id for hit in mine} == {hit.item_id for hit in theirs}
            scores = {hit.item_id: hit.score for hit in theirs}
            np.testing.assert_allclose([hit.score for hit in mine], [scores[hit.item_id] for hit in mine], rtol=0.1)


def by_length(legs=("dense", "lexical")):
    """A learnt blend of made-up weights, words among them."""
    columns = names(legs, True)
    rng = np.random.default_rng(1)
    zero, one = np.zeros(len(columns), np.float32), np.ones(len(columns), np.float32)
    return LearntBlend(legs, True, zero, one, rng.normal(size=len(columns)).astype(np.float32))


@pytest.mark.parametrize("mix", [RankFusion(7), by_length()], ids=lambda blend: blend.kind)
def test_a_blend_in_the_index_makes_its_lists_and_stays_through_changes(inputs, tmp_path, mix):
    _, encode = inputs
    items = [item(number) for number in range(60)]
    index = build(inputs, items[:50], tmp_path / "grown", mix)
    plain = build(inputs, items[:50], tmp_path / "plain")
    index.upsert(items[45:], encode(items[45:]))
    index.delete(["i3"])
    for made in (index, index.publish(), index.publish().compact()):
        assert made.blend.to_json() == mix.to_json()
        vectors = made.encode(QUERIES)
        legs = made.legs(QUERIES, 100, vectors=vectors)
        union = pool(
            legs,
            {
                "dense": lambda indptr, rows, made=made, vectors=vectors: made.dense.score(vectors, indptr, rows),
                "lexical": lambda indptr, rows, made=made: made.lexical.score(QUERIES, indptr, rows),
            },
        )
        if mix.words:
            rows = np.arange(len(made.items))
            titles = Titles.build([made.items[row]["title"] for row in rows], analyser("en").analyze)
            words = titles.matches(QUERIES, union.rows)
            if made is index:  # idf stays that of the first build until compaction: compared before and after alone
                union = replace(union, matches=words)
            else:
                union = replace(union, matches=made._titles.matches(QUERIES, union.rows))
                shared = union.matches.pairs[..., PAIR.index("words")]
                np.testing.assert_array_equal(shared, words.pairs[..., PAIR.index("words")])
        expected = mix.blend(union, 10)
        for number, hits in enumerate(made.search(QUERIES, 10)):
            assert [hit.row for hit in hits] == [row for row in expected.rows[number] if row >= 0]
            assert [hit.row for hit in made.search(QUERIES[number], 10)] == [hit.row for hit in hits]
    assert plain.blend is None
    assert answers(plain, "dense", None) == answers(index, "dense", None)


def test_scores_of_pairs_are_the_same_in_a_grown_index(inputs, tmp_path):
    _, encode = inputs
    items = [item(number) for number in range(40)]
    index = build(inputs, items[:30], tmp_path / "grown")
    index.upsert(items[30:], encode(items[30:]))
    grown = index.publish()
    vectors = grown.encode(QUERIES[:2])
    rows = np.array([35, 2, 31, 7, 39])
    found = grown.dense.score(vectors, np.array([0, 3, 5]), rows)
    whole = np.concatenate([encode(items[:30]), encode(items[30:])])
    expected = [vectors[0] @ whole[35], vectors[0] @ whole[2], vectors[0] @ whole[31]]
    expected += [vectors[1] @ whole[7], vectors[1] @ whole[39]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("codes", [False, True])
def test_changes_equal_an_index_built_anew(inputs, tmp_path, monkeypatch, codes):
    if codes:  # the same through codes, every list visited and every row a candidate
        monkeypatch.setattr(dense, "CODES_FROM", 100)
        monkeypatch.setattr(store, "CODES_FROM", 100)
        monkeypatch.setattr(dense, "FEW", 10)
        monkeypatch.setattr(approximate, "MARGIN", 1_000)

        def everything(ann, *_):
            return {"lists": ann.nlist, "visited": ann.nlist, "widen": 1, "filtered": []}

        monkeypatch.setattr(dense, "tune", everything)
    items = [item(n) for n in range(700)]
    index = build(inputs, items, tmp_path / "a")
    assert index.facts["dense"]["kind"] == ("ivf-pq" if codes else "exact")
    replaced = [item(n, 1) for n in range(0, 60, 3)] + [item(n) for n in range(700, 720)]
    index.upsert(replaced, inputs[1](replaced))
    index.delete(["i5", "i7", "never was", "i701"])
    second = index.publish()
    assert second.facts["version"] == 2 and second.facts["items"] == 717
    again = [item(n, 2) for n in (1, 3, 705)]  # never replaced, replaced, added
    second.upsert(again[:1], inputs[1](again[:1]))
    second.upsert(again, inputs[1](again))
    second.delete(["i2"])
    third = second.publish()
    gone = {"i5", "i7", "i701", "i2", *(i["item_id"] for i in again)}
    after = {i["item_id"]: i for i in items}
    for changed in replaced:
        after.pop(changed["item_id"], None)
        after[changed["item_id"]] = changed
    expected = [i for name, i in after.items() if name not in gone] + again
    anew = build(inputs, expected, tmp_path / "b")
    same(third, anew, exact=False)
    compact = third.compact()
    same(compact, anew)
    assert compact.facts["items"] == anew.facts["items"] == len(expected)
    assert sorted(path.name for path in (tmp_path / "a/index").iterdir()) == ["current", "v000003", "v000004"]
    assert compact.compact() is compact and compact.publish() is compact
    assert [hit.item_id for hit in third.search("red paint")]  # still readable


def test_additions_alone_are_exact_and_many_changes_compact(inputs, tmp_path, monkeypatch):
    items = [item(n) for n in range(300)]
    index = build(inputs, items[:250], tmp_path / "a")
    index.upsert(items[250:], inputs[1](items[250:]))
    grown = index.publish()
    assert (grown.folder / "added").exists()
    same(grown, build(inputs, items, tmp_path / "b"))
    monkeypatch.setattr(store, "CHANGED_LEAST", 10)
    grown.delete(["i0"])
    assert not (grown.publish().folder / "added").exists()


def test_the_reader_of_an_old_version_may_not_publish(inputs, tmp_path):
    first = build(inputs, [item(n) for n in range(20)], tmp_path / "a")
    other = Index.open(tmp_path / "a/index")
    first.delete(["i1"])
    first.publish()
    other.delete(["i2"])
    with pytest.raises(InputError, match="newer version"):
        other.publish()
    assert len(Index.open(tmp_path / "a/index").search("red paint blue", 50)) <= 19


def test_bad_changes_are_refused_whole(inputs, tmp_path):
    index = build(inputs, [item(n) for n in range(20)], tmp_path / "a")
    good, vectors = [item(50), item(51)], inputs[1]([item(50), item(51)])
    wrong = [
        (good, vectors[:1], "shape"),
        (good, vectors * 2, "length 1"),
        ([good[0], {"item_id": "x"}], vectors, "no title"),
        ([good[0], {"item_id": "", "title": "x"}], vectors, "item id 1|Item id 1"),
        ([good[0], {"item_id": 7, "title": "x"}], vectors, "Item id 1"),
        ([good[0], {"item_id": "\ud800", "title": "x"}], vectors, "UTF-8"),
        ([good[0], {"item_id": "x", "title": "x", "colour": "red"}], vectors, "colour"),
        ([good[0], {"item_id": "x", "title": "x", "taxonomy": [1]}], vectors, "taxonomy"),
    ]
    for items, some, message in wrong:
        with pytest.raises(InputError, match=message):
            index.upsert(items, some)
    with pytest.raises(InputError, match="list"):
        index.delete("i1")
    assert index.publish() is index
    index.delete([f"i{n}" for n in range(20)])
    with pytest.raises(InputError, match="Every item"):
        index.compact()


def test_ids_are_never_paths(inputs, tmp_path):
    index = build(inputs, [item(n) for n in range(5)], tmp_path / "a")
    hostile = ["../../escape", "/etc/x", "..", "a\x00b", "i0/../i1"]
    items = [{"item_id": name, "title": "red paint"} for name in hostile]
    index.upsert(items, inputs[1](items))
    before = set(tmp_path.rglob("*"))
    published = index.publish()
    new = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(published.folder) for path in new)
    assert set(hostile) <= {hit.item_id for hit in published.search("red paint", 10)}
    for damaged in (b"../../elsewhere", b"\xff\xfe"):
        (tmp_path / "a/index/current").write_bytes(damaged)
        with pytest.raises(InputError, match="does not name a version"):
            Index.open(tmp_path / "a/index")


KILLED = """
import os, signal, sys
import numpy as np
from motherlode.index import publishing, versions
from motherlode.index.lexical import LexicalIndex
from motherlode.index.store import Index
from motherlode.index.word_matches import PAIR, Titles
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
where = sys.argv[2]
if where == "words":
    LexicalIndex.change = staticmethod(die)
elif where == "record":
    publishing.write_json = die
elif where == "pointer":
    versions.write_text = die
elif where == "sweeping":
    write = versions.write_text
    versions.write_text = lambda *parts: (write(*parts), die())
index = Index.open(sys.argv[1])
index.delete(["i0"])
index.publish()
"""


@pytest.mark.parametrize("where", ["words", "record", "pointer", "sweeping"])
def test_a_kill_while_publishing_leaves_a_whole_version(inputs, tmp_path, where):
    first = build(inputs, [item(n) for n in range(30)], tmp_path / "a")
    first.delete(["i29"])
    first.publish()
    folder = tmp_path / "a/index"
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), where], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    index = Index.open(folder)
    there = {hit.item_id for hit in index.search(" ".join(WORDS), 100, "lexical")}
    published = where == "sweeping"  # only what comes after the pointer
    assert index.facts["version"] == (3 if published else 2) and ("i0" in there) != published
    index.delete(["i1"])
    after = index.publish()
    assert "i1" not in {hit.item_id for hit in after.search(" ".join(WORDS), 100, "lexical")}
    left = [path.name for path in folder.iterdir()]
    assert not [name for name in left if name.endswith((".tmp", ".old"))] and len(left) == 3
