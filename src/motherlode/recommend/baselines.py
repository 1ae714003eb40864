"""What a trained two-tower must beat: popularity, item-kNN and implicit-feedback ALS, on the same holdout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import MissingError
from motherlode.recommend.evaluate import Scorer
from motherlode.recommend.holdout import Holdout
from motherlode.recommend.sequences import Sequences

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def popularity(train: Sequences, holdout: Holdout) -> Scorer:
    """Everybody gets what most users took; items without an event share score 0."""
    scores = train.frequencies().astype(np.float32)
    del holdout  # the same for everybody
    return lambda start, end: np.broadcast_to(scores, (end - start, len(scores)))


def item_knn(train: Sequences, holdout: Holdout, neighbours: int = 100) -> Scorer:
    """Sum over the history of each item's cosine with its `neighbours` nearest items.

        cos(i, j) = #users(i and j) / sqrt(#users(i) · #users(j))

    Source: Sarwar et al. 2001 (WWW).
    """
    from scipy.sparse import diags

    seen = matrix(train)
    lengths = np.sqrt(np.maximum(seen.sum(axis=0).A1 if hasattr(seen.sum(axis=0), "A1") else seen.sum(axis=0), 1))
    unit = seen @ diags(1 / np.asarray(lengths).ravel())
    cosines = (unit.T @ unit).tocsr()
    cosines.setdiag(0)
    cosines.eliminate_zeros()
    near = _strongest(cosines, neighbours)
    known = matrix(holdout.history)
    return lambda start, end: np.asarray((known[start:end] @ near.T).toarray(), dtype=np.float32)


def implicit_als(
    train: Sequences,
    holdout: Holdout,
    factors: int = 64,
    *,
    regularisation: float = 0.05,
    alpha: float = 10.0,
    iterations: int = 15,
    seed: int = 0,
) -> Scorer:
    """Weighted matrix factorisation by the `implicit` library; users are folded in from their history.

        min Σ_ui c_ui (p_ui - x_u · y_i)² + λ (Σ |x_u|² + Σ |y_i|²),   c = 1 + alpha on what was taken, else 1

    Raises MissingError where `implicit` is not installed.

    Source: Hu, Koren and Volinsky 2008 (ICDM).
    """
    model = als_model(train, factors, regularisation=regularisation, alpha=alpha, iterations=iterations, seed=seed)
    known = matrix(holdout.history)
    items = np.asarray(model.item_factors, dtype=np.float32)

    def scores(start: int, end: int) -> NDArray[np.float32]:
        users = model.recalculate_user(np.arange(start, end), known[start:end] * (1 + alpha))
        return np.asarray(np.asarray(users, dtype=np.float32) @ items.T)

    return scores


def als_model(
    train: Sequences, factors: int, *, regularisation: float, alpha: float, iterations: int, seed: int
) -> Any:
    """The fitted model of `implicit_als`, on one thread."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError as error:
        raise MissingError("This baseline needs the library implicit: pip install implicit.") from error
    from threadpoolctl import threadpool_limits  # a dependency of implicit's

    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors, regularization=regularisation, alpha=1.0, iterations=iterations, num_threads=1, random_state=seed
        )
        model.fit(matrix(train) * (1 + alpha), show_progress=False)
    return model


def matrix(sequences: Sequences) -> csr_matrix:
    """Users by items with 1 where a user has taken an item: float32 [U, N]."""
    from scipy.sparse import csr_matrix

    shape = (sequences.n_users, sequences.n_items)
    ones = np.ones(len(sequences.items), dtype=np.float32)
    found = csr_matrix((ones, sequences.items, sequences.indptr), shape=shape)
    found.sum_duplicates()
    found.data[:] = 1
    return found


def _strongest(values: csr_matrix, k: int) -> csr_matrix:
    """The k largest entries of each row; of equal ones those with the smallest columns."""
    from scipy.sparse import csr_matrix

    values.sort_indices()
    rows = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
    order = np.lexsort((values.indices, -values.data, rows))
    place = np.arange(len(order)) - values.indptr[rows]
    kept = order[place < k]
    return csr_matrix((values.data[kept], (rows[kept], values.indices[kept])), shape=values.shape)
