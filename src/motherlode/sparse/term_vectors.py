"""Sparse vectors of many texts: which terms each holds, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError

ARRAYS = ("indptr", "terms", "weights")


@dataclass(frozen=True, eq=False)
class TermVectors:
    """n texts over V terms, CSR: terms and weights of text i lie in indptr[i]:indptr[i + 1].

    indptr int64[n + 1]; terms int32[nnz], rising within a text; weights float32[nnz], all above 0; width V.
    """

    indptr: NDArray[np.int64]
    terms: NDArray[np.int32]
    weights: NDArray[np.float32]
    width: int

    @classmethod
    def from_dense(cls, weights: NDArray[np.floating]) -> TermVectors:
        """Of weights [n, V], not negative."""
        rows, terms = np.nonzero(weights)
        counts = np.bincount(rows, minlength=len(weights))
        values = weights[rows, terms].astype(np.float32)
        return cls(_starts(counts), terms.astype(np.int32), values, weights.shape[1])

    @classmethod
    def joined(cls, parts: Sequence[TermVectors], width: int) -> TermVectors:
        """The texts of all parts, in order."""
        counts = [part.counts for part in parts]
        return cls(
            _starts(np.concatenate(counts) if counts else np.zeros(0, np.int64)),
            np.concatenate([part.terms for part in parts]) if parts else np.zeros(0, np.int32),
            np.concatenate([part.weights for part in parts]) if parts else np.zeros(0, np.float32),
            width,
        )

    def save(self, folder: Path) -> None:
        """Write the arrays under `folder`, each as .npy."""
        folder.mkdir()
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, width: int) -> TermVectors:
        """What `save` wrote. Raises InputError where the arrays are not those of `width` terms."""
        indptr, terms, weights = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ARRAYS)
        return cls(indptr, terms, weights, width).checked()

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """Terms of each text; int64[n]."""
        return np.diff(self.indptr)

    def take(self, rows: NDArray[np.int64]) -> TermVectors:
        """The texts `rows`, in that order."""
        counts = self.counts[rows]
        starts = np.repeat(self.indptr[rows] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        places = starts + np.arange(int(counts.sum()))
        return TermVectors(_starts(counts), self.terms[places], self.weights[places], self.width)

    def strongest(self, k: int) -> TermVectors:
        """Each text's k greatest weights; of equals the smaller term stays. What a served query is often cut to."""
        text = np.repeat(np.arange(len(self)), self.counts)
        order = np.lexsort((self.terms, -self.weights, text))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - np.repeat(self.indptr[:-1], self.counts)
        kept = place < k
        return TermVectors(_starts(np.minimum(self.counts, k)), self.terms[kept], self.weights[kept], self.width)

    def normalised(self) -> TermVectors:
        """Each text at L2 length 1; one without terms stays empty."""
        text = np.repeat(np.arange(len(self)), self.counts)
        lengths = np.sqrt(np.bincount(text, self.weights.astype(np.float64) ** 2, minlength=len(self)))
        return TermVectors(self.indptr, self.terms, (self.weights / lengths[text]).astype(np.float32), self.width)

    def checked(self) -> TermVectors:
        """Itself. Raises InputError where the arrays do not fit each other or a weight is not a positive number."""
        text = np.repeat(np.arange(len(self)), self.counts) if (self.counts >= 0).all() else None
        if text is None or self.indptr[0] != 0 or not len(self.terms) == len(self.weights) == self.indptr[-1]:
            raise InputError("The term vectors' indptr, terms and weights do not fit each other: encode again.")
        if not np.isfinite(self.weights).all() or (self.weights <= 0).any():
            row = int(text[np.argmax(~(np.isfinite(self.weights) & (self.weights > 0)))])
            raise InputError(f"Text row {row} holds a term weight that is not a positive number: encode it again.")
        key = text * np.int64(self.width) + self.terms
        if len(key) and (self.terms.min() < 0 or self.terms.max() >= self.width or (np.diff(key) <= 0).any()):
            raise InputError(f"The terms of each text must be distinct, rising and below {self.width}.")
        return self


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
