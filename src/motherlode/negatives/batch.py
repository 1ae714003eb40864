"""What a sampler is told of a batch: the positives, what each user already has, and vectors where it scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import InputError

Rows = NDArray[np.int64]
_ITEM_BITS = 32


class Histories:
    """Items of each row (a user, or an example of a batch) as CSR, ascending and without doubles inside a row.

    Args:
        indptr: int [R + 1].
        items: int [indptr[-1]], item rows of the catalogue, in any order.

    Raises:
        InputError: indptr and items do not belong together, or an item row is negative.
    """

    def __init__(self, indptr: ArrayLike, items: ArrayLike) -> None:
        starts, held = np.asarray(indptr, dtype=np.int64), np.asarray(items, dtype=np.int64)
        if (
            starts.ndim != 1
            or not len(starts)
            or starts[0] != 0
            or starts[-1] != len(held)
            or (np.diff(starts) < 0).any()
        ):
            raise InputError(f"indptr must rise from 0 to the {len(held)} items of the histories.")
        if len(held) and held.min() < 0:
            raise InputError("Histories hold a negative item row; leave unknown items out.")
        keys = (np.repeat(np.arange(len(starts) - 1), np.diff(starts)) << _ITEM_BITS) | held
        if (np.diff(keys) <= 0).any():
            keys = np.unique(keys)
        self._set(keys, len(starts) - 1)

    def _set(self, keys: Rows, n_rows: int) -> None:
        self._keys = keys
        self.n_rows = n_rows

    @classmethod
    def from_padded(cls, padded: ArrayLike, pad: int = -1) -> Histories:
        """From int [R, L] with `pad` in the unused places."""
        table = np.asarray(padded, dtype=np.int64)
        real = table != pad
        return cls(np.concatenate([[0], np.cumsum(real.sum(axis=1))]), table[real])

    @cached_property
    def owner(self) -> Rows:
        """Row of each entry: int64 [E]."""
        return self._keys >> _ITEM_BITS

    @cached_property
    def items(self) -> Rows:
        """Item of each entry: int64 [E]."""
        return self._keys & ((1 << _ITEM_BITS) - 1)

    @cached_property
    def indptr(self) -> Rows:
        """Where each row starts: int64 [R + 1]."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.owner, minlength=self.n_rows))]).astype(np.int64)

    def take(self, rows: ArrayLike) -> Histories:
        """The histories of these rows, in this order and with repeats: what a batch of users has."""
        chosen = np.asarray(rows, dtype=np.int64)
        lengths = np.diff(self.indptr)[chosen]
        owner = np.repeat(np.arange(len(chosen)), lengths)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        taken = Histories.__new__(Histories)
        taken._set((owner << _ITEM_BITS) | self.items[self.indptr[chosen][owner] + within], len(chosen))
        return taken

    def contains(self, rows: Rows, items: Rows) -> NDArray[np.bool_]:
        """Whether row r has item i, elementwise: bool, the shape of the two."""
        wanted = (rows << _ITEM_BITS) | items
        if not len(self._keys):
            return np.zeros(wanted.shape, dtype=np.bool_)
        place = np.searchsorted(self._keys, wanted)
        return self._keys[np.minimum(place, len(self._keys) - 1)] == wanted


@dataclass(frozen=True)
class Batch:
    """B examples, each a user and the item that was taken.

    Attributes:
        positives: int64 [B], item rows.
        histories: of the B examples; their items are never negatives. None where it is not known or not wanted.
        user_vectors: float32 [B, d], for samplers that score candidates.
        item_vectors: rows [S] -> float32 [S, d], for the same; `table.__getitem__` of a table of vectors, or a
            forward pass without gradients.
    """

    positives: Rows
    histories: Histories | None = None
    user_vectors: NDArray[np.float32] | None = None
    item_vectors: Callable[[Rows], NDArray[np.float32]] | None = None

    def __len__(self) -> int:
        return len(self.positives)

    def forbids(self, rows: Rows, items: Rows) -> NDArray[np.bool_]:
        """Whether item i is the positive of example r or in its history, elementwise."""
        forbidden = self.positives[rows] == items
        if self.histories is not None:
            forbidden |= self.histories.contains(rows, items)
        return forbidden

    def shared_mask(self, items: Rows) -> NDArray[np.bool_]:
        """Which of the items [S] each example may use: bool [B, S], False at its positive and its history."""
        distinct, place = np.unique(items, return_inverse=True)
        mask = np.ones((len(self), len(distinct)), dtype=np.bool_)
        owners, known = np.arange(len(self)), self.positives
        if self.histories is not None:
            owners, known = (
                np.concatenate([owners, self.histories.owner]),
                np.concatenate([known, self.histories.items]),
            )
        if len(distinct):
            # most of what is known lies outside the pool: a flag an item says so faster than a search
            there = np.zeros(max(int(distinct[-1]), int(known.max(initial=0))) + 1, dtype=np.bool_)
            there[distinct] = True
            hit = np.flatnonzero(there[known])
            mask[owners[hit], np.searchsorted(distinct, known[hit])] = False
        return mask if len(distinct) == len(items) and (place[1:] > place[:-1]).all() else mask[:, place]

    def scores(self, items: Rows) -> NDArray[np.float32]:
        """Inner product of each user with its own items [B, n], each distinct item asked for once.

        Raises:
            InputError: the batch came without vectors.
        """
        if self.user_vectors is None or self.item_vectors is None:
            raise InputError("This sampler scores its candidates: give the batch user_vectors and item_vectors.")
        distinct, place = np.unique(items, return_inverse=True)
        vectors = self.item_vectors(distinct)[place.reshape(items.shape)]
        return np.einsum("bd,bnd->bn", self.user_vectors, vectors)
