"""Matrix factorisation by alternating least squares over all items: iALS with scaled ridges, and RG2 / RGx."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import SettingError
from motherlode.recommend.baselines import matrix
from motherlode.recommend.evaluate import Scorer
from motherlode.recommend.holdout import Holdout
from motherlode.recommend.sequences import Sequences

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
SOLVED = 2_048  # systems solved at once


@dataclass(frozen=True)
class LeastSquares:
    """Minimises, over users p_u and items q_i with s_ui = p_u · q_i and c_u = `spread` of the user's n_u items,

        ½ Σ_u c_u [ Σ_j (1 - cut) s_uj² + 2 shift Σ_j s_uj ] + ½ pull Σ_{(u, i) taken} (1 - s_ui)²
            - ½ shift Σ_{(u, i) taken} s_ui + ½ Σ_u ridge_u |p_u|² + ½ Σ_i ridge_i |q_i|²

    each side in turn by its closed form, so the sum never rises. `ials` and `rg2` say what the letters are.

    Attributes:
        c: n_u -> c_u; the weight of a user's row over all items.
        cut: share of the squares over all items left out, 0 but for RGx.
        shift: 0 for iALS, 1 for RG2.
        pull: weight of the squared distance of what was taken from 1.
        ridge: (row's count of events, other side's size) -> ridge of the row.
        factors, iterations, seed: width, rounds over both sides, first weights.
    """

    c: Callable[[Floats], Floats]
    cut: float
    shift: float
    pull: float
    ridge: Callable[[Floats, int], Floats]
    factors: int = 64
    iterations: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.factors < 1 or self.iterations < 1:
            raise SettingError("Least squares need factors and iterations of at least 1.")

    def fit(self, seen: csr_matrix) -> tuple[Floats, Floats]:
        """Users float64 [U, factors] and items float64 [N, factors] of users by items with 1 where taken."""
        rng = np.random.default_rng([self.seed, self.factors])
        users, items = (rng.normal(0, 0.1 / np.sqrt(self.factors), (n, self.factors)) for n in seen.shape)
        seen = seen.tocsr()
        turned, row_weight = seen.T.tocsr(), self.c(np.diff(seen.indptr).astype(np.float64))
        for _ in range(self.iterations):
            users = self.users(seen, items)
            gram, mean = users.T @ (users * row_weight[:, None]), row_weight @ users
            ridge = self.ridge(np.diff(turned.indptr).astype(np.float64), seen.shape[0])
            items = self._solve(turned, users, gram, mean, np.ones(len(items)), ridge)
        return self.users(seen, items), items

    def users(self, seen: csr_matrix, items: Floats) -> Floats:
        """The best vectors of these users for fixed items: float64 [rows of seen, factors]."""
        counts = np.diff(seen.indptr).astype(np.float64)
        return self._solve(
            seen, items, items.T @ items, items.sum(axis=0), self.c(counts), self.ridge(counts, seen.shape[1])
        )

    def _solve(
        self, seen: csr_matrix, other: Floats, gram: Floats, mean: Floats, weight: Floats, ridge: Floats
    ) -> Floats:
        """[w (1 - cut) G + pull Q₊ᵀQ₊ + ridge I]⁻¹ [(pull + shift / 2) ΣQ₊ - w shift ΣQ] of every row."""
        found, unit = np.zeros((seen.shape[0], self.factors)), np.eye(self.factors)
        for start in range(0, len(found), SOLVED):
            rows = np.arange(start, min(start + SOLVED, len(found)))
            left = weight[rows, None, None] * ((1 - self.cut) * gram) + ridge[rows, None, None] * unit
            right = -(weight[rows, None] * self.shift) * mean
            for place, row in enumerate(rows):
                taken = other[seen.indices[seen.indptr[row] : seen.indptr[row + 1]]]
                left[place] += self.pull * (taken.T @ taken)
                right[place] += (self.pull + self.shift / 2) * taken.sum(axis=0)
            found[rows] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
        return found

    def objective(self, seen: csr_matrix, users: Floats, items: Floats) -> float:
        """The sum above, over the whole matrix at once: for small ones."""
        taken, scores = np.asarray(seen.todense()) > 0, users @ items.T
        counts, sizes = taken.sum(axis=1).astype(np.float64), taken.sum(axis=0).astype(np.float64)
        spread = ((1 - self.cut) * scores**2 + 2 * self.shift * scores).sum(axis=1) @ self.c(counts)
        pulled = self.pull * ((1 - scores[taken]) ** 2).sum() - self.shift * scores[taken].sum()
        ridges = self.ridge(counts, seen.shape[1]) @ (users**2).sum(axis=1)
        ridges += self.ridge(sizes, seen.shape[0]) @ (items**2).sum(axis=1)
        return float(spread + pulled + ridges) / 2

    def scorer(self, train: Sequences, holdout: Holdout) -> Scorer:
        """Fitted on `train`; the users of the holdout are solved from their history."""
        return self.scorer_of(self.fit(matrix(train))[1], holdout)

    def scorer_of(self, items: Floats, holdout: Holdout) -> Scorer:
        """The same for items that `fit` has given."""
        users = self.users(matrix(holdout.history), items)
        return lambda start, end: np.asarray(users[start:end] @ items.T, dtype=np.float32)


def ials(weight: float = 0.1, ridge: float = 0.003, power: float = 1.0, **sizes: int) -> LeastSquares:
    """iALS with ridges that grow with a row's events: c_u = weight, ridge_u = ridge (n_u + weight N)^power.

    Minimises Σ_taken (1 - s)² + weight Σ_all s² + ridges.

    Source: Rendle et al., Revisiting the Performance of iALS, RecSys 2022, whose tuned sets have these magnitudes.
    """
    if weight <= 0 or ridge <= 0:
        raise SettingError(f"weight and ridge must be above 0; got {weight} and {ridge}.")
    return LeastSquares(
        lambda counts: np.full(len(counts), weight),
        0.0,
        0.0,
        1.0,
        lambda counts, others: ridge * (counts + weight * others) ** power,
        **sizes,
    )


def rg2(n_items: int, pull: float = 0.1, ridge: float = 0.001, cut: float = 0.0, **sizes: int) -> LeastSquares:
    """RG2, the softmax loss expanded to second order at zero scores; `cut` above 0 is the released form of RGx.

        RG2 = Σ_{(u, i) taken} [ -s_ui + (1/N) Σ_j s_uj + (1/2N) Σ_j s_uj² ],    c_u = n_u / 2N

    of which half is minimised, with ½ pull Σ_taken (1 - s)² and ridge_u = ridge (n_u / 2 + pull N) beside it.

    Source: Pu et al., the RG² and RG× losses, told second-hand; the ridge of items, by the same form, is ours, and so
    are the defaults: of four trials the best by validation on three of four real sets.
    """
    if pull < 0 or ridge <= 0 or not 0 <= cut < 1:
        raise SettingError(f"pull must be >= 0, ridge above 0 and cut in [0, 1); got {pull}, {ridge} and {cut}.")
    return LeastSquares(
        lambda counts: counts / (2 * n_items),
        cut,
        1.0,
        pull,
        lambda counts, others: ridge * (counts / 2 + pull * others + 1e-6),
        **sizes,
    )
