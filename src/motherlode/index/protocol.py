"""What every index can do, whatever holds it: the embedded store, or a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from motherlode.index.candidates import Candidates
from motherlode.index.filters import Filter

Mode = Literal["hybrid", "dense", "lexical", "sparse"]


class Retriever(Protocol):
    """An index over items: legs that answer queries, and changes that appear when published.

    A row is the number of an item in the index as it is open; a published change may number items anew, so rows are
    looked up (`records`) in the very object that gave them.
    """

    @property
    def facts(self) -> dict[str, Any]:
        """What it holds and how it was built, JSON-able: at least "items", "version" and "dense"."""
        ...

    def legs(
        self,
        texts: Sequence[str],
        k: int,
        mode: Mode = "hybrid",
        wanted: Filter | None = None,
        vectors: NDArray[np.float32] | None = None,
    ) -> dict[str, Candidates]:
        """The k best of each leg that `mode` asks for, "hybrid" all of them: Candidates [Q, k] each.

        The legs are "dense" and "lexical", and "sparse" in an index that has this third one.

        vectors: unit vectors [Q, d] of the texts, where they are known; None: the index encodes them itself.
        wanted: only items that meet it.
        """
        ...

    def records(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """item_id, title, brand and taxonomy of each row."""
        ...

    def upsert(self, items: Sequence[Mapping[str, Any]], vectors: NDArray[np.float32]) -> None:
        """Add items (records of the catalogue), or replace those of the same ids; vectors: unit, [n, d]."""
        ...

    def delete(self, item_ids: Sequence[str]) -> None:
        """Drop items; ids that are not there are no error."""
        ...

    def publish(self) -> Self:
        """Make what was changed visible, all at once, and return the index to search from now on."""
        ...

    def compact(self) -> Self:
        """Publish, and clear away what earlier changes left behind; results are those of a newly built index."""
        ...
