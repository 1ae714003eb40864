"""Pairs of items that one user took one after the other."""

import numpy as np
from numpy.typing import NDArray


def co_interaction_pairs(
    users: NDArray[np.int64], items: NDArray[np.int64], window: int = 1, most: int | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Pairs (earlier, later) of different items of one user at most `window` steps apart: int64 [P, 2].

    `users` and `items` [E] are rows of the events, each user's in time order (users may be mixed): give those of
    training alone. A pair comes as often as it occurs; `most` keeps a random sample of that size.
    """
    order = np.argsort(users, kind="stable")
    who, what = np.asarray(users)[order], np.asarray(items)[order]
    parts = [np.empty((0, 2), np.int64)]
    for step in range(1, window + 1):
        kept = (who[:-step] == who[step:]) & (what[:-step] != what[step:])
        parts.append(np.stack([what[:-step][kept], what[step:][kept]], axis=1))
    pairs = np.concatenate(parts)
    if most is not None and len(pairs) > most:
        rng = np.random.default_rng([seed, len(pairs)])
        pairs = pairs[np.sort(rng.choice(len(pairs), most, replace=False))]
    return pairs
