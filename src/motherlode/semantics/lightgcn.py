"""LightGCN: item vectors learnt by propagating embeddings over the graph of training interactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from motherlode.errors import InputError, SettingError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class LightGCNSettings:
    """How a graph of users and items is learnt.

    Attributes:
        dim: width of the vectors.
        layers: K, rounds of propagation; 0 is plain matrix factorisation.
        steps, batch: of training; each step draws `batch` edges and propagates the whole graph once.
        lr: of Adam.
        decay: weight of the squared length of the batch's first-layer embeddings.
        seed: of the first embeddings and of all draws.
    """

    dim: int = 64
    layers: int = 3
    steps: int = 300
    batch: int = 2048
    lr: float = 0.01
    decay: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.dim, self.batch) < 1 or min(self.layers, self.steps, self.decay) < 0 or not self.lr > 0:
            raise SettingError("LightGCN needs dim and batch >= 1, layers, steps and decay >= 0, and lr above 0.")


def lightgcn_view(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    train: NDArray[np.bool_],
    count: int,
    settings: LightGCNSettings | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Unit vectors float32 [count, dim] of the items, and which items have a training event: bool [count].

        E^(k+1) = A E^(k),   A = D^(-1/2) [0 R; R^T 0] D^(-1/2),   x = mean of E^(0) .. E^(K)
        L = mean softplus(x_u x_j - x_u x_i) + decay / 2 (|E_u^(0)|^2 + |E_i^(0)|^2 + |E_j^(0)|^2)

    with i an item of user u and j a uniform item of training that u has not taken. Only E^(0) is learnt. Rows where
    `train` is False are dropped before anything else, as in `behaviour_view`, whose form this has.

    Args:
        users, items: rows of each event, int64 [E], items from 0 to count - 1.
        train: bool [E], True for events of training.
        count: N, the number of items of the catalogue.

    Raises:
        InputError: no event is of training, an item does not exist, or the arrays differ in length.

    Source: LightGCN, He et al., SIGIR 2020 (arXiv 2002.02126).
    """
    settings = settings or LightGCNSettings()
    who, what, n_users = _training_edges(users, items, train, count)
    present = np.zeros(count, dtype=np.bool_)
    present[what] = True
    kept = np.flatnonzero(present)  # items without an event are no part of the graph
    place = np.zeros(count, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    what = place[what]
    graph = adjacency(who, what, n_users, len(kept))
    generator = torch.Generator().manual_seed(settings.seed)
    # the paper's standard deviation of 0.1 at any width
    first = (0.1 * torch.randn(n_users + len(kept), settings.dim, generator=generator)).requires_grad_()
    optimiser = torch.optim.Adam([first], lr=settings.lr)
    taken = np.sort(who * len(kept) + what)
    for step in range(settings.steps):
        rng = np.random.default_rng([settings.seed, step])
        edges = rng.integers(len(who), size=settings.batch)
        user, item, other, fair = _triplets(rng, who[edges], what[edges], taken, len(kept))
        rows = [torch.from_numpy(k) for k in (user, item + n_users, other + n_users)]
        loss = bpr(propagate(graph, first, settings.layers), rows, torch.from_numpy(fair))
        lengths = torch.stack([first[k].square().sum() for k in rows]).sum() / len(user)
        optimiser.zero_grad()
        (loss + settings.decay / 2 * lengths).backward()
        optimiser.step()
    with torch.no_grad():
        learnt = F.normalize(propagate(graph, first, settings.layers)[n_users:], dim=1).numpy()
    vectors = np.zeros((count, settings.dim), dtype=np.float32)
    vectors[kept] = learnt
    return vectors, present


def adjacency(who: NDArray[np.int64], what: NDArray[np.int64], n_users: int, n_items: int) -> csr_matrix:
    """The symmetric graph of users and items with 1 / sqrt(degree degree) on each edge: float32 [U + N, U + N].

    `who` and `what` [E] are distinct edges; users come first.
    """
    from scipy.sparse import coo_matrix

    per_user, per_item = np.bincount(who, minlength=n_users), np.bincount(what, minlength=n_items)
    weight = (1 / np.sqrt(per_user[who] * per_item[what].astype(np.float64))).astype(np.float32)
    rows, columns = np.concatenate([who, what + n_users]), np.concatenate([what + n_users, who])
    size = n_users + n_items
    return coo_matrix((np.concatenate([weight, weight]), (rows, columns)), shape=(size, size)).tocsr()


def propagate(graph: csr_matrix, first: Tensor, layers: int) -> Tensor:
    """Mean of E^(0) .. E^(layers) with E^(k+1) = graph E^(k), for a symmetric graph: [R, dim] -> [R, dim]."""
    total, layer = first, first
    for _ in range(layers):
        layer = _Spread.apply(layer, graph)
        total = total + layer
    return total / (layers + 1)


class _Spread(torch.autograd.Function):
    """A symmetric sparse matrix times a dense one; the gradient takes the same way, as the matrix is its transpose."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, graph: csr_matrix) -> Tensor:
        ctx.graph = graph
        return torch.from_numpy(graph @ vectors.detach().numpy())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return torch.from_numpy(ctx.graph @ gradient.numpy()), None


def bpr(vectors: Tensor, rows: list[Tensor], fair: Tensor) -> Tensor:
    """Mean of softplus(x_u x_j - x_u x_i) over the triplets (u, i, j) whose j is a fair negative: bool [m]."""
    user, item, other = (vectors[k] for k in rows)
    gap = (user * (other - item)).sum(dim=1)
    return F.softplus(gap)[fair].sum() / fair.sum().clamp(min=1)


def _training_edges(
    users: NDArray[np.int64], items: NDArray[np.int64], train: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Distinct edges of training, users numbered from 0: users, items, number of users."""
    if not len(users) == len(items) == len(train):
        raise InputError(f"{len(users)} users, {len(items)} items and {len(train)} marks of training do not pair up.")
    chosen = np.asarray(train, dtype=np.bool_)
    what = np.asarray(items, dtype=np.int64)[chosen]
    if not len(what):
        raise InputError("No event is of training: there is no behaviour to see.")
    if what.min() < 0 or what.max() >= count:
        wrong = what.min() if what.min() < 0 else what.max()
        raise InputError(f"An event names item row {wrong}, the catalogue has {count} items.")
    known, who = np.unique(np.asarray(users)[chosen], return_inverse=True)
    who, what = np.divmod(np.unique(who.astype(np.int64) * count + what), count)
    return who, what, len(known)


def _triplets(
    rng: np.random.Generator,
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    taken: NDArray[np.int64],
    n_items: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """A uniform item beside each edge, drawn again where the user has it, and False where four tries do not help."""
    other = rng.integers(n_items, size=len(user))
    for _ in range(4):
        bad = _has(taken, user * n_items + other)
        if not bad.any():
            break
        other[bad] = rng.integers(n_items, size=int(bad.sum()))
    return user, item, other, ~_has(taken, user * n_items + other)


def _has(taken: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    place = np.minimum(np.searchsorted(taken, keys), len(taken) - 1)
    return np.asarray(taken[place] == keys)
