"""What human raters reach among themselves, from the averages of three ratings a pair.

Model: pair i has its own chances pi_i over the ratings 1, 2, 3; its three raters are independent draws from pi_i, and
so is any fresh rater; the pi_i are spread over pairs by an unknown distribution G. An average of 2 may be 2 2 2 or
1 2 3, and three ratings a pair show no more than the first three moments of G, so the ceiling is **not identified**:
many G give the same shares of averages and different ceilings. Hence two things are given. `bounds`: the least and
the greatest value over all G that agree with the shares observed (a linear programme, for every figure here is
linear in G). `readings`: its value under two smooth G, fitted to the shares by maximum likelihood and then reweighted
by EM towards them; `misfit` says by how much the share that fits worst is still off:

* "dirichlet": pairs differ freely, pi ~ Dirichlet; many pairs may be plain to all raters;
* "one_quality": raters see one quality of the pair with the same noise everywhere, and cut it at the same two places
  (ordered probit with a random effect); the least agreement among common models.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RATERS = 3
CUTS = (1.75, 2.67)  # averages from which the grade is 1, and 2: Home Depot
GRID = 36  # steps of the grid on the simplex for the bounds
POINTS = 4_000  # draws that stand for a Dirichlet
EM_STEPS = 3_000
SLACK = 2.7  # standard errors a share may be off in the bounds: all seven hold at about 95 %
TRIPLES = np.array(list(product(range(3), repeat=RATERS)))  # every way three raters can answer, 0..2
TOTALS = TRIPLES.sum(axis=1)
OF_TOTAL = (TOTALS[:, None] == np.arange(2 * RATERS + 1)).astype(np.float64)
MEASURES = (
    "oracle_accuracy",
    "oracle_within_1",
    "panel_accuracy",
    "panel_within_1",
    "panel_quadratic_kappa",
    "rater_accuracy",
    "rater_within_1",
)


def rater_ceiling(averages: ArrayLike, cuts: tuple[float, float] = CUTS) -> dict[str, Any]:
    """Ceilings against the observed grades, from average ratings [n] of three raters on 1..3.

    oracle: who knows pi of each pair and says its most probable grade: no grader can be more accurate. panel: three
    fresh raters, averaged and cut the same way. rater: one fresh rating, less 1. Each as accuracy and within one
    grade; quadratic kappa for the panel. Averages that are no third (other panels) are left out and counted in
    `other`. Returns n, other, observed (shares of the seven averages), readings {name: {measure: value, misfit}},
    bounds {measure: [least, greatest]}, and bounds_united: the same when no pair splits its raters into two camps,
    that is when 2 is nowhere the least probable rating.
    """
    values = np.asarray(averages, dtype=np.float64)
    totals = np.rint((values - 1) * RATERS)
    thirds = np.abs((values - 1) * RATERS - totals) < 0.05  # averages are often written with two digits
    counts = np.bincount(totals[thirds].astype(np.int64), minlength=2 * RATERS + 1)
    if thirds.sum() == 0 or len(counts) != 2 * RATERS + 1:
        raise ValueError("averages must be means of three ratings on 1 to 3.")
    shares = counts / counts.sum()
    marks = 1 + np.arange(2 * RATERS + 1) / RATERS
    grade_of_total = np.searchsorted(np.array(cuts) - 0.005, marks, side="right")
    readings = {}
    for name, start in (("dirichlet", _dirichlet), ("one_quality", _one_quality)):
        chances, weights = start(shares)
        weights = _reweighted(chances, weights, shares)
        found = _measured(chances, grade_of_total)
        disagreement = found.pop("_panel_square") @ weights
        spread = _variance(shares, grade_of_total)
        readings[name] = {measure: float(found[measure] @ weights) for measure in found}
        readings[name]["panel_quadratic_kappa"] = float(1 - disagreement / (2 * spread))
        readings[name]["misfit"] = float(np.abs(weights @ chances_of_totals(chances) - shares).max())
    return {
        "n": int(thirds.sum()),
        "other": int((~thirds).sum()),
        "observed": shares.tolist(),
        "readings": readings,
        "bounds": _bounds(shares, int(thirds.sum()), grade_of_total, united=False),
        "bounds_united": _bounds(shares, int(thirds.sum()), grade_of_total, united=True),
    }


def chances_of_totals(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chance of each total 0..6 of three ratings 0..2, from chances [G, 3] of one rating: [G, 7]."""
    return np.prod(chances[:, TRIPLES], axis=2) @ OF_TOTAL


def _measured(chances: NDArray[np.float64], grade_of_total: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Each measure for pairs with these chances [G, 3]: name -> [G]; kappa's part as _panel_square."""
    grades = chances_of_totals(chances) @ (grade_of_total[:, None] == np.arange(3))
    said = grades.argmax(axis=1)
    far = np.where(said == 0, grades[:, 2], np.where(said == 2, grades[:, 0], 0.0))
    square = np.subtract.outer(np.arange(3), np.arange(3)) ** 2
    return {
        "oracle_accuracy": grades.max(axis=1),
        "oracle_within_1": 1 - far,
        "panel_accuracy": (grades**2).sum(axis=1),
        "panel_within_1": 1 - 2 * grades[:, 0] * grades[:, 2],
        "rater_accuracy": (grades * chances).sum(axis=1),
        "rater_within_1": 1 - grades[:, 0] * chances[:, 2] - grades[:, 2] * chances[:, 0],
        "_panel_square": np.einsum("gi,gj,ij->g", grades, grades, square),
    }


def _variance(shares: NDArray[np.float64], grade_of_total: NDArray[np.int64]) -> float:
    mean = shares @ grade_of_total
    return float(shares @ (grade_of_total - mean) ** 2)


def _reweighted(
    chances: NDArray[np.float64], weights: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """EM for the weights of a mixture with fixed components, from the weights given (Laird 1978)."""
    of_totals = chances_of_totals(chances)
    for _ in range(EM_STEPS):
        weights = weights * (of_totals @ (shares / (weights @ of_totals)))
    return weights


def _dirichlet(shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draws from the Dirichlet that fits the shares best."""
    counts = np.stack([np.equal(TRIPLES, grade).sum(axis=1) for grade in range(3)], axis=1)

    def totals(log_alpha: NDArray[np.float64]) -> NDArray[np.float64]:
        alpha = np.exp(log_alpha)
        # alpha (alpha + 1) ... over the ratings of each grade, over A (A + 1) (A + 2)
        rising = np.concatenate([np.ones((3, 1)), np.cumprod(alpha[:, None] + np.arange(RATERS), axis=1)], axis=1)
        chance = np.prod(rising[np.arange(3), counts], axis=1) / np.prod(alpha.sum() + np.arange(RATERS))
        return chance @ OF_TOTAL

    alpha = np.exp(_most_likely(totals, shares))
    return np.random.default_rng(0).dirichlet(alpha, POINTS), np.full(POINTS, 1 / POINTS)


def _one_quality(shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quadrature points of the ordered probit that fits the shares best."""
    from scipy.special import ndtr

    points, weights = np.polynomial.hermite_e.hermegauss(81)
    weights = weights / weights.sum()

    def chances(free: NDArray[np.float64]) -> NDArray[np.float64]:
        quality, first, second = np.exp(free[0]) * points, free[1], free[1] + np.exp(free[2])
        below = np.stack([ndtr(first - quality), ndtr(second - quality)], axis=1)
        return np.stack([below[:, 0], below[:, 1] - below[:, 0], 1 - below[:, 1]], axis=1)

    free = _most_likely(lambda one: weights @ chances_of_totals(chances(one)), shares)
    return chances(free), weights


def _most_likely(
    totals: Callable[[NDArray[np.float64]], NDArray[np.float64]], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    from scipy.optimize import minimize

    def loss(free: NDArray[np.float64]) -> float:
        return -float(shares @ np.log(np.maximum(totals(np.clip(free, -8, 8)), 1e-300)))

    settings = {"maxiter": 4_000, "xatol": 1e-7, "fatol": 1e-12}
    return np.clip(minimize(loss, [0.0, -0.5, 0.0], method="Nelder-Mead", options=settings).x, -8, 8)


def _bounds(
    shares: NDArray[np.float64], n: int, grade_of_total: NDArray[np.int64], *, united: bool
) -> dict[str, list[float] | None]:
    """[least, greatest] of each measure over all G on the grid within sampling error; None where there is none."""
    from scipy.optimize import linprog

    grid = np.array([(a, b, GRID - a - b) for a in range(GRID + 1) for b in range(GRID + 1 - a)]) / GRID
    if united:
        grid = grid[grid[:, 1] >= np.minimum(grid[:, 0], grid[:, 2])]
    of_totals = chances_of_totals(grid).T
    slack = SLACK * np.sqrt(np.maximum(shares * (1 - shares), 1 / n) / n)
    limits = np.concatenate([of_totals, -of_totals]), np.concatenate([shares + slack, slack - shares])
    found = _measured(grid, grade_of_total)
    # kappa is linear too: 1 - E (A - B)^2 / (2 variance), and the shares fix the variance
    found["panel_quadratic_kappa"] = 1 - found.pop("_panel_square") / (2 * _variance(shares, grade_of_total))
    bounds: dict[str, list[float] | None] = {}
    for name in MEASURES:
        ends = [linprog(sign * found[name], *limits, A_eq=np.ones((1, len(grid))), b_eq=[1.0]) for sign in (1.0, -1.0)]
        feasible = all(end.status == 0 for end in ends)
        bounds[name] = [float(ends[0].fun), min(1.0, float(-ends[1].fun))] if feasible else None
    return bounds
