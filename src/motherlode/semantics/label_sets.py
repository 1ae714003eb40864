"""Several sets of codes as labels of items, for a tower that adds an embedding of each label."""

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import SettingError
from motherlode.semantics.codebooks import CascadedCodebooks
from motherlode.semantics.codes import Codes
from motherlode.semantics.views import Views


def code_labels(first: Codes, views: Views, books: CascadedCodebooks, sets: int) -> dict[str, NDArray[np.int64]]:
    """Name -> int64 [N]: coarse and fine code of every item in each set, -1 where an item has no view.

        set k = 0, 1, ...: K_p · 2^k coarse codes, K_s fine ones, seed + k

    Sets of different sizes and starts cut the same space along different borders: who is parted by one shares a cell
    of another. Ours; on three of four real data sets worth more than the codes' use as negatives (`docs/negatives.md`).

    Args:
        first: the codes of set 0.
        views: the items that further sets are fitted on, N of them.
        books: as made for set 0; of its settings only size and seed change.

    Raises:
        SettingError: less than one set, or more coarse codes than different items.
    """
    if sets < 1:
        raise SettingError(f"{sets} sets of codes are none: ask for 1 or more.")
    found = {}
    for place in range(sets):
        codes = first if not place else _further(views, books, place)
        for name, column in (("primary", codes.primary), ("leaf", codes.leaf)):
            found[f"{name}_{place}"] = np.where(codes.coded, column, -1).astype(np.int64)
    return found


def _further(views: Views, books: CascadedCodebooks, place: int) -> Codes:
    further = CascadedCodebooks(
        books.primary * 2**place,
        books.secondary,
        books.backend,
        books.per_primary,
        books.balance,
        books.seed + place,
        books.vq,
    )
    return further.fit(views).assign(views)
