"""The views of N items (text, image, behaviour ...): one matrix a view, and which rows of it exist."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import InputError

if TYPE_CHECKING:
    from motherlode.tables import Tables

CHUNK = 16_384  # items in work at once


class Block(NamedTuple):
    """Views of one width side by side: vectors float32 [n, M, d], zero where `present` bool [n, M] is False."""

    vectors: NDArray[np.float32]
    present: NDArray[np.bool_]

    def mean(self) -> NDArray[np.float32]:
        """Mean over the views that are present: float32 [n, d]; zero where none is."""
        count = self.present.sum(axis=1, dtype=np.float32)
        return self.vectors.sum(axis=1) / np.maximum(count, 1)[:, None]


@dataclass(frozen=True, eq=False)
class Views:
    """Unit vectors of N items in M views.

    Make one with `from_arrays` or `from_tables`, which bring vectors to length 1. A row that is not present holds
    zeros, which nothing reads: every mean and every loss goes by `present`.

    Attributes:
        vectors: by the view's name, float32 [N, d_m].
        present: by the view's name, bool [N].
    """

    vectors: dict[str, NDArray[np.float32]]
    present: dict[str, NDArray[np.bool_]]

    @classmethod
    def from_arrays(cls, vectors: Mapping[str, ArrayLike], present: Mapping[str, ArrayLike] | None = None) -> Views:
        """Views from arrays [N, d_m], brought to length 1; without `present`, a row of zeros is a missing one.

        A zero vector has no direction: it counts as missing whatever `present` says. Raises InputError where
        shapes do not fit or a present vector is not finite.
        """
        if not vectors:
            raise InputError("There is no view: give at least one.")
        given = {name: np.asarray(array, dtype=np.float32) for name, array in vectors.items()}
        count = len(next(iter(given.values())))
        units, masks = {}, {}
        for name, array in given.items():
            if array.ndim != 2 or len(array) != count or not array.shape[1]:
                raise InputError(f"The view '{name}' has the shape {list(array.shape)}, not [{count}, width].")
            told = np.ones(count, bool) if present is None else np.asarray(present[name], dtype=bool)
            if told.shape != (count,):
                raise InputError(f"The view '{name}' has {told.size} marks of presence for {count} items.")
            units[name], masks[name] = _units(name, array, told)
        return cls(units, masks)

    @classmethod
    def from_tables(cls, tables: Tables, item_ids: Sequence[str], names: Sequence[str] | None = None) -> Views:
        """The views of these items, in this order, from the features table; `names` chooses and orders views.

        Items the table does not know are missing, items not asked for are passed over. Raises MissingError where there
        is no features table, InputError for a view that it does not hold, vectors of two widths in a view, or
        an item with two vectors in one.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = pa.array(item_ids, pa.string())
        found: dict[str, NDArray[np.float32]] = {}
        seen: dict[str, NDArray[np.bool_]] = {}
        for batch in tables.batches("features", rows=CHUNK):
            rows = pc.index_in(batch["item_id"], value_set=wanted)
            for name in pc.unique(batch["view"]).to_pylist():
                if names is not None and name not in names:
                    continue
                mask = pc.and_(pc.equal(batch["view"], name), pc.is_valid(rows))
                at = rows.filter(mask).to_numpy().astype(np.int64)
                column = batch["vector"].filter(mask)
                if not len(at):
                    continue
                width = found[name].shape[1] if name in found else len(column[0])
                if pc.any(pc.not_equal(pc.list_value_length(column), width)).as_py():
                    raise InputError(f"features.parquet: the view '{name}' holds vectors that are not {width} long.")
                target = found.setdefault(name, np.zeros((len(wanted), width), np.float32))
                taken = seen.setdefault(name, np.zeros(len(wanted), bool))
                if taken[at].any() or len(np.unique(at)) < len(at):
                    raise InputError(f"features.parquet: the view '{name}' holds an item twice: keep one vector each.")
                target[at] = pc.list_flatten(column).to_numpy(zero_copy_only=False).reshape(-1, width)
                taken[at] = True
        missing = [name for name in names or () if name not in found]
        if missing or not found:
            what = f"no view '{missing[0]}'" if missing else "no vector"
            raise InputError(f"features.parquet holds {what} of these items: write it to the features table first.")
        order = names or sorted(found)
        return cls.from_arrays({name: found[name] for name in order}, {name: seen[name] for name in order})

    @property
    def names(self) -> list[str]:
        """The views in their order."""
        return list(self.vectors)

    def __len__(self) -> int:
        return len(next(iter(self.vectors.values())))

    @property
    def width(self) -> int:
        """The one width that all views share; InputError where they differ, for then they must be aligned first."""
        widths = {name: array.shape[1] for name, array in self.vectors.items()}
        if len(set(widths.values())) > 1:
            raise InputError(f"The views have different widths {widths}: align them first.")
        return next(iter(widths.values()))

    def any_present(self) -> NDArray[np.bool_]:
        """bool [N]: which items have a view at all."""
        return np.logical_or.reduce(list(self.present.values()))

    def only(self, names: Sequence[str]) -> Views:
        """These views alone, in this order."""
        for name in names:
            if name not in self.vectors:
                raise InputError(f"There is no view '{name}': the views are {', '.join(self.names)}.")
        return Views({n: self.vectors[n] for n in names}, {n: self.present[n] for n in names})

    def take(self, rows: NDArray[np.int64] | slice) -> Views:
        """The items of these rows."""
        return Views(
            {name: array[rows] for name, array in self.vectors.items()},
            {name: mask[rows] for name, mask in self.present.items()},
        )

    def block(self, rows: NDArray[np.int64] | slice) -> Block:
        """Views of one width side by side for these rows."""
        self.width  # noqa: B018  (raises where the views cannot stand side by side)
        vectors = np.stack([array[rows] for array in self.vectors.values()], axis=1)
        return Block(vectors, np.stack([mask[rows] for mask in self.present.values()], axis=1))

    def blocks(self, size: int = CHUNK) -> Iterator[tuple[slice, Block]]:
        """All items, `size` at a time, with where they stand."""
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, self.block(rows)

    def fingerprint(self) -> str:
        """16 hex digits over names, order, shapes and bytes of all vectors and masks."""
        digest = hashlib.blake2b(digest_size=8)
        for name, array in self.vectors.items():
            digest.update(f"{name}{array.shape}".encode())
            for start in range(0, len(array), CHUNK):
                digest.update(np.ascontiguousarray(array[start : start + CHUNK]).tobytes())
            digest.update(self.present[name].tobytes())
        return digest.hexdigest()


def _units(
    name: str, array: NDArray[np.float32], present: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    units, mask = np.zeros_like(array), np.zeros(len(array), bool)
    for start in range(0, len(array), CHUNK):
        rows = slice(start, start + CHUNK)
        told = present[rows]
        if not np.isfinite(array[rows][told]).all():
            row = start + int(np.flatnonzero(told & ~np.isfinite(array[rows]).all(axis=1))[0])
            raise InputError(f"The view '{name}' of item row {row} is not finite: mend it or leave it out.")
        # the largest component first, so that squares neither overflow nor vanish
        largest = np.abs(array[rows], where=told[:, None], out=np.zeros_like(array[rows])).max(axis=1)
        mask[rows] = told & (largest > 0)
        held = start + np.flatnonzero(mask[rows])
        scaled = array[held] / largest[held - start][:, None]
        units[held] = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return units, mask
