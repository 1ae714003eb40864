"""A small world for the tests of recommend/: users of groups that take items of their group, one after another."""

import numpy as np

from motherlode.recommend.sequences import Sequences

GROUPS, EACH = 6, 10
N_ITEMS = GROUPS * EACH


def world(n_users: int = 240, seed: int = 0, length: int = 8) -> Sequences:
    """Every user walks along the ring of its group's items, with a start of its own; three items are never taken."""
    rng = np.random.default_rng([seed, n_users])
    group, start = rng.integers(GROUPS, size=n_users), rng.integers(EACH, size=n_users)
    step = np.arange(length)
    items = group[:, None] * EACH + (start[:, None] + step) % EACH
    users = np.repeat(np.arange(n_users), length)
    times = np.tile(step, n_users) * 1000 + users
    return Sequences.from_events(users, items.ravel(), N_ITEMS + 3, times)


def random_sequences(rng: np.random.Generator, n_users: int, n_items: int, longest: int) -> Sequences:
    """Users with 0 to `longest` distinct items each, times falling anywhere."""
    lists = [rng.permutation(n_items)[: rng.integers(longest + 1)] for _ in range(n_users)]
    users = np.repeat(np.arange(n_users), [len(one) for one in lists])
    items = np.concatenate(lists).astype(np.int64)
    return Sequences.from_events(users, items, n_items, rng.integers(10_000, size=len(items)), n_users)
