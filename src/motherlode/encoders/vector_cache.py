"""Vectors of texts on disk, found by the hash of the text: one store for each route of one encoder's weights."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

KEY = 16  # bytes of a text's hash: among 10^9 texts two alike have a probability of 10^-21
RECORD = np.dtype([("text", f"V{KEY}"), ("sum", "<u8")])
GONE = np.void(bytes(KEY))  # the hash of a row that holds no text any more
BLOCK = 8_192  # texts or vectors in memory at once
WEIGHTS = re.compile(r"[0-9a-f]{16}")


class DamagedError(Exception):
    """Some of the rows read were not what had been written; they count as absent from now on."""


class VectorCache:
    """Append-only rows of (hash of a text, its vector) in `folder`, for the route `task`.

    Two files: `TASK.texts`, 24 bytes a row (BLAKE2b-128 of the text, checksum), and `TASK.vectors`, dim float32 a row,
    little-endian. A row is there once both files hold it whole; vectors are flushed before texts, and what a killed
    writer left behind the last whole row is cut off by the next one. Readers need no lock and see whole rows alone;
    writers take turns, row by row of what they bring, so two that encode the same texts add each once.
    """

    def __init__(self, folder: Path | str, task: str, dim: int) -> None:
        self.folder, self.task, self.dim = Path(folder), task, dim
        self._texts, self._vectors = self.folder / f"{task}.texts", self.folder / f"{task}.vectors"
        self._looked = 0  # rows there were when somebody last looked: what comes after may be another writer's

    def __len__(self) -> int:
        """Whole rows there are."""
        sizes = [path.stat().st_size if path.exists() else 0 for path in (self._texts, self._vectors)]
        return min(sizes[0] // RECORD.itemsize, sizes[1] // (4 * self.dim))

    def find(self, keys: pa.FixedSizeBinaryArray) -> NDArray[np.int64]:
        """The row of each text, -1 where it has none; keys are those of `text_keys`; int64 [n]."""
        self._looked = len(self)
        return self._find(keys, self._records(0, self._looked))

    def add(self, keys: pa.FixedSizeBinaryArray, vectors: NDArray[np.float32]) -> None:
        """Append the vectors [n, dim] of distinct texts that `find` did not have when it was last asked.

        Those that another writer has added since are passed over.
        """
        import pyarrow as pa

        with self._writing() as count:
            since = self._looked if self._looked <= count else 0
            new = np.flatnonzero(self._find(keys, self._records(since, count)) < 0)
            values = np.ascontiguousarray(vectors[new], dtype="<f4")
            records = np.empty(len(new), RECORD)
            records["text"] = np.frombuffer(b"".join(keys.take(pa.array(new)).to_pylist()), f"V{KEY}")
            records["sum"] = _sums(records["text"], values)
            _append(self._vectors, values)
            _append(self._texts, records)  # last: now the rows are there

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of these rows, float32 [n, dim]. Raises DamagedError where one is not what had been written."""
        if not len(rows):
            return np.zeros((0, self.dim), np.float32)
        count = len(self)
        if int(rows.max()) >= count:
            raise DamagedError
        records = np.memmap(self._texts, RECORD, mode="r", shape=(count,))[rows]
        vectors = np.memmap(self._vectors, "<f4", mode="r", shape=(count, self.dim))[rows]
        bad = _sums(records["text"], vectors) != records["sum"]
        if bad.any():
            self._forget(np.unique(rows[bad]))
            raise DamagedError
        return vectors.astype(np.float32, copy=False)

    def _forget(self, rows: NDArray[np.int64]) -> None:
        with self._writing() as count:
            records = np.memmap(self._texts, RECORD, mode="r+", shape=(count,))
            records["text"][rows[rows < count]] = GONE
            records.flush()

    def _records(self, begin: int, end: int) -> NDArray[np.void]:
        if begin == end:
            return np.zeros(0, RECORD)
        return np.fromfile(self._texts, RECORD, count=end - begin, offset=begin * RECORD.itemsize)

    def _find(self, keys: pa.FixedSizeBinaryArray, records: NDArray[np.void]) -> NDArray[np.int64]:
        import pyarrow as pa
        import pyarrow.compute as pc

        held = pa.py_buffer(records["text"].tobytes())
        known = pa.FixedSizeBinaryArray.from_buffers(pa.binary(KEY), len(records), [None, held])
        rows = pc.fill_null(pc.index_in(keys, value_set=known), -1)
        return np.asarray(rows).astype(np.int64)

    @contextmanager
    def _writing(self) -> Iterator[int]:
        """Hold the store as its only writer, cut to its whole rows; their number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{self.task}.lock").open("w") as lock:
            try:
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
            except ImportError:  # no such locks on Windows: the workspace's one process at a time must do
                pass
            count = len(self)
            for path, width in ((self._texts, RECORD.itemsize), (self._vectors, 4 * self.dim)):
                if path.exists() and path.stat().st_size != count * width:
                    os.truncate(path, count * width)
            yield count


def text_keys(texts: pa.Array) -> pa.FixedSizeBinaryArray:
    """BLAKE2b-128 of each text's UTF-8: fixed-size binary [n]. A million take about half a second."""
    import pyarrow as pa

    digests = b"".join(
        blake2b(text, digest_size=KEY).digest()
        for begin in range(0, len(texts), BLOCK)
        for text in texts.slice(begin, BLOCK).cast(pa.large_binary()).to_pylist()
    )
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(KEY), len(texts), [None, pa.py_buffer(digests)])


def prune(folder: Path | str, keep: Collection[str]) -> int:
    """Remove the vectors of all weights but these (`weights_fingerprint`) from where `encode` keeps them; bytes freed.

    Of the weights kept the stores stay and the lists go, old and new ones: `encode` puts a list together again
    without the encoder. Not while another process encodes into the folder.
    """
    freed = 0
    for place in (one for one in Path(folder).glob("*") if one.is_dir() and WEIGHTS.fullmatch(one.name)):
        going = list(place.glob("*.npy" if place.name in keep else "*"))
        freed += sum(one.stat().st_size for one in going)
        for one in going:
            one.unlink()
        if place.name not in keep:
            shutil.rmtree(place)
    return freed


def _sums(texts: NDArray[np.void], vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A checksum a row, uint64 [n]: h + sum_j (2 j + 1) c u_j mod 2^64.

    u_j are the bits of component j, h the first eight bytes of the text's hash, so that a vector in another's place
    does not pass, c = 0x9E3779B97F4A7C15, which is odd: no single changed component goes unseen.
    """
    factors = (2 * np.arange(vectors.shape[1], dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    found = np.frombuffer(texts.tobytes(), "<u8")[:: KEY // 8].copy()
    for begin in range(0, len(vectors), BLOCK):
        bits = np.ascontiguousarray(vectors[begin : begin + BLOCK]).view("<u4").astype(np.uint64)
        found[begin : begin + BLOCK] += bits @ factors
    return found


def _append(path: Path, rows: NDArray[np.generic]) -> None:
    with path.open("ab") as file:
        file.write(rows.tobytes())
        file.flush()
        os.fsync(file.fileno())
