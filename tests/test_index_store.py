"""The store from tables to hits: its own encoder, its versions, and what it says of damage."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from motherlode.errors import InputError, MissingError, MotherlodeError, SettingError
from motherlode.index import blend, items, store
from motherlode.index.filters import Filter
from motherlode.index.items import Items
from motherlode.index.store import Hit, Index
from motherlode.tables.tables import Tables, TableWriter

CATALOGUE = {
    "item_id": ["a", "b", "c", "d", "e"],
    "title": ["red paint", "blue paint", "paint brush", "garden hose", "hose reel"],
    "brand": ["Behr", None, "Wooster", "Flexzilla", None],
    "taxonomy": [["Paint", "Wall"], ["Paint"], None, ["Garden"], ["Garden"]],
    "attributes": [[{"name": "finish", "value": "matte"}], None, None, None, None],
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Tables, vectors and a saved encoder: a table of random token vectors, so that it is quick."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    folder = tmp_path_factory.mktemp("inputs")
    with TableWriter(folder / "tables", "catalogue") as writer:
        writer.write(CATALOGUE)
    vocabulary = {word: n for n, word in enumerate(["?", *sorted({w for t in CATALOGUE["title"] for w in t.split()})])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.random.default_rng(0).standard_normal((len(vocabulary), 16)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()])
    model.save(str(folder / "encoder"))
    np.save(folder / "vectors.npy", model.encode_document(CATALOGUE["title"], show_progress_bar=False))
    return folder


def build(inputs, folder, alpha=0.5, **facts):
    return Index.build(Tables(inputs / "tables"), inputs / "vectors.npy", inputs / "encoder", folder, alpha, facts)


@pytest.fixture(scope="module")
def published(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "index"
    build(inputs, folder, name="first")
    return folder


def test_hits_carry_the_item_and_both_scores(published):
    index = Index.open(published)
    hits = index.search("red paint", k=2)
    assert hits[0] == Hit(
        rank=1, row=0, item_id="a", title="red paint", brand="Behr", taxonomy=["Paint", "Wall"],
        score=1.0, dense=hits[0].dense, lexical=hits[0].lexical,
    )  # fmt: skip
    assert hits[0].dense == pytest.approx(1) and hits[0].lexical > 0 and hits[1].rank == 2
    assert index.search("hose", k=10)[2].lexical is None  # found by the dense leg alone
    assert [hit.item_id for hit in index.search("matte", mode="lexical")] == ["a"]
    assert [hit.item_id for hit in index.search("Flexzilla GARDEN", mode="lexical")] == ["d", "e"]


def test_the_rows_of_a_filter_are_looked_up_once(published, monkeypatch):
    index = Index.open(published)
    paint, garden = Filter(taxonomy=("paint",)), Filter(taxonomy=("garden",))
    first = index.select(paint)
    assert first.rows.tolist() == [0, 1] and index.select(Filter(taxonomy=("paint",))) is first
    assert index.select(garden).rows.tolist() == [3, 4] and index.select(paint) is first
    monkeypatch.setattr(store, "SELECTIONS", 2)
    index.select(Filter(brand=("Behr",)))  # the oldest makes room
    again = index.select(paint)
    assert again is not first and again.rows.tolist() == [0, 1] and len(index._selections) == 2


def test_the_modes_are_their_legs(published):
    index = Index.open(published)
    texts = ["paint", "blue hose", "zzz"]
    dense, lexical = index.dense.search(index.encode(texts), 5), index.lexical.search(texts, 5)
    legs = {"dense": dense, "lexical": lexical, "hybrid": blend.convex(dense, lexical, 0.5, 5)}
    for mode, leg in legs.items():
        for number, hits in enumerate(index.search(texts, k=5, mode=mode)):
            real = leg.rows[number] >= 0
            assert [hit.row for hit in hits] == leg.rows[number][real].tolist()
            assert [hit.score for hit in hits] == leg.scores[number][real].tolist()
    assert index.search("zzz", mode="lexical") == []


def test_blank_and_hostile_queries(published):
    index = Index.open(published)
    assert index.search("") == index.search(" \n") == [] and index.search([]) == []
    answers = index.search(["", 'title:"x AND (', "paint", "\ud800", "y" * 10_000])
    assert answers[0] == [] and answers[2][0].title and len(answers) == 5
    with pytest.raises(InputError, match="not text"):
        index.search(["paint", None])
    with pytest.raises(SettingError, match="mode"):
        index.search("paint", mode="psychic")
    with pytest.raises(SettingError, match="k is 0"):
        index.search("paint", k=0)


def test_the_folder_is_self_contained(inputs, published, tmp_path):
    expected = Index.open(published).search("paint hose")
    moved = tmp_path / "elsewhere"
    shutil.copytree(published, moved)
    assert Index.open(moved).search("paint hose") == expected
    assert not [path for path in moved.rglob("*") if path.suffix in (".pkl", ".pickle", ".bin", ".pt")]
    facts = Index.open(moved).facts
    assert facts["facts"] == {"name": "first"} and facts["items"] == 5 and facts["alpha"] == 0.5
    assert facts["data"] == Tables(inputs / "tables").fingerprint() and len(facts["weights"]) == 16


def test_a_new_version_leaves_readers_alone(inputs, tmp_path):
    folder = tmp_path / "index"
    first = build(inputs, folder)
    before = first.search("paint")
    for number in (2, 3):
        assert build(inputs, folder, alpha=1.0).facts["version"] == number
    assert sorted(path.name for path in folder.iterdir()) == ["current", "v000002", "v000003"]
    assert Index.open(folder).facts["alpha"] == 1.0
    assert first.search("paint") == before  # its files are gone from the folder, not from under it


def test_a_failed_build_changes_nothing(inputs, tmp_path, monkeypatch):
    folder = tmp_path / "index"
    build(inputs, folder)
    state = sorted(path.name for path in folder.iterdir())

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(items.Items, "write", full)
    with pytest.raises(OSError, match="no space"):
        build(inputs, folder)
    assert sorted(path.name for path in folder.iterdir()) == state
    assert Index.open(folder).facts["version"] == 1


KILLED = """
import os, signal, sys
from motherlode.index import publishing, store
from motherlode.tables.tables import Tables
def documents(tables):  # dies with the items written and the words half indexed
    yield 0, {"title": "half"}
    os.kill(os.getpid(), signal.SIGKILL)
publishing.documents = documents
inputs = sys.argv[1]
tables = Tables(inputs + "/tables")
store.Index.build(tables, inputs + "/vectors.npy", inputs + "/encoder", sys.argv[2], 0.5, {})
"""


def test_a_killed_build_disturbs_nobody_and_is_swept(inputs, tmp_path):
    folder = tmp_path / "index"
    build(inputs, folder)
    done = subprocess.run([sys.executable, "-c", KILLED, inputs, folder], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert any(path.name.endswith(".tmp") for path in folder.iterdir())
    assert Index.open(folder).facts["version"] == 1 and Index.open(folder).search("red paint")[0].item_id == "a"
    build(inputs, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["current", "v000001", "v000002"]


def test_every_file_is_missed_when_gone_or_cut(published, tmp_path):
    folder = tmp_path / "index"
    shutil.copytree(published, folder)
    version = folder / (folder / "current").read_text().strip()
    listed = json.loads((version / "index.json").read_text())["files"]
    assert {"items.arrow", "dense/vectors.npy", "lexical/meta.json", "encoder/modules.json"} <= set(listed)
    for name in listed:
        path = version / name
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError, match="missing or cut short"):
            Index.open(folder)
        if whole:
            path.write_bytes(whole[:-1])
            with pytest.raises(InputError, match="missing or cut short"):
                Index.open(folder)
        path.write_bytes(whole)
    Index.open(folder)


@pytest.mark.parametrize(
    "name",
    ["index.json", "items.arrow", "dense/dense.json", "lexical/meta.json", "encoder/model.safetensors"],
)
def test_garbage_of_the_right_size_is_one_sentence(published, tmp_path, name):
    folder = tmp_path / "index"
    shutil.copytree(published, folder)
    path = next(folder.glob(f"v*/{name}"), None) or next(folder.glob("v*/encoder/**/*.safetensors"))
    path.write_bytes(b"#" * path.stat().st_size)
    with pytest.raises(InputError, match="build") as caught:
        Index.open(folder).search("paint")
    assert "\n" not in str(caught.value)


def test_inputs_that_do_not_fit_are_refused(inputs, tmp_path):
    tables, vectors, encoder = Tables(inputs / "tables"), inputs / "vectors.npy", inputs / "encoder"
    np.save(tmp_path / "short.npy", np.load(vectors)[:4])
    np.save(tmp_path / "narrow.npy", np.eye(5, dtype=np.float32))
    (tmp_path / "cut.npy").write_bytes(vectors.read_bytes()[:100])
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    wrong = [
        ((vectors, encoder, 1.5), SettingError, "alpha is 1.5"),
        ((tmp_path / "none.npy", encoder, 0.5), MissingError, "does not exist"),
        ((tmp_path / "short.npy", encoder, 0.5), InputError, "catalogue of 5 items"),
        ((tmp_path / "narrow.npy", encoder, 0.5), InputError, "gives 16"),
        ((tmp_path / "cut.npy", encoder, 0.5), InputError, "not a whole .npy"),
        ((tmp_path / "pickled.npy", encoder, 0.5), InputError, "not a whole .npy"),
        ((vectors, tmp_path, 0.5), MissingError, "sentence-transformers folder"),
    ]
    for (path, model, alpha), kind, message in wrong:
        with pytest.raises(kind, match=message):
            Index.build(tables, path, model, tmp_path / "index", alpha, {})
    with pytest.raises(MotherlodeError, match="holds no index"):
        Index.open(tmp_path / "index")


def test_items_are_found_in_any_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(items, "BATCH", 7)
    ids = [f"id{n}" for n in range(50)]
    with TableWriter(tmp_path, "catalogue") as writer:
        for start in range(0, 50, 20):  # row groups that do not divide into batches
            some = ids[start : start + 20]
            writer.write({"item_id": some, "title": [f"title of {name}" for name in some]})
    Items.write(Tables(tmp_path), tmp_path / "items.arrow")
    stored = Items(tmp_path / "items.arrow")
    assert len(stored) == 50
    assert [stored[row]["title"] for row in range(50)] == [f"title of {name}" for name in ids]
    assert stored[49] == {"item_id": "id49", "title": "title of id49", "brand": None, "taxonomy": None, "image": None}
