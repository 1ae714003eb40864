"""Thresholds of a cascade: agreement against cost, tuned on validation pairs and measured on others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import SettingError
from motherlode.evaluation.agreement import agreement
from motherlode.grading.grader import decide

NEVER = 2.0  # a threshold no probability reaches
CUTS = 64  # places a threshold may lie, per stage and grade: finer ones would follow the noise of the pairs
SWEEPS = 8
PRICES = (0.0, *np.geomspace(1e-3, 10.0, 60).tolist())  # agreement one would give for the cost of asking all stages
Thresholds = tuple[tuple[float, float, float], ...]


def accepts(probabilities: NDArray[np.float64], thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Which rows [n, 3] a stage answers itself: the greatest probability reaches the threshold of its grade."""
    grades = decide(probabilities)
    top = np.where(grades >= 0, probabilities[np.arange(len(grades)), grades], -1.0)
    return (grades >= 0) & (top >= np.asarray(thresholds, dtype=np.float64)[grades])


def route(stages: Sequence[NDArray[np.float64]], thresholds: Thresholds) -> NDArray[np.int64]:
    """Which stage answers each pair, int64 [n], from the calibrated probabilities [n, 3] of each stage.

    thresholds has three numbers for each stage but the last, which takes all that is left.
    """
    answering = np.full(len(stages[0]), len(stages) - 1)
    for at in range(len(stages) - 2, -1, -1):
        answering[accepts(stages[at], thresholds[at])] = at
    return answering


def measure(
    thresholds: Thresholds, stages: Sequence[NDArray[np.float64]], truth: ArrayLike, costs: Sequence[float]
) -> dict[str, Any]:
    """What these thresholds give on pairs with known grades [n].

    stages: calibrated probabilities [n, 3] of each; people as the last are np.eye(3)[truth]. costs: of asking each
    stage about one pair, in one unit (CPU seconds, money). Returns thresholds, agreement (accuracy), within_1,
    quadratic_kappa, cost (mean of a pair over all stages asked), relative_cost (over the last stage alone) and
    shares (pairs each stage answers).
    """
    answering = route(stages, thresholds)
    found = agreement(truth, decide(np.stack(stages)[answering, np.arange(len(answering))]))
    cost = float(np.cumsum(costs)[answering].mean())
    return {
        "thresholds": thresholds,
        "agreement": found["accuracy"],
        "within_1": found["within_1"],
        "quadratic_kappa": found["quadratic_kappa"],
        "cost": cost,
        "relative_cost": cost / costs[-1],
        "shares": (np.bincount(answering, minlength=len(stages)) / len(answering)).tolist(),
    }


def curve(stages: Sequence[NDArray[np.float64]], truth: ArrayLike, costs: Sequence[float]) -> list[dict[str, Any]]:
    """Best agreement at each cost, cheapest first: `measure` of thresholds of which none is beaten on both.

    For a price on cost, thresholds maximise [agreement - price * cost / sum of costs]. Given all other stages, those
    of one stage are found exactly (up to 64 places a grade): over the pairs that reach it, sorted by confidence, the
    best prefix of [own answer right] - [value of passing it on]; stages are taken in turn until none changes. With
    two stages that is the optimum. Prices from 0 to 10 trace the curve; a price reaches its convex hull alone.
    """
    true = np.asarray(truth)
    if len(stages) != len(costs) or len(stages) < 2:
        raise ValueError(f"{len(stages)} stages have {len(costs)} costs; at least two of each are needed.")
    never: Thresholds = ((NEVER,) * 3,) * (len(stages) - 1)
    always: Thresholds = ((0.0,) * 3,) * (len(stages) - 1)
    policies = {never, always}
    for price in PRICES:
        for start in (never, always):
            policies.add(_ascend(start, stages, true, price * np.asarray(costs) / np.sum(costs)))
    points = sorted(
        (measure(policy, stages, true, costs) for policy in policies),
        key=lambda point: (point["cost"], -point["agreement"], point["thresholds"]),
    )
    front: list[dict[str, Any]] = []
    for point in points:
        if not front or point["agreement"] > front[-1]["agreement"]:
            front.append(point)
    return front


def tune(
    stages: Sequence[NDArray[np.float64]],
    truth: ArrayLike,
    costs: Sequence[float],
    *,
    target: float | None = None,
    max_cost: float | None = None,
) -> Thresholds:
    """Thresholds of least cost with an agreement of at least `target`, or of best agreement within `max_cost`.

    max_cost is a mean cost of a pair in the unit of costs. What is found on validation pairs is to be measured on
    others. Raises SettingError where not exactly one of the two is given or none of the thresholds gets there.
    """
    if (target is None) == (max_cost is None):
        raise SettingError("A cascade is tuned for a target agreement or for a greatest cost: give one of the two.")
    points = curve(stages, truth, costs)
    if target is not None:
        reached = [point for point in points if point["agreement"] >= target]
        if not reached:
            best = points[-1]["agreement"]
            raise SettingError(f"No thresholds agree on {target:.3f} of the pairs: the best reach {best:.3f}.")
        return reached[0]["thresholds"]
    reached = [point for point in points if point["cost"] <= float(max_cost or 0)]
    if not reached:
        raise SettingError(f"The first stage alone costs {points[0]['cost']:g} a pair, more than {max_cost:g}.")
    return reached[-1]["thresholds"]


def _ascend(
    thresholds: Thresholds,
    stages: Sequence[NDArray[np.float64]],
    truth: NDArray[np.integer],
    prices: NDArray[np.float64],
) -> Thresholds:
    """Thresholds none of which can be moved for the better alone."""
    grades = [decide(values) for values in stages]
    right = [(one == truth).astype(np.float64) for one in grades]
    for _ in range(SWEEPS):
        before = thresholds
        for at in range(len(stages) - 2, -1, -1):
            reaching = np.ones(len(truth), dtype=bool)
            for earlier in range(at):
                reaching &= ~accepts(stages[earlier], thresholds[earlier])
            passed_on = right[-1] - prices[-1]
            for later in range(len(stages) - 2, at, -1):
                own = accepts(stages[later], thresholds[later])
                passed_on = np.where(own, right[later], passed_on) - prices[later]
            chosen = tuple(
                _cut(stages[at][rows, grade], (right[at] - passed_on)[rows])
                for grade in range(3)
                for rows in [reaching & (grades[at] == grade)]
            )
            thresholds = (*thresholds[:at], (chosen[0], chosen[1], chosen[2]), *thresholds[at + 1 :])
        if thresholds == before:
            break
    return thresholds


def _cut(confidence: NDArray[np.float64], gain: NDArray[np.float64]) -> float:
    """The threshold whose accepted pairs have the greatest sum of gains; the lowest of equals."""
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    ends = np.flatnonzero(np.append(falling[1:] < falling[:-1], True)) if len(order) else order  # no tie is split
    if len(ends) > CUTS:
        ends = ends[np.unique(np.searchsorted(ends, np.linspace(0, len(order) - 1, CUTS).astype(np.int64)))]
    sums = np.concatenate([[0.0], np.cumsum(gain[order])[ends]])
    best = len(sums) - 1 - int(np.argmax(np.round(sums[::-1], 9)))
    if best == 0:
        return NEVER
    last = ends[best - 1]
    return 0.0 if last == len(order) - 1 else float((falling[last] + falling[last + 1]) / 2)
