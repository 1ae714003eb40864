"""A Milvus Lite file answers as the embedded legs do, filters and changes included."""

import numpy as np
import pytest

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.index.dense import DenseIndex
from motherlode.index.facets import Facets, FacetsWriter
from motherlode.index.filters import Filter
from motherlode.index.items import documents
from motherlode.index.lexical import LexicalIndex
from motherlode.index.selection import Selection
from motherlode.tables.tables import Tables, TableWriter

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries beneath

WORDS = ["red", "blue", "paints", "2x4", "hose", "crème", "garden", "wall"]
QUERIES = ["red paint", "garden hose hose", "2 x 4 creme", "nothing known"]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same 120 items in Milvus Lite and in the embedded legs."""
    from motherlode.index.milvus import MilvusIndex

    folder = tmp_path_factory.mktemp("milvus")
    rng = np.random.default_rng(0)
    items = {
        "item_id": [f"i{n}" for n in range(120)],
        "title": [" ".join(rng.choice(WORDS, rng.integers(1, 7))) for _ in range(120)],
        "brand": [f'b"{rng.integers(3)}' for _ in range(120)],
        "taxonomy": [["Home", str(rng.integers(2))] for _ in range(120)],
        "attributes": [[{"name": "price", "value": str(n)}] for n in range(120)],
    }
    with TableWriter(folder / "tables", "catalogue") as writer:
        writer.write(items)
    vectors = rng.standard_normal((120, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tables = Tables(folder / "tables")
    index = MilvusIndex.create(str(folder / "lite.db"), "items", 16)
    index.fill(tables, vectors)
    facets = FacetsWriter()
    lexical = LexicalIndex.build(facets.watch(documents(tables)), folder / "lexical")
    facets.write(folder / "facets")
    yield index, DenseIndex.build(vectors, folder / "dense"), lexical, Facets(folder / "facets"), vectors, folder
    index.close()


def scored(found, names):
    return [
        {names(row): score for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if row >= 0}
        for scores, rows in zip(*found, strict=True)
    ]


@pytest.mark.parametrize(
    "wanted",
    [None, Filter(brand=('B"1', 'b"2')), Filter(taxonomy=("home", "1"), price=(10.0, 90.0)), Filter(brand=("x",))],
)
def test_both_legs_are_those_of_the_embedded_store(both, wanted):
    index, dense, lexical, facets, vectors, _ = both
    found = index.legs(QUERIES, 120, wanted=wanted, vectors=vectors[:4])
    among = Selection(facets.rows(wanted), 120) if wanted else None
    expected = {"dense": dense.search(vectors[:4], 120, among=among), "lexical": lexical.search(QUERIES, 120, wanted)}
    for leg in ("dense", "lexical"):
        mine = scored(found[leg], lambda row: index.records([row])[0]["item_id"])
        for ours, theirs in zip(mine, scored(expected[leg], "i{}".format), strict=True):
            assert ours.keys() == theirs.keys()
            # the server leaves (k1 + 1) = 2.2 out of BM25 or not, as its version will; the ratio is the same for all
            ratios = [ours[name] / theirs[name] for name in ours]
            assert all(ratio > 0 for ratio in ratios) and (not ratios or max(ratios) / min(ratios) < 1.0001)
            assert leg != "dense" or not ratios or ratios[0] == pytest.approx(1, rel=1e-5)
        real = found[leg].rows >= 0
        falling = np.diff(found[leg].scores, axis=1)
        assert (falling[real[:, 1:]] <= 0).all()  # best first


def test_changes_appear_when_published(both):
    from motherlode.index.milvus import MilvusIndex

    *_, vectors, folder = both
    own = MilvusIndex.create(str(folder / "lite.db"), "changing", 16)
    items = [{"item_id": f"i{n}", "title": "red paint", "taxonomy": ["Home"]} for n in range(3)]
    own.upsert(items, vectors[:3])
    assert own.facts["items"] == 0
    assert own.publish().facts["items"] == 3
    own.upsert([{"item_id": "i1", "title": "garden hose"}], vectors[5:6])
    own.delete(["i0", "never was"])
    own.compact()
    again = MilvusIndex.open(str(folder / "lite.db"), "changing")
    assert again.facts["items"] == 2 and again.facts["dimensions"] == 16
    found = again.legs(["hose", "paint"], 5, "lexical")["lexical"].rows
    assert [r["item_id"] for r in again.records(found[found >= 0])] == ["i1", "i2"]
    dense = again.legs(["?"], 1, "dense", vectors=vectors[5:6])["dense"]
    hose = {"item_id": "i1", "title": "garden hose", "brand": None, "taxonomy": None, "image": None}
    assert again.records(dense.rows[0]) == [hose]
    assert dense.scores[0, 0] == pytest.approx(1)


def test_what_cannot_be_is_said(both):
    from motherlode.index.milvus import MilvusIndex

    index, *_, folder = both
    with pytest.raises(SettingError, match="mode"):
        index.legs(["x"], 5, "psychic")
    with pytest.raises(SettingError, match="no learned sparse leg"):
        index.legs(["x"], 5, "sparse")
    with pytest.raises(SettingError, match="k is 0"):
        index.legs(["x"], 0)
    with pytest.raises(SettingError, match="no encoder"):
        index.legs(["x"], 5)
    with pytest.raises(InputError, match="no row 5"):
        index.records([5])
    with pytest.raises(MissingError, match="no collection"):
        MilvusIndex.open(str(folder / "lite.db"), "absent")
