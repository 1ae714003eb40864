"""Each text is encoded once under one encoder's weights, whatever list it stands in, through kills and damage."""

import copy
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.encoders import vector_cache
from motherlode.encoders.encode import encode
from motherlode.encoders.fingerprint import weights_fingerprint
from motherlode.encoders.towers import two_tower
from motherlode.encoders.vector_cache import RECORD, DamagedError, VectorCache, prune, text_keys
from motherlode.errors import MotherlodeError

CATALOGUE = [f"item {number} in {colour}" for number in range(40) for colour in ("red", "größer", "")]


@pytest.fixture(scope="module")
def model() -> Any:
    return two_tower("static", CATALOGUE, dim=32)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch, model: Any) -> list[str]:
    """Every text that the model is given from now on."""
    seen: list[str] = []
    plain = type(model).encode
    monkeypatch.setattr(type(model), "encode", lambda self, texts, **k: seen.extend(texts) or plain(self, texts, **k))
    return seen


def plainly(model: Any, texts: list[str], task: str = "document") -> np.ndarray:
    return np.asarray(model.encode(texts, task=task, normalize_embeddings=True, show_progress_bar=False))


def store_of(folder: Path) -> Path:
    (place,) = (one for one in folder.iterdir() if one.is_dir())
    return place


def keys_of(texts: list[str]) -> Any:
    return text_keys(pa.array(texts, pa.large_string()))


def test_a_changed_list_has_only_its_new_texts_encoded(tmp_path: Path, model: Any, encoded: list[str]) -> None:
    encode(model, CATALOGUE, "document", tmp_path)
    assert sorted(encoded) == sorted(CATALOGUE)
    encoded.clear()
    changed = [*CATALOGUE[:50], "brand new", *CATALOGUE[51:][::-1], CATALOGUE[3], "brand new"]
    found = encode(model, changed, "document", tmp_path)
    assert encoded == ["brand new"]
    encoded.clear()
    again = encode(model, changed, "document", tmp_path)
    subset = encode(model, CATALOGUE[7:9], "document", tmp_path)
    assert not encoded
    np.testing.assert_array_equal(again, found)
    np.testing.assert_array_equal(subset, plainly(model, CATALOGUE[7:9]))
    np.testing.assert_array_equal(found, plainly(model, changed))
    assert isinstance(found, np.memmap) and not found.flags.writeable
    np.testing.assert_array_equal(np.load(str(found.filename)), found)  # a file that anyone can read


def test_attention_on_padded_texts_changes_the_rounding_alone(tmp_path: Path) -> None:
    minilm = two_tower("minilm", CATALOGUE)
    texts = [CATALOGUE[0], "a longer text about a stainless steel pan, 28 cm, with lid", *CATALOGUE[1:6]]
    encode(minilm, texts[:3], "document", tmp_path)
    np.testing.assert_allclose(encode(minilm, texts, "document", tmp_path), plainly(minilm, texts), atol=1e-6)


def other_weights(model: Any, factor: float) -> Any:
    other = copy.deepcopy(model)
    with torch.no_grad():
        next(other.parameters()).mul_(factor)
    return other


def test_routes_and_weights_share_nothing(tmp_path: Path, model: Any, encoded: list[str]) -> None:
    encode(model, CATALOGUE, "document", tmp_path)
    encode(model, CATALOGUE[:5], "query", tmp_path)
    assert len(encoded) == len(CATALOGUE) + 5
    before = np.array(encode(model, CATALOGUE[:5], "document", tmp_path))
    np.testing.assert_allclose(
        encode(other_weights(model, -1), CATALOGUE[:5], "document", tmp_path), -before, atol=1e-6
    )
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_arrow_columns_in_chunks_and_slices_are_the_same_lists(
    tmp_path: Path, model: Any, encoded: list[str], kind: pa.DataType
) -> None:
    expected = np.array(encode(model, CATALOGUE, "document", tmp_path))
    encoded.clear()
    column = pa.array(["before", *CATALOGUE, "after"], kind).slice(1, len(CATALOGUE))
    chunked = pa.chunked_array([column.slice(0, 7), column.slice(7)])
    for texts in (column, chunked, pa.chunked_array([pa.array(CATALOGUE, kind)])):
        np.testing.assert_array_equal(encode(model, texts, "document", tmp_path), expected)
    assert not encoded
    assert len(list(store_of(tmp_path).glob("*.npy"))) == 1


@pytest.mark.parametrize("texts", [[], [""], ["", "", "x"], ["a\0b", "a"], ["ab", "c"], ["a", "bc"]])
def test_odd_lists(tmp_path: Path, model: Any, texts: list[str]) -> None:
    encode(model, ["ab", "c", "abc"], "document", tmp_path)
    for _ in range(2):
        found = encode(model, texts, "document", tmp_path)
        assert found.shape == (len(texts), 32)
        if texts:
            np.testing.assert_array_equal(found, plainly(model, texts))


PROGRAM = """
import os, signal, sys
from pathlib import Path
from sentence_transformers import SentenceTransformer
from motherlode.encoders import encode as module
module.CHUNK = 10
plain, calls = SentenceTransformer.encode, [0]
def encode(self, texts, **options):
    calls[0] += 1
    if calls[0] == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, texts, **options)
SentenceTransformer.encode = encode
model = SentenceTransformer(sys.argv[1], device="cpu").eval()
texts = Path(sys.argv[4]).read_text(encoding="utf-8").split("\\n")
module.encode(model, texts, "document", sys.argv[2])
"""


def test_after_kill_9_only_what_was_not_kept_is_encoded(tmp_path: Path, model: Any, encoded: list[str]) -> None:
    model.save(str(tmp_path / "model"), create_model_card=False)
    (tmp_path / "texts").write_text("\n".join(CATALOGUE), encoding="utf-8")
    words = [str(tmp_path / "model"), str(tmp_path / "vectors"), "6", str(tmp_path / "texts")]
    died = subprocess.run([sys.executable, "-c", PROGRAM, *words], stderr=subprocess.DEVNULL, check=False)
    assert died.returncode == -signal.SIGKILL
    changed = ["one more", *CATALOGUE]  # the list need not be the one that was under way
    found = encode(model, changed, "document", tmp_path / "vectors")
    assert sorted(encoded) == sorted(["one more", *CATALOGUE[50:]])
    np.testing.assert_array_equal(found, plainly(model, changed))


WRITER = """
import sys
import numpy as np, pyarrow as pa
from motherlode.encoders.vector_cache import VectorCache, text_keys
cache, numbers = VectorCache(sys.argv[1], "query", 4), np.arange(600)
for chunk in np.split(numbers if sys.argv[2] == "up" else numbers[::-1], 60):
    keys = text_keys(pa.array([str(number) for number in chunk], pa.large_string()))
    missing = np.flatnonzero(cache.find(keys) < 0)
    if len(missing):
        cache.add(keys.take(pa.array(missing)), np.repeat(chunk[missing, None], 4, axis=1).astype(np.float32))
"""


def test_processes_at_once_add_every_text_once(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*words, way]) for way in ("up", "down", "up")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    cache = VectorCache(tmp_path, "query", 4)
    assert len(cache) == 600
    rows = cache.find(keys_of([str(number) for number in range(600)]))
    np.testing.assert_array_equal(cache.read(rows), np.repeat(np.arange(600)[:, None], 4, axis=1))


def test_a_writer_sees_what_another_added_since_it_looked(tmp_path: Path) -> None:
    first, second = VectorCache(tmp_path, "query", 3), VectorCache(tmp_path, "query", 3)
    assert (first.find(keys_of(["a", "b"])) == -1).all()
    second.add(keys_of(["b", "c"]), np.array([[1, 0, 0], [0, 1, 0]], np.float32))
    first.add(keys_of(["a", "b"]), np.array([[0, 0, 1], [9, 9, 9]], np.float32))
    assert first.find(keys_of(["a", "b", "c", "d"])).tolist() == [2, 0, 1, -1]
    assert first.read(np.array([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]


def cut(path: Path, bytes_off: int) -> None:
    os.truncate(path, path.stat().st_size - bytes_off)


def overwrite(path: Path, at: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


DAMAGE: dict[str, tuple[Callable[[Path], None], int]] = {
    "half a text's record": (lambda place: cut(place / "document.texts", 10), 1),
    "half a vector": (lambda place: cut(place / "document.vectors", 70), 1),
    "no vectors": (lambda place: (place / "document.vectors").unlink(), len(CATALOGUE)),
    "no texts": (lambda place: (place / "document.texts").unlink(), len(CATALOGUE)),
    "a bit": (lambda place: overwrite(place / "document.vectors", 128 * 7 + 9, b"\x55"), 1),
    "zeros": (lambda place: overwrite(place / "document.vectors", 128 * 7, bytes(256)), 2),
    "another's text": (lambda place: overwrite(place / "document.texts", 24 * 5 + 3, b"\x00\x01"), 1),
    "a checksum": (lambda place: overwrite(place / "document.texts", 24 * 5 + 18, b"\x00\x01"), 1),
    "vectors that moved": (
        lambda place: (place / "document.vectors").write_bytes((place / "document.vectors").read_bytes()[128:]),
        len(CATALOGUE),
    ),
    "not a list": (lambda place: overwrite(next(place.glob("*.npy")), 0, b"garbage"), 0),
    "half a list": (lambda place: cut(next(place.glob("*.npy")), 300), 0),
    "an empty list": (lambda place: next(place.glob("*.npy")).write_bytes(b"") and None, 0),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_damaged_and_nothing_else_is_encoded_again(
    tmp_path: Path, model: Any, encoded: list[str], kind: str
) -> None:
    damage, lost = DAMAGE[kind]
    encode(model, CATALOGUE, "document", tmp_path)
    if lost:
        next(store_of(tmp_path).glob("*.npy")).unlink()
    damage(store_of(tmp_path))
    encoded.clear()
    found = encode(model, CATALOGUE, "document", tmp_path)
    assert len(encoded) == lost
    np.testing.assert_array_equal(found, plainly(model, CATALOGUE))
    encoded.clear()
    encode(model, [*CATALOGUE, CATALOGUE[0]], "document", tmp_path)
    assert not encoded  # mended for good


def test_a_disk_that_loses_what_it_is_given_is_named(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = vector_cache._append
    monkeypatch.setattr(vector_cache, "_append", lambda path, rows: whole(path, np.zeros_like(rows)))
    with pytest.raises(MotherlodeError, match="does not give back the vectors") as error:
        encode(model, CATALOGUE, "document", tmp_path)
    assert str(store_of(tmp_path)) in str(error.value) and "\n" not in str(error.value)
    assert not list(store_of(tmp_path).glob("*.npy")) and not list(store_of(tmp_path).glob(".*"))


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 20), st.data())
def test_no_changed_component_and_no_swapped_row_passes_the_checksum(rows: int, dim: int, data: st.DataObject) -> None:
    rng = np.random.default_rng([rows, dim])
    vectors = rng.standard_normal((rows, dim)).astype(np.float32)
    texts = np.frombuffer(rng.bytes(16 * rows), "V16")
    sums = vector_cache._sums(texts, vectors)
    bits, heads = vectors.view(np.uint32), np.frombuffer(texts.tobytes(), np.uint64)[::2]
    for row in range(rows):  # from the formula, in whole numbers without limit
        said = int(heads[row]) + sum((2 * j + 1) * 0x9E3779B97F4A7C15 * int(bits[row, j]) for j in range(dim))
        assert int(sums[row]) == said % 2**64
    row, component = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, dim - 1))
    changed = vectors.copy()
    changed.view(np.uint32)[row, component] ^= np.uint32(1 << data.draw(st.integers(0, 31)))
    assert (vector_cache._sums(texts, changed) != sums).nonzero()[0].tolist() == [row]
    if rows > 1:
        assert (vector_cache._sums(texts, np.roll(vectors, 1, axis=0)) != sums).all()


@settings(max_examples=15)
@given(st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=8))
def test_the_store_is_a_dictionary(tmp_path_factory: pytest.TempPathFactory, turns: list[list[int]]) -> None:
    cache, known = VectorCache(tmp_path_factory.mktemp("store"), "query", 2), {}
    for turn, numbers in enumerate(turns):
        texts = [f"t{number}" for number in dict.fromkeys(numbers)]
        vectors = np.full((len(texts), 2), turn, np.float32)
        missing = cache.find(keys_of(texts)) < 0
        assert missing.tolist() == [text not in known for text in texts]
        new = [text for text in texts if text not in known]
        cache.add(keys_of(new), vectors[missing])
        known |= dict(zip(new, vectors[missing].tolist(), strict=True))
        assert len(cache) == len(known)
        rows = cache.find(keys_of(list(known)))
        assert cache.read(rows).tolist() == list(known.values())
        assert sorted(rows.tolist()) == list(range(len(known)))


def test_rows_that_are_not_there_are_said_to_be_damaged(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, "query", 2)
    cache.add(keys_of(["a"]), np.ones((1, 2), np.float32))
    with pytest.raises(DamagedError):
        cache.read(np.array([0, 1]))
    assert (tmp_path / "query.texts").stat().st_size == RECORD.itemsize == 24


def test_pruning_keeps_the_weights_it_is_told_to(tmp_path: Path, model: Any, encoded: list[str]) -> None:
    models = [model, other_weights(model, -1), other_weights(model, -2)]
    marks = [weights_fingerprint(model) for model in models]
    lists = [encode(model, CATALOGUE, "document", tmp_path) for model in models]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.npy").write_bytes(b"not ours")
    held = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    freed = prune(tmp_path, {marks[1]})
    left = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert freed == held - left > 0
    assert {path.name for path in tmp_path.iterdir()} == {marks[1], "notes"}
    assert (tmp_path / "notes/mine.npy").exists()
    encoded.clear()
    np.testing.assert_array_equal(encode(models[1], CATALOGUE, "document", tmp_path), lists[1])
    assert not encoded
    encode(models[0], CATALOGUE, "document", tmp_path)
    assert len(encoded) == len(CATALOGUE)
    assert prune(tmp_path / "nowhere", ()) == 0
