"""The sparse leg: an inverted index of term weights, searched exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import read_json, replacing_folder, write_json
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.index.candidates import Candidates
from motherlode.index.selection import Selection
from motherlode.sparse.term_vectors import TermVectors

Impacts = Literal["float32", "uint8"]
ARRAYS = ("indptr", "rows", "impacts", "scales")
BLOCK = 64  # scores whose greatest is looked at first
LEVELS = 255  # codes of an impact in one byte: 1 .. 255, none is lost to 0


class SparseIndex:
    """Search N items by the inner product of term weights: postings by term, memory-mapped.

    Term t's postings are rows[indptr[t]:indptr[t + 1]], rising, and an impact each. With "uint8" an impact is
    code * scale_t, scale_t = (greatest weight of the term) / 255: a quarter of the bytes, off by scale_t / 2 at most,
    or by scale_t where a weight below half a step keeps the code 1. Scores are sums in double precision over the
    stored impacts, rounded once to float32: the same whatever else is asked beside, and exact for what is stored.
    """

    def __init__(
        self,
        indptr: NDArray[np.int64],
        rows: NDArray[np.int32],
        impacts: NDArray[np.float32] | NDArray[np.uint8],
        scales: NDArray[np.float32],
        facts: dict[str, Any],
    ) -> None:
        self.indptr, self.rows, self.impacts, self.scales, self.facts = indptr, rows, impacts, scales, facts

    @classmethod
    def build(cls, items: TermVectors, folder: Path | str, impacts: Impacts = "float32") -> SparseIndex:
        """Write the index of the items' term weights into `folder`, which appears whole or not at all, and open it.

        Raises InputError where there is no item or the vectors are not what they should be, SettingError for another
        kind of impacts.
        """
        made = cls.of(items, impacts)
        with replacing_folder(folder) as temporary:
            for name in ARRAYS:
                np.save(temporary / f"{name}.npy", getattr(made, name), allow_pickle=False)
            write_json(temporary / "sparse_index.json", made.facts)
        return cls.open(folder)

    @classmethod
    def of(cls, items: TermVectors, impacts: Impacts = "float32") -> SparseIndex:
        """The same in memory. Raises as `build` does."""
        if impacts not in ("float32", "uint8"):
            raise SettingError(f"There are no impacts '{impacts}': choose float32 or uint8.")
        if not len(items):
            raise InputError("There are no items to index: the catalogue is empty.")
        items.checked()
        order = np.argsort(items.terms, kind="stable")  # rows stay rising within a term
        rows = np.repeat(np.arange(len(items), dtype=np.int32), items.counts)[order]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(items.terms, minlength=items.width))]).astype(np.int64)
        weights, scales = items.weights[order], np.ones(items.width, dtype=np.float32)
        stored: NDArray[Any] = weights
        if impacts == "uint8":
            held = np.flatnonzero(np.diff(indptr))
            scales[held] = np.maximum.reduceat(weights, indptr[held]) / np.float32(LEVELS) if len(held) else 1
            scales = np.maximum(scales, np.finfo(np.float32).tiny)
            codes = np.rint(weights / np.repeat(scales, np.diff(indptr)))
            stored = np.clip(codes, 1, LEVELS).astype(np.uint8)
        facts = {"items": len(items), "terms": items.width, "postings": len(rows), "impacts": impacts}
        return cls(indptr, rows, stored, scales, facts)

    @classmethod
    def open(cls, folder: Path | str) -> SparseIndex:
        """Open what `build` wrote. MissingError where there is nothing, InputError where it is damaged."""
        folder = Path(folder)
        if not (folder / "sparse_index.json").exists():
            raise MissingError(f"{folder} holds no sparse index: build it again.")
        try:
            facts = read_json(folder / "sparse_index.json")
            indptr, rows, impacts, scales = (
                np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS
            )
            whole = (
                indptr.shape == (facts["terms"] + 1,)
                and scales.shape == (facts["terms"],)
                and rows.shape == impacts.shape == (facts["postings"],)
                and indptr[-1] == facts["postings"]
                and impacts.dtype == facts["impacts"]
                and (rows.dtype, indptr.dtype) == (np.int32, np.int64)
            )
        except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
            raise InputError(f"{folder} is damaged: build the index again.") from error
        if not whole:
            raise InputError(f"{folder} does not hold what sparse_index.json says: build the index again.")
        # plain views of the maps: slicing them costs a fraction of slicing a memmap
        return cls(np.asarray(indptr), rows.view(np.ndarray), impacts.view(np.ndarray), np.asarray(scales), facts)

    def search(self, queries: TermVectors, k: int, among: Selection | None = None) -> Candidates:
        """The k items of highest score for every query; items that share no term with it are left out.

        Q queries -> Candidates [Q, k]. `among` names the rows that may be found, and changes no score. Raises
        InputError where the queries have other terms than the index.
        """
        self._same_terms(queries)
        scores, rows = np.zeros((len(queries), k), np.float32), np.full((len(queries), k), -1, np.int64)
        for number in range(len(queries)):
            sums = self._sums(queries, number)
            if among is not None:
                sums = np.where(among.mask, sums, np.float32(0))
            found = _top(sums, k)
            values = sums[found]
            order = np.lexsort((found, -values))[:k]
            scores[number, : len(order)], rows[number, : len(order)] = values[order], found[order]
        return Candidates(scores, rows)

    def score(self, queries: TermVectors, indptr: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores of given pairs: float32[J], 0 where query and item share no term; those of query q are
        rows[indptr[q]:indptr[q + 1]]."""
        self._same_terms(queries)
        scores = np.zeros(len(rows), dtype=np.float32)
        for number in range(len(queries)):
            pairs = slice(indptr[number], indptr[number + 1])
            if pairs.start < pairs.stop:
                scores[pairs] = self._sums(queries, number)[rows[pairs]]
        return scores

    def terms(self, kept: NDArray[np.int64]) -> TermVectors:
        """The term weights of these rows, as they are stored: `build` backwards."""
        terms = np.repeat(np.arange(self.facts["terms"], dtype=np.int32), np.diff(self.indptr))
        weights = self.impacts * self.scales[terms]
        order = np.argsort(self.rows, kind="stable")  # terms stay rising within a row
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.rows, minlength=self.facts["items"]))])
        whole = TermVectors(starts.astype(np.int64), terms[order], weights[order], self.facts["terms"])
        return whole.take(kept)

    def postings(self, queries: TermVectors) -> NDArray[np.int64]:
        """How many postings each query reads: what its search costs; int64[Q]."""
        lengths = np.diff(self.indptr)[queries.terms]
        total = np.concatenate([[0], np.cumsum(lengths)])
        return total[queries.indptr[1:]] - total[queries.indptr[:-1]]

    def _sums(self, queries: TermVectors, number: int) -> NDArray[np.float32]:
        """Scores of all items for one query, float32[N]: terms in rising order, so that sums repeat bit for bit."""
        from scipy.sparse import csc_matrix

        span = slice(queries.indptr[number], queries.indptr[number + 1])
        terms = queries.terms[span]
        if not len(terms):
            return np.zeros(self.facts["items"], np.float32)
        begins, ends = self.indptr[terms], self.indptr[terms + 1]
        spans = [slice(begin, end) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        starts = np.concatenate([[0], np.cumsum(ends - begins)])
        impacts = np.concatenate([self.impacts[one] for one in spans], dtype=np.float64)
        shape = self.facts["items"], len(terms)
        held = csc_matrix((impacts, np.concatenate([self.rows[one] for one in spans]), starts), shape)
        return np.asarray(held @ (queries.weights[span].astype(np.float64) * self.scales[terms]), dtype=np.float32)

    def _same_terms(self, queries: TermVectors) -> None:
        if queries.width != self.facts["terms"]:
            raise InputError(
                f"The queries have {queries.width} terms, but the index holds {self.facts['terms']}: encode queries "
                "with the encoder of the index."
            )


def _top(sums: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Rising places of the k greatest scores above 0, and of more: all that tie with the k-th are among them.

    The k-th greatest of the maxima of blocks is no more than the k-th greatest score: nothing below it counts.
    """
    blocks = len(sums) // BLOCK
    if blocks >= k:
        bound = np.partition(sums[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1), blocks - k)[blocks - k]
        if bound > 0:
            return np.flatnonzero(sums >= bound)
    return np.flatnonzero(sums)
