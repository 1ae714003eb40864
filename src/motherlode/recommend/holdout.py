"""What is learnt from and what is asked for: leave-last-out, leave-k-out, a cut in time, and cold items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import SettingError
from motherlode.recommend.sequences import Rows, Sequences, starts_of

HEAD, TORSO = 0.10, 0.50  # share of the trained items, most popular first, at which head and torso end


@dataclass(frozen=True, eq=False)
class Holdout:
    """Q users, what is known of each when asked, and what each took next.

    Attributes:
        users: int64 [Q], rows of the sequences.
        history: int64 CSR over the Q users, oldest first: never recommended again.
        targets: int64 CSR over the Q users: at least one each, none of them in the history.
    """

    users: Rows
    history: Sequences
    targets: Sequences

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Split:
    """Training events, and the users asked in validation (given training) and test (given training and validation).

    `ordered` says whether the order of the events means time; `asked_without_history` counts users with targets
    but nothing before them, who are in no holdout.
    """

    train: Sequences
    validation: Holdout
    test: Holdout
    ordered: bool
    asked_without_history: int = 0

    @property
    def frequencies(self) -> Rows:
        """Training events of each item: int64 [N]."""
        return self.train.frequencies()

    @property
    def cold(self) -> NDArray[np.bool_]:
        """Items without a training event: bool [N]."""
        return self.frequencies == 0


def leave_last(sequences: Sequences) -> Split:
    """Each user's last event is the test target, the one before it the validation target.

    Users with one event only train, those with two have no validation target.
    """
    lengths = np.repeat(np.diff(sequences.indptr), np.diff(sequences.indptr))
    left = lengths - 1 - sequences.places
    part = np.where((left == 0) & (lengths > 1), 2, np.where((left == 1) & (lengths > 2), 1, 0))
    return _split(sequences, part, ordered=True)


def leave_k_out(sequences: Sequences, k: int, seed: int) -> Split:
    """k events of each user, drawn at random, are test targets and k others validation targets.

    For sets whose order means nothing. Of a user with fewer than 4 k events, a quarter goes to each (rounded down).
    """
    if k < 1:
        raise SettingError(f"k = {k}: at least one event a user must be left out.")
    lengths = np.diff(sequences.indptr)
    keys = np.random.default_rng([seed, k]).random(len(sequences.items))
    order = np.lexsort((keys, sequences.users))
    taken = np.repeat(np.minimum(k, lengths // 4), lengths)
    part = np.zeros(len(order), dtype=np.int64)
    part[order] = np.where(sequences.places < taken, 2, np.where(sequences.places < 2 * taken, 1, 0))
    return _split(sequences, part, ordered=False)


def temporal(sequences: Sequences, validation: float = 0.8, test: float = 0.9) -> Split:
    """Cut all users at two moments: the quantiles `validation` and `test` of the events' times.

    Events from the first moment on are validation targets, from the second on test targets.
    """
    if sequences.times is None:
        raise SettingError("A split by time needs times of all interactions: use leave-last-out or leave-k-out.")
    if not 0 < validation < test < 1:
        raise SettingError(f"The quantiles {validation} and {test} must rise between 0 and 1.")
    moments = np.quantile(sequences.times, [validation, test], method="higher")
    return _split(sequences, np.searchsorted(moments, sequences.times, side="right"), ordered=True)


def popularity_slices(frequencies: Rows) -> dict[str, NDArray[np.bool_]]:
    """Items by training events: head (the most popular 10 % of those with any), torso (next 40 %), tail, cold.

    bool [N] each, disjoint, all items together; ties fall by item row. The borders are ours.
    """
    trained = int((frequencies > 0).sum())
    place = np.empty(len(frequencies), dtype=np.int64)
    place[np.argsort(-frequencies, kind="stable")] = np.arange(len(frequencies))
    head, torso = round(HEAD * trained), round(TORSO * trained)
    return {
        "head": place < head,
        "torso": (place >= head) & (place < torso),
        "tail": (place >= torso) & (place < trained),
        "cold": place >= trained,
    }


def _split(sequences: Sequences, part: NDArray[np.integer], ordered: bool) -> Split:
    """Part 0 trains, 1 is asked for in validation, 2 in test."""
    validation, lonely = _holdout(sequences, part < 1, part == 1)
    test, more = _holdout(sequences, part < 2, part == 2)
    return Split(sequences.where(part == 0), validation, test, ordered, lonely + more)


def _holdout(sequences: Sequences, known: NDArray[np.bool_], asked: NDArray[np.bool_]) -> tuple[Holdout, int]:
    pair = sequences.users * sequences.n_items + sequences.items
    asked = asked & ~np.isin(pair, pair[known])  # what a user has already cannot be recommended
    first = np.zeros(len(pair), dtype=np.bool_)
    first[np.flatnonzero(asked)[np.unique(pair[asked], return_index=True)[1]]] = True
    targets, history = sequences.where(first), sequences.where(known)
    wanted, had = np.diff(targets.indptr) > 0, np.diff(history.indptr) > 0
    users = np.flatnonzero(wanted & had)
    return Holdout(users, take_users(history, users), take_users(targets, users)), int((wanted & ~had).sum())


def sample(holdout: Holdout, most: int, seed: int) -> Holdout:
    """So many of its users at most, drawn by the seed."""
    if len(holdout) <= most:
        return holdout
    places = np.sort(np.random.default_rng([seed, len(holdout)]).choice(len(holdout), most, replace=False))
    return Holdout(holdout.users[places], take_users(holdout.history, places), take_users(holdout.targets, places))


def take_users(sequences: Sequences, users: Rows) -> Sequences:
    """The sequences of these users, in ascending order of their rows."""
    counts = np.diff(sequences.indptr)
    chosen = np.zeros(len(counts), dtype=np.bool_)
    chosen[users] = True
    kept = np.repeat(chosen, counts)
    times = None if sequences.times is None else sequences.times[kept]
    return Sequences(starts_of(counts[users]), sequences.items[kept], sequences.n_items, times)
