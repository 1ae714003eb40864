"""Calibration: probabilities a grader gives, turned into shares one can count on, fitted on validation pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.atomic import fingerprint, read_json, write_json
from motherlode.errors import InputError, MissingError
from motherlode.evaluation.calibration_error import FLOOR, log_loss
from motherlode.grading.isotonic import isotonic

FOLDS = 5
KINDS = ("none", "temperature", "cumulative", "per_grade")  # from the fewest freedoms to the most
Curve = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Calibration:
    """A map from probabilities [n, 3] to probabilities [n, 3].

    kind "none": as they are. "temperature": p^(1/T), normalised (Guo et al. 2017). "cumulative": an isotonic curve
    each for P(grade >= 1) and P(grade >= 2), so the order of the grades is kept. "per_grade": an isotonic curve a
    grade, then normalised (Zadrozny and Elkan 2002). Isotonic results are mixed with the base rates in the
    proportion n : 1, since n pairs cannot show that anything is impossible.

    Attributes:
        n: pairs it was fitted on.
        base: share of each grade among them.
        curves: knots (x, y) of each isotonic curve.
        losses: cross-validated log loss of every kind that was tried.
    """

    kind: str = "none"
    temperature: float = 1.0
    curves: tuple[Curve, ...] = ()
    base: tuple[float, ...] = ()
    n: int = 0
    losses: dict[str, float] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        probabilities: ArrayLike,
        truth: ArrayLike,
        *,
        query_ids: ArrayLike | None = None,
        kind: str | None = None,
        seed: int = 0,
    ) -> Self:
        """Fit on probabilities [n, 3] and grades [n]; rows of NaN are left out.

        Without `kind`, the kind of least log loss in 5-fold cross-validation is taken; folds keep the pairs of one
        query together where query_ids [n] are given. Raises InputError with fewer than 30 answered pairs or a
        single grade.
        """
        values, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
        known = np.isfinite(values).all(axis=1)
        names = np.arange(len(true)) if query_ids is None else np.asarray(query_ids)
        values, true, names = values[known], true[known], names[known]
        if len(true) < 30 or len(np.unique(true)) < 2:
            raise InputError(
                f"{len(true)} answered pairs with {len(np.unique(true))} different grades cannot show how far a "
                "grader is to be believed: give at least 30 validation pairs with 2 grades or more."
            )
        if kind is not None:
            return cls._of(kind, values, true, {})
        folds = _folds(names, seed)
        losses = {}
        for one in KINDS:
            tested = np.empty_like(values)
            for fold in range(FOLDS):
                out = folds == fold
                tested[out] = cls._of(one, values[~out], true[~out], {}).apply(values[out])
            losses[one] = log_loss(tested, true)
        return cls._of(min(KINDS, key=lambda one: losses[one]), values, true, losses)

    @classmethod
    def _of(cls, kind: str, values: NDArray[np.float64], truth: NDArray[Any], losses: dict[str, float]) -> Self:
        shares = np.bincount(truth, minlength=values.shape[1]) / max(len(truth), 1)
        base = tuple(float(share) for share in shares)
        if kind == "temperature":
            return cls(kind, _temperature(values, truth), (), base, len(truth), losses)
        if kind == "cumulative":
            axes, hits = _at_least(values), truth[:, None] >= np.arange(1, values.shape[1])
        else:
            axes, hits = values, truth[:, None] == np.arange(values.shape[1])
        curves: tuple[Curve, ...] = ()
        if kind != "none" and len(truth):
            fitted = [isotonic(axes[:, at], hits[:, at].astype(np.float64)) for at in range(axes.shape[1])]
            curves = tuple((x.tolist(), y.tolist()) for x, y in fitted)
        return cls(kind, 1.0, curves, base, len(truth), losses)

    def apply(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities [n, 3], rows summing to 1; a row of NaN stays one."""
        values = np.asarray(probabilities, dtype=np.float64)
        if self.kind == "none":
            return values
        if self.kind == "temperature":
            return _tempered(np.log(np.maximum(values, FLOOR)), 1 / self.temperature)
        axes = _at_least(values) if self.kind == "cumulative" else values
        mapped = np.stack([np.interp(axes[:, at], *curve) for at, curve in enumerate(self.curves)], axis=1)
        if self.kind == "cumulative":
            mapped = np.minimum.accumulate(mapped, axis=1)  # P(>= 2) cannot exceed P(>= 1)
            ends = np.ones((len(mapped), 1))
            mapped = -np.diff(np.concatenate([ends, mapped, 0 * ends], axis=1), axis=1)
        mapped = mapped + np.array(self.base) / self.n
        mapped[~np.isfinite(values).all(axis=1)] = np.nan
        return mapped / mapped.sum(axis=1, keepdims=True)

    @property
    def fingerprint(self) -> str:
        """16 hex digits: part of a judge's version wherever its probabilities are calibrated."""
        return fingerprint(self.kind, self.temperature, self.curves, self.base, self.n)

    def save(self, path: Path | str) -> None:
        """Write it as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote. Raises MissingError without the file, InputError where it is something else."""
        if not Path(path).exists():
            raise MissingError(f"{path} is not there: fit the calibration on validation pairs first.")
        try:
            found = read_json(path)
            curves = tuple((list(map(float, x)), list(map(float, y))) for x, y in found["curves"])
            if found["kind"] not in KINDS or len(curves) != {"cumulative": 2, "per_grade": 3}.get(found["kind"], 0):
                raise ValueError
            base = tuple(map(float, found["base"]))
            return cls(found["kind"], float(found["temperature"]), curves, base, int(found["n"]), found["losses"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} holds no calibration: fit it again on validation pairs.") from error


def _at_least(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(grade >= 1), P(grade >= 2): [n, 2]."""
    return np.cumsum(values[:, :0:-1], axis=1)[:, ::-1]


def _tempered(logs: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    scaled = power * logs
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _temperature(values: NDArray[np.float64], truth: NDArray[Any]) -> float:
    """T of least log loss within 1/50..50: by bisection, since the loss is convex in 1/T."""
    logs = np.log(np.maximum(values, FLOOR))
    of_truth = logs[np.arange(len(truth)), truth].mean()
    low, high = 1 / 50, 50.0
    for _ in range(60):
        power = (low * high) ** 0.5
        slope = (_tempered(logs, power) * logs).sum(axis=1).mean() - of_truth
        low, high = (low, power) if slope > 0 else (power, high)
    return float(1 / (low * high) ** 0.5)


def _folds(names: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """A fold for every pair; one query lies in one fold."""
    _, group = np.unique(names, return_inverse=True)
    count = int(group.max()) + 1
    return (np.random.default_rng(seed).permutation(count) % FOLDS)[group]
