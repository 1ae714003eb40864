"""The dense leg: inner products of unit vectors, exact, or above some size IVF-PQ with exact re-ranking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import read_json, replacing_folder, write_json
from motherlode.errors import InputError, MissingError
from motherlode.index.candidates import Candidates, best
from motherlode.progress import bar

if TYPE_CHECKING:
    import faiss

EXACT_ROWS = 200_000  # up to here exact search is quick enough to need no second structure
BLOCK = 16_384  # vectors in memory at once when building
POINTS_PER_LIST = 40  # training vectors for each inverted list; faiss asks for 39
MARGIN = 32  # candidates beyond k that exact search re-scores, so that ties at the boundary are seen
DEPTH = 10  # candidates for each wanted item that approximate search re-scores
SAMPLE = 500  # queries on which recall is measured
RECALL = 0.95  # recall@10 that the number of visited lists is chosen for
NORM_TOLERANCE = 1e-3
ROUNDING = 1e-5  # more than single-precision inner products of unit vectors can be wrong by


class DenseIndex:
    """Search N item vectors of d dimensions by inner product, which is the cosine: all have length 1.

    The vectors are memory-mapped. Whatever finds the candidates, the scores returned are exact: inner
    products summed in double precision and rounded once, the same in any batch and on any threads.
    """

    def __init__(self, vectors: NDArray[np.float32], facts: dict[str, Any], ann: faiss.IndexIVF | None) -> None:
        self.facts = facts
        self._vectors = vectors
        self._ann = ann

    @classmethod
    def build(
        cls,
        vectors: NDArray[np.float32],
        folder: Path | str,
        queries: NDArray[np.float32] | None = None,
        seed: int = 0,
    ) -> DenseIndex:
        """Write an index of unit vectors [N, d] (an array or a memory map) into `folder` and open it.

        Above `EXACT_ROWS` rows, an IVF-PQ index is trained on a sample, and the fewest lists are visited that
        reach a recall@10 of `RECALL` against exact search on `queries` [Q, d], or, without them, on items
        sampled from `vectors` (easier than real queries: each finds itself). Raises
        InputError where the vectors are not what they should be.
        """
        import faiss

        if vectors.ndim != 2 or not vectors.size:
            raise InputError(f"The item vectors have the shape {list(vectors.shape)}, not [items, width].")
        with replacing_folder(folder) as temporary:
            _copy(vectors, temporary / "vectors.npy")
            stored = np.load(temporary / "vectors.npy", mmap_mode="r")
            count, dimensions = stored.shape
            facts: dict[str, Any] = {"items": count, "dimensions": dimensions, "kind": "exact"}
            if count > EXACT_ROWS:
                rng = np.random.default_rng([seed, count])
                asked = "items" if queries is None else "queries"
                if queries is None:
                    queries = stored[np.sort(rng.choice(count, SAMPLE, replace=False))]
                ann = _train(stored, rng)
                facts |= {
                    "kind": "ivf-pq",
                    "measured on": asked,
                    **_tune(cls(stored, facts, ann), ann, queries[:SAMPLE]),
                }
                faiss.write_index(ann, str(temporary / "ann.faiss"))
            write_json(temporary / "dense.json", facts)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path | str) -> DenseIndex:
        """Open what `build` wrote. MissingError where there is nothing, InputError where it is damaged."""
        folder = Path(folder)
        if not (folder / "dense.json").exists():
            raise MissingError(f"{folder} holds no dense index: build it again with `motherlode index`.")
        try:
            facts = read_json(folder / "dense.json")
            vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
            if vectors.shape != (facts["items"], facts["dimensions"]) or vectors.dtype != np.float32:
                raise ValueError("vectors.npy has another shape than dense.json says")
            ann = _read(folder / "ann.faiss", facts) if facts["kind"] == "ivf-pq" else None
        except (ValueError, KeyError, TypeError, OSError, EOFError, RuntimeError) as error:
            raise InputError(f"{folder} is damaged: build the index again.") from error
        return cls(vectors, facts, ann)

    def search(self, queries: NDArray[np.float32], k: int, threads: int | None = None) -> Candidates:
        """The k items of highest inner product for every query: unit vectors [Q, d] -> Candidates [Q, k].

        Exact up to `EXACT_ROWS` rows, with recall as measured in `facts` above. `threads` bounds the threads
        of this search; None leaves the choice to faiss. Raises InputError where shapes do not fit.
        """
        queries = self._checked(queries)
        with _threads(threads):
            return self._exact(queries, k) if self._ann is None else self._approximate(self._ann, queries, k)

    def score(
        self, queries: NDArray[np.float32], indptr: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Inner products of given pairs: float32[J]; those of query q are rows[indptr[q]:indptr[q + 1]]."""
        scores = np.empty(len(rows), dtype=np.float32)
        for number, query in enumerate(self._checked(queries)):
            pairs = slice(indptr[number], indptr[number + 1])
            scores[pairs] = self._products(query[None, :], rows[None, pairs])[0]
        return scores

    def _checked(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self._vectors.shape[1]:
            raise InputError(
                f"The query vectors have the shape {list(queries.shape)}, but the index holds "
                f"{self._vectors.shape[1]} dimensions: encode queries with the encoder of the index."
            )
        if not np.isfinite(queries).all():
            raise InputError("A query vector holds NaN or an infinite value.")
        return queries

    def _exact(self, queries: NDArray[np.float32], k: int) -> Candidates:
        import faiss

        wide = min(k + MARGIN, len(self._vectors))
        rough, rows = faiss.knn(queries, self._vectors, wide, metric=faiss.METRIC_INNER_PRODUCT)
        found = self._rescore(queries, rows, k)
        if wide == len(self._vectors):
            return found
        # Where the last candidate is as good as the k-th, an equal with a smaller row may have been left out.
        for query in np.flatnonzero(rough[:, -1] >= found.scores[:, -1] - ROUNDING):
            scores = self._vectors @ queries[query]
            close = np.flatnonzero(scores >= found.scores[query, -1] - ROUNDING)
            again = self._rescore(queries[query : query + 1], close[None, :], k)
            found.scores[query], found.rows[query] = again.scores[0], again.rows[0]
        return found

    def _approximate(self, ann: faiss.IndexIVF, queries: NDArray[np.float32], k: int) -> Candidates:
        wide = min(DEPTH * max(k, 10), len(self._vectors))
        return self._rescore(queries, ann.search(queries, wide)[1], k)

    def _rescore(self, queries: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> Candidates:
        """The k best of the given rows [Q, M] (-1 pads)."""
        return best(self._products(queries, rows), rows, k)

    def _products(self, queries: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Inner products of each query with its own rows [Q, M]; those of pads (-1) mean nothing."""
        scores = np.zeros(rows.shape, dtype=np.float32)
        step = max(1, 2**20 // max(rows.shape[1], 1) // queries.shape[1])  # about 8 MB at once
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            items = self._vectors[rows[some]].astype(np.float64)
            scores[some] = np.einsum("qd,qmd->qm", queries[some].astype(np.float64), items)
        return scores


def _copy(vectors: NDArray[np.float32], path: Path) -> None:
    """Write the vectors block by block, checking that each has unit length."""
    header = {"descr": "<f4", "fortran_order": False, "shape": vectors.shape}
    with path.open("wb") as file, bar("writing vectors", len(vectors)) as advance:
        np.lib.format.write_array_header_2_0(file, header)
        for start in range(0, len(vectors), BLOCK):
            block = np.ascontiguousarray(vectors[start : start + BLOCK], dtype="<f4")
            wrong = ~(np.abs(np.linalg.norm(block, axis=1) - 1) <= NORM_TOLERANCE)  # true for NaN too
            if wrong.any():
                row = start + int(np.argmax(wrong))
                raise InputError(f"The vector of item row {row} does not have length 1: normalise the vectors first.")
            file.write(block.data)
            advance(len(block))


def _train(vectors: NDArray[np.float32], rng: np.random.Generator) -> faiss.IndexIVF:
    """IVF with about 2 sqrt(N) lists; each vector as d/2 codes of 4 bits, a sixteenth of its size."""
    import faiss

    count, dimensions = vectors.shape
    if dimensions % 2:
        raise InputError(f"Above {EXACT_ROWS} items the vectors need an even dimension, not {dimensions}.")
    lists = 2 ** round(np.log2(2 * np.sqrt(count)))
    factory = f"IVF{lists},PQ{dimensions // 2}x4fs"
    ann = cast(faiss.IndexIVF, faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT))
    sample = np.sort(rng.choice(count, min(count, lists * POINTS_PER_LIST), replace=False))
    with bar("training and filling the dense index", count) as advance:
        ann.train(vectors[sample])
        for start in range(0, count, BLOCK):
            block = np.ascontiguousarray(vectors[start : start + BLOCK])
            ann.add(block)
            advance(len(block))
    return ann


def _tune(index: DenseIndex, ann: faiss.IndexIVF, queries: NDArray[np.float32]) -> dict[str, Any]:
    """Visit twice as many lists until recall@10 reaches the target or all are visited; say what it is."""
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    true = index._exact(queries, 10).rows
    ann.nprobe = 1
    while True:
        rows = index._approximate(ann, queries, 10).rows
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(true, rows, strict=True)]))
        if recall >= RECALL or ann.nprobe == ann.nlist:
            return {"lists": ann.nlist, "visited": ann.nprobe, "recall@10": recall, "sample": len(queries)}
        ann.nprobe *= 2


def _read(path: Path, facts: dict[str, Any]) -> faiss.IndexIVF:
    import faiss

    ann = faiss.read_index(str(path))
    if not isinstance(ann, faiss.IndexIVF) or ann.ntotal != facts["items"]:
        raise ValueError("ann.faiss holds another number of items than dense.json says")
    ann.nprobe = facts["visited"]
    return ann


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let faiss use this many threads for a while."""
    import faiss

    before = faiss.omp_get_max_threads()
    if count is not None:
        faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
