"""What each user took, in order: interactions as CSR arrays over the rows of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import InputError

if TYPE_CHECKING:
    from motherlode.tables.tables import Tables

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Events of U users over N items, side by side.

    Attributes:
        indptr: int64 [U + 1]; the events of user u are those from indptr[u] to indptr[u + 1], oldest first.
        items: int64 [E], rows of the catalogue.
        n_items: N.
        times: int64 [E], microseconds, not falling inside a user; None where no times are known.

    Raises:
        InputError: the arrays do not belong together.
    """

    indptr: Rows
    items: Rows
    n_items: int
    times: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        starts = self.indptr
        if not len(starts) or starts[0] != 0 or starts[-1] != len(self.items) or (np.diff(starts) < 0).any():
            raise InputError(f"indptr must rise from 0 to {len(self.items)}, the number of events.")
        if len(self.items) and not (self.items.min() >= 0 and self.items.max() < self.n_items):
            raise InputError(f"An event names an item row outside 0 to {self.n_items - 1}.")
        if self.times is not None and len(self.times) != len(self.items):
            raise InputError(f"There are {len(self.times)} times for {len(self.items)} events.")

    @property
    def n_users(self) -> int:
        return len(self.indptr) - 1

    @property
    def users(self) -> Rows:
        """The user of each event: int64 [E]."""
        return np.repeat(np.arange(self.n_users), np.diff(self.indptr))

    @property
    def places(self) -> Rows:
        """The place of each event in its user's sequence, from 0: int64 [E]."""
        return np.arange(len(self.items)) - np.repeat(self.indptr[:-1], np.diff(self.indptr))

    def frequencies(self) -> Rows:
        """Events of each item: int64 [N]."""
        return np.bincount(self.items, minlength=self.n_items)

    def where(self, kept: NDArray[np.bool_]) -> Sequences:
        """The same users with only the events that `kept` [E] marks; some users may have none left."""
        counts = np.bincount(self.users[kept], minlength=self.n_users)
        times = None if self.times is None else self.times[kept]
        return Sequences(starts_of(counts), self.items[kept], self.n_items, times)

    @classmethod
    def from_events(
        cls,
        users: ArrayLike,
        items: ArrayLike,
        n_items: int,
        times: ArrayLike | None = None,
        n_users: int | None = None,
        *,
        repeats: bool = False,
    ) -> Sequences:
        """Sort events by user and time; events of one time, or without times all of a user, keep their order.

        Args:
            users, items: int [E] rows; times: int [E] or None.
            repeats: keep later events of a user with an item met before. By default only the first stays, as
                recommending asks for what the user has not had.
        """
        user, item = np.asarray(users, dtype=np.int64), np.asarray(items, dtype=np.int64)
        time = None if times is None else np.asarray(times, dtype=np.int64)
        order = np.argsort(user, kind="stable") if time is None else np.lexsort((time, user))
        user, item, time = user[order], item[order], None if time is None else time[order]
        if not repeats:
            first = np.sort(np.unique(user * n_items + item, return_index=True)[1])
            user, item, time = user[first], item[first], None if time is None else time[first]
        count = int(user.max(initial=-1)) + 1 if n_users is None else n_users
        return cls(starts_of(np.bincount(user, minlength=count)), item, n_items, time)


def read_sequences(tables: Tables, *, repeats: bool = False) -> tuple[Sequences, Sequence[str]]:
    """Sequences of the interactions table, item rows in the order of the catalogue, and the users' ids.

    Users are numbered by their first row. Where every row has a time, events are in time order; else the order of
    the rows is taken for it, as the schema of the table says.

    Raises:
        MissingError: there is no interactions table.
        InputError: the table is empty, or an interaction names an item that the catalogue has not.
    """
    import polars as pl

    rows = tables.frame("interactions", ["user_id", "item_id", "time"])
    if not len(rows):
        raise InputError(f"{tables.path('interactions')} holds no interaction.")
    catalogue = tables.frame("catalogue", ["item_id"]).with_row_index("item")
    users = rows.select(pl.col("user_id").unique(maintain_order=True)).with_row_index("user")
    numbered = rows.join(catalogue, on="item_id", how="left", maintain_order="left").join(
        users, on="user_id", how="left", maintain_order="left"
    )
    if numbered["item"].null_count():
        lost = numbered.filter(pl.col("item").is_null())["item_id"][0]
        raise InputError(
            f"{tables.path('interactions')} names item {lost!r}, which the catalogue has not: add it or drop the rows."
        )
    timed = numbered["time"].null_count() == 0
    sequences = Sequences.from_events(
        numbered["user"].to_numpy(),
        numbered["item"].to_numpy(),
        len(catalogue),
        numbered["time"].dt.timestamp("us").to_numpy() if timed else None,
        len(users),
        repeats=repeats,
    )
    return sequences, users["user_id"].to_list()


def starts_of(counts: NDArray[np.integer]) -> Rows:
    """CSR starts int64 [R + 1] of R rows with these numbers of entries."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
