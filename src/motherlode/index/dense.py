"""The dense leg: inner products of unit vectors, exact, or found by short codes and scored again exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import read_json, replacing_folder, write_json
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.index.approximate import CODES, MARGIN, Codes, tune
from motherlode.index.candidates import Candidates, best
from motherlode.index.selection import Selection
from motherlode.progress import bar

if TYPE_CHECKING:
    import faiss

Precision = Literal["float32", "int8", "pq", "binary"]
EXACT_ROWS = 200_000  # up to here search is exact unless codes are asked for
CODES_FROM = 5_000  # below this exact search is as quick as any code
LIST = 400  # rows an inverted list: shorter ones cost more to choose among than they spare (measured at 384 dimensions)
FEW = 2_000  # selected rows that are scored exactly, whatever finds candidates otherwise
BLOCK = 16_384  # vectors copied at once
COPIED = 8  # queries from which copying selected vectors side by side costs less than reading them where they lie
SAMPLE = 500  # queries on which recall is measured
RECALL = 0.98  # recall@10 and @100 that an approximate search is tuned to, unless another is asked for
NORM_TOLERANCE = 1e-3
ROUNDING = 1e-5  # more than single-precision inner products of unit vectors can be wrong by


class DenseIndex:
    """Search N item vectors of d dimensions by inner product, which is the cosine: all have length 1.

    The vectors are memory-mapped. Whatever finds the candidates, the scores returned are exact: inner
    products summed in double precision and rounded once, the same in any batch and on any threads.
    """

    def __init__(self, vectors: NDArray[np.float32], facts: dict[str, Any], codes: Codes | None) -> None:
        self.facts = facts
        self.vectors = vectors
        self._codes = codes

    @classmethod
    def build(
        cls,
        vectors: NDArray[np.float32],
        folder: Path | str,
        queries: NDArray[np.float32] | None = None,
        seed: int = 0,
        precision: Precision | None = None,
        recall: float = RECALL,
    ) -> DenseIndex:
        """Write an index of unit vectors [N, d] (an array or a memory map) into `folder` and open it.

        precision: what finds the candidates. "float32": exact search over everything. "int8", "pq" (4 bits for
        two dimensions), "binary" (one bit a dimension): such codes in inverted lists of about `LIST` rows, 2 sqrt(N)
        of them at most; up to `CODES_FROM` rows always exact. None: exact up to `EXACT_ROWS`, "pq" above. Codes are
        tuned to a recall of `recall` against exact search on `queries` [Q, d], or, without them, on items sampled
        from `vectors` (easier than real queries: each finds itself); `facts` says what it came to. Raises InputError
        where the vectors are not what they should be, SettingError for settings.
        """
        import faiss

        if vectors.ndim != 2 or not vectors.size:
            raise InputError(f"The item vectors have the shape {list(vectors.shape)}, not [items, width].")
        if precision not in (None, "float32", *CODES):
            raise SettingError(f"There is no precision '{precision}': choose float32, {', '.join(CODES)}.")
        with replacing_folder(folder) as temporary:
            _copy(vectors, temporary / "vectors.npy")
            stored = np.load(temporary / "vectors.npy", mmap_mode="r")
            count, dimensions = stored.shape
            facts: dict[str, Any] = {
                "items": count,
                "dimensions": dimensions,
                "kind": "exact",
                "asked": {"precision": precision, "recall": recall},
            }
            if _by_codes(precision, count):
                rng = np.random.default_rng([seed, count])
                asked = "items" if queries is None else "queries"
                if queries is None:
                    queries = stored[np.sort(rng.choice(count, SAMPLE, replace=False))]
                name = precision or "pq"
                lists = 2 ** round(np.log2(min(count / LIST, 2 * np.sqrt(count))))
                ann = Codes.build(stored, name, lists, rng)
                facts |= {
                    "kind": f"ivf-{name}",
                    "precision": name,
                    "measured on": asked,
                    **tune(ann, cls(stored, facts, None)._exact_rows, queries[:SAMPLE], recall, rng),
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
            # a plain view: every slice of a memmap object costs as much as a score
            vectors = np.asarray(np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False))
            if vectors.shape != (facts["items"], facts["dimensions"]) or vectors.dtype != np.float32:
                raise ValueError("vectors.npy has another shape than dense.json says")
            codes = None if facts["kind"] == "exact" else Codes(_read(folder / "ann.faiss", facts), facts)
        except (ValueError, KeyError, TypeError, OSError, EOFError, RuntimeError) as error:
            raise InputError(f"{folder} is damaged: build the index again.") from error
        return cls(vectors, facts, codes)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        threads: int | None = None,
        among: Selection | None = None,
    ) -> Candidates:
        """The k items of highest inner product for every query: unit vectors [Q, d] -> Candidates [Q, k].

        Exact where no codes were built, with recall as measured in `facts` where they were. `among` names the
        rows that may be found; up to `FEW` of them are searched exactly. `threads` bounds the threads of this
        search; None leaves the choice to faiss. Raises InputError where shapes do not fit.
        """
        queries = self._checked(queries)
        with _threads(threads) if threads is not None else nullcontext():
            if self._codes is None or (among is not None and len(among) <= FEW):
                return self._exact(queries, k, among)
            return self._rescore(queries, self._codes.candidates(queries, k, among), k)

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
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            raise InputError(
                f"The query vectors have the shape {list(queries.shape)}, but the index holds "
                f"{self.vectors.shape[1]} dimensions: encode queries with the encoder of the index."
            )
        if not np.isfinite(queries).all():
            raise InputError("A query vector holds NaN or an infinite value.")
        return queries

    def _exact_rows(self, queries: NDArray[np.float32], k: int, among: Selection | None) -> NDArray[np.int64]:
        return self._exact(queries, k, among).rows

    def _exact(self, queries: NDArray[np.float32], k: int, among: Selection | None = None) -> Candidates:
        import faiss

        pool = len(self.vectors) if among is None else len(among)
        wide = min(k + MARGIN, pool)
        if not wide or not len(queries):
            return best(np.zeros((len(queries), 0)), np.zeros((len(queries), 0), np.int64), k)
        if among is None:
            rough, rows = faiss.knn(queries, self.vectors, wide, metric=faiss.METRIC_INNER_PRODUCT)
        else:
            rough, rows = self._nearest_among(queries, among.rows, wide)
        found = self._products_best(queries, rows, k)
        if wide == pool:
            return found
        # Where the last candidate is as good as the k-th, an equal with a smaller row may have been left out.
        for query in np.flatnonzero(rough[:, -1] >= found.scores[:, -1] - ROUNDING):
            vectors = self.vectors if among is None else self.vectors[among.rows]
            close = np.flatnonzero(vectors @ queries[query] >= found.scores[query, -1] - ROUNDING)
            close = close if among is None else among.rows[close]
            again = self._products_best(queries[query : query + 1], close[None, :], k)
            found.scores[query], found.rows[query] = again.scores[0], again.rows[0]
        return found

    def _nearest_among(
        self, queries: NDArray[np.float32], among: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k best of the same rows for every query, in single precision, best first."""
        import faiss

        if len(queries) < COPIED:
            each = [self._nearest(query[None, :], among[None, :], k) for query in queries]
            scores, rows = (np.concatenate(part) for part in zip(*each, strict=True))
            return scores, rows
        parts = []
        for start in range(0, len(among), BLOCK):
            some = among[start : start + BLOCK]
            near, places = faiss.knn(queries, self.vectors[some], min(k, len(some)), metric=faiss.METRIC_INNER_PRODUCT)
            parts.append((near, some[places]))
        scores, rows = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)

    def _nearest(
        self, queries: NDArray[np.float32], rows: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k best of each query's own rows [Q, M] (-1 pads come last), in single precision and without copies."""
        import faiss

        rows = np.ascontiguousarray(rows)
        scores, found = np.empty((len(rows), k), np.float32), np.empty((len(rows), k), np.int64)
        point = faiss.swig_ptr
        swig: Any = faiss  # its type stubs lack this one
        swig.knn_inner_products_by_idx(
            point(queries), point(self.vectors), point(rows), queries.shape[1], len(queries), len(self.vectors),
            rows.shape[1], k, point(scores), point(found), rows.shape[1],
        )  # fmt: skip
        return scores, found

    def _rescore(self, queries: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> Candidates:
        """The k best of the given candidates [Q, M] (-1 pads last): most are dropped in single precision."""
        if rows.shape[1] > k + MARGIN:
            rows = self._nearest(queries, rows, k + MARGIN)[1]
        return self._products_best(queries, rows, k)

    def _products_best(self, queries: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> Candidates:
        scores = self._products(queries, rows)
        if len(rows) == 1 and rows.shape[1] >= k and rows.min() >= 0:  # `best` without what one full list needs not
            order = np.lexsort((rows[0], -scores[0]))[None, :k]
            return Candidates(scores[:, order[0]], rows[:, order[0]])
        return best(scores, rows, k)

    def _products(self, queries: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Inner products of each query with its own rows [Q, M]; those of pads (-1) mean nothing."""
        scores = np.zeros(rows.shape, dtype=np.float32)
        step = max(1, 2**20 // max(rows.shape[1], 1) // queries.shape[1])  # about 8 MB at once
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            items = self.vectors[rows[some]].astype(np.float64)
            scores[some] = np.einsum("qd,qmd->qm", queries[some].astype(np.float64), items)
        return scores


def _by_codes(precision: str | None, count: int) -> bool:
    return count > EXACT_ROWS if precision is None else precision in CODES and count > CODES_FROM


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


def _read(path: Path, facts: dict[str, Any]) -> faiss.IndexIVF:
    import faiss

    ann = faiss.read_index(str(path))
    if not isinstance(ann, faiss.IndexIVF) or ann.ntotal != facts["items"]:
        raise ValueError("ann.faiss holds another number of items than dense.json says")
    return ann


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let faiss use this many threads for a while."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
