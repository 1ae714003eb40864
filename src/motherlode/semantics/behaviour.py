"""The behaviour view: what an item is like to judge by who took it, from training events alone."""

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError


def behaviour_view(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    train: NDArray[np.bool_],
    count: int,
    dim: int = 64,
    seed: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors float32 [count, dim] of the items, and which items have a training event: bool [count].

        Â = D_u^(-1/2) A D_i^(-1/2),   Â ≈ U Σ Vᵀ (the `dim` largest),   x_i = norm(row i of V Σ)

    with A the 0/1 matrix of users and items in training and D the degrees. Â is the matrix that LightGCN (arXiv
    2002.02126) propagates with; its truncated decomposition is the linear limit of that propagation (ours as a choice
    of behaviour view). Rows where `train` is False are dropped before anything else: they cannot change a bit.

    Args:
        users, items: rows of each event, int64 [E], items from 0 to count - 1.
        train: bool [E], True for events of training. There is no default: whoever calls must say.
        count: N, the number of items of the catalogue.
        dim: width; where training has fewer users or items than that allows, the rest is zero.
        seed: of the solver's start.

    Raises InputError where no event is of training or an item does not exist.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import svds

    if not len(users) == len(items) == len(train):
        raise InputError(f"{len(users)} users, {len(items)} items and {len(train)} marks of training do not pair up.")
    who, what = np.unique(np.asarray(users)[train], return_inverse=True)[1], np.asarray(items)[train]
    if not len(what):
        raise InputError("No event is of training: there is no behaviour to see.")
    if what.min() < 0 or what.max() >= count:
        raise InputError(f"An event names item row {what.max()}, the catalogue has {count} items.")
    matrix = csr_matrix((np.ones(len(who)), (who, what)), shape=(int(who.max()) + 1, count))
    matrix.data[:] = 1.0  # an item taken twice by a user counts once
    per_user, per_item = np.asarray(matrix.sum(1)).ravel(), np.asarray(matrix.sum(0)).ravel()
    present = per_item > 0
    matrix = matrix[:, present].multiply(1 / np.sqrt(per_user)[:, None]).tocsr()
    matrix = matrix.multiply(1 / np.sqrt(per_item[present])[None, :]).tocsr()
    rank = min(dim, min(matrix.shape) - 1)
    vectors = np.zeros((count, dim), np.float32)
    if rank < 1:  # one user or one item: all that there is to know is who is present
        vectors[present, 0] = 1.0
        return vectors, present
    start = np.random.default_rng([seed, rank]).standard_normal(min(matrix.shape))
    _, values, right = svds(matrix, k=rank, v0=start)
    order = np.argsort(-values)
    rows = (right[order] * values[order, None]).T
    # a settled sign, whatever the solver chose
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=0)[None, :], axis=0)
    rows = rows * np.where(largest < 0, -1.0, 1.0)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    vectors[present, :rank] = rows / np.where(norms > 0, norms, 1.0)
    return vectors, present
