"""Training examples: a user, what came before, what came next; each batch a pure function of seed, epoch and step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motherlode.errors import SettingError
from motherlode.recommend.sequences import Rows, Sequences

PAD = -1


@dataclass(frozen=True, eq=False)
class Examples:
    """B examples of one step.

    Attributes:
        users: int64 [B].
        history: int64 [B, W], item rows, oldest first, PAD behind them; every row holds at least one item. W is the
            longest of them.
        targets: int64 [B], item rows.
        number: of the step, from 0 over all epochs.
    """

    users: Rows
    history: Rows
    targets: Rows
    number: int

    def __len__(self) -> int:
        return len(self.targets)


class ExampleBatches:
    """Every event that has something before it (ordered) or beside it (not ordered) is a target once an epoch.

    Ordered, the history is the up to `window` events before the target. Else it is up to `window` of the user's
    other events, drawn without repeats: each epoch shuffles every user's events into a ring, and the history of
    a target is what follows it there. An epoch visits the examples in a random order and leaves out those that do
    not fill a last batch, other ones each time. All of it depends on (seed, epoch, step) alone.

    Raises:
        SettingError: sizes below 1, or no user has two events.
    """

    def __init__(self, train: Sequences, *, ordered: bool, batch: int = 1024, window: int = 20, seed: int = 0) -> None:
        if batch < 1 or window < 1:
            raise SettingError(f"batch = {batch} and window = {window} must be at least 1.")
        self.train, self.ordered, self.window, self.seed = train, ordered, window, seed
        lengths = np.repeat(np.diff(train.indptr), np.diff(train.indptr))
        self._events = np.flatnonzero(train.places > 0 if ordered else lengths > 1)
        if not len(self._events):
            raise SettingError("No user has two training events: there is nothing to learn a next item from.")
        self.batch = min(batch, len(self._events))
        self._users = train.users
        self._epoch = -1

    def __len__(self) -> int:
        return len(self._events) // self.batch

    @property
    def n_examples(self) -> int:
        """Examples an epoch could have."""
        return len(self._events)

    def __call__(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Examples:
        """Raises SettingError where several processes ask: the rows of the item table are not shared by them."""
        if world > 1:
            raise SettingError(f"A user-item model trains in one process, not in {world} (this is number {rank}).")
        self._prepare(epoch)
        events = self._order[step * self.batch : (step + 1) * self.batch]
        users = self._users[events]
        first, end = self.train.indptr[users], self.train.indptr[users + 1]
        size = events - first if self.ordered else end - first - 1  # of what could be shown
        lengths = np.minimum(size, self.window)
        columns = np.arange(lengths.max())
        if self.ordered:
            places = (events - lengths)[:, None] + columns
        else:
            places = first[:, None] + (events - first)[:, None] + 1 + columns
            places = np.where(places >= end[:, None], places - (size + 1)[:, None], places)
        real = columns < lengths[:, None]
        history = np.where(real, self._items[np.where(real, places, 0)], PAD)
        return Examples(users, history, self._items[events], epoch * len(self) + step)

    def _prepare(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._order = np.random.default_rng([self.seed, epoch, 0]).permutation(self._events)
        self._items = self.train.items
        if not self.ordered:
            keys = np.random.default_rng([self.seed, epoch, 1]).random(len(self._items))
            self._items = self._items[np.lexsort((keys, self._users))]
        self._epoch = epoch


def last_of(history: Sequences, window: int, start: int = 0, end: int | None = None) -> Rows:
    """The last `window` events of the users from `start` to `end`, oldest first, PAD behind: int64 [users, W].

    W is the longest of these histories and at most `window`.
    """
    first, last = history.indptr[:-1][start:end], history.indptr[1:][start:end]
    lengths = np.minimum(last - first, window)
    columns = np.arange(lengths.max(initial=0))
    real = columns < lengths[:, None]
    return np.where(real, history.items[np.where(real, (last - lengths)[:, None] + columns, 0)], PAD)
