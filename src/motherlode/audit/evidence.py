"""What engagement says about a label: the probability of each true grade, given the label and the counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.audit.counts import Step
from motherlode.audit.monotone import rising
from motherlode.progress import track

ROUNDS = 200
SETTLED = 1e-4  # change of any probability
KEPT = 0.9  # of labels are right, before any evidence
KEPT_WEIGHT = 20.0  # pairs of each label that this belief counts for
POOLED_WEIGHT = 20.0  # events of all queries that a bucket's own rate is drawn to
SPREAD = (0.1, 1e4)  # bounds of the shape: from wild to none
TINY = 1e-300


@dataclass(frozen=True)
class Evidence:
    """What was found about n pairs in B buckets.

    Attributes:
        likelihood: log P(counts | true grade) up to a constant a pair, float64 [n, 3]; zeros without engagement.
        posterior: P(true grade | label, counts), float64 [n, 3].
        noise: P(true grade | label), float64 [3, 3], labels in rows.
        rates: of each step, float64 [B, 3], non-decreasing in the grade.
        shapes: of each step: 1 / shape is the squared relative spread of a pair's own rate about its grade's.
    """

    likelihood: NDArray[np.float64]
    posterior: NDArray[np.float64]
    noise: NDArray[np.float64]
    rates: dict[str, NDArray[np.float64]]
    shapes: dict[str, float]


def evidence(labels: NDArray[np.integer], buckets: NDArray[np.integer], steps: Sequence[Step]) -> Evidence:
    """Fit by expectation maximisation a mixture in which the true grade t of a pair is hidden:

        t ~ noise[label],  u ~ Gamma(mean 1, shape k_s),  done ~ Poisson(tried · rate[s, bucket, t] · u)

    for each step s on its own, given the step before. Every bucket has its own rates, so what counts as high
    differs from broad to narrow queries; the spread u keeps photo, price and taste from passing for relevance,
    however many the impressions. A hidden grade and noise between labels: Dawid and Skene 1979. Labels int [n] of
    0..2, buckets int [n] from 0. Where the counts say nothing, the posterior is noise[label].
    """
    count = len(labels)
    one_hot = np.eye(3)[labels]
    believed = KEPT_WEIGHT * np.where(np.eye(3) > 0, KEPT, (1 - KEPT) / 2)
    posterior = (believed / KEPT_WEIGHT)[labels]
    number = int(buckets.max()) + 1 if count else 1
    known = [(step.tried > 0) & ~np.isnan(step.done) for step in steps]
    rates: list[NDArray[np.float64]] = [np.full((number, 3), np.nan) for _ in steps]
    shapes = [5.0 for _ in steps]
    for _ in track(range(ROUNDS), "engagement model", unit="rounds"):
        noise = one_hot.T @ posterior + believed
        noise /= noise.sum(axis=1, keepdims=True)
        likelihood = np.zeros((count, 3))
        for place, (step, use) in enumerate(zip(steps, known, strict=True)):
            if not use.any():
                continue
            tried, done, at = step.tried[use], step.done[use], buckets[use]
            rates[place], shapes[place] = _fit(tried, done, at, posterior[use], rates[place], shapes[place])
            likelihood[use] += _log_probability(done, tried[:, None] * rates[place][at], shapes[place])
        likelihood -= likelihood.max(axis=1, keepdims=True)
        fresh = noise[labels] * np.exp(likelihood)
        fresh /= fresh.sum(axis=1, keepdims=True)
        change = np.abs(fresh - posterior).max(initial=0.0)
        posterior = fresh
        if change < SETTLED:
            break
    names = [step.name for step in steps]
    return Evidence(
        likelihood,
        posterior,
        noise,
        dict(zip(names, rates, strict=True)),
        dict(zip(names, shapes, strict=True)),
    )


def _fit(
    tried: NDArray[np.float64],
    done: NDArray[np.float64],
    buckets: NDArray[np.integer],
    weights: NDArray[np.float64],
    rates: NDArray[np.float64],
    shape: float,
) -> tuple[NDArray[np.float64], float]:
    """One round for the rates [B, 3] (zero of the score, weights of the last round) and the shape (moments)."""
    # a pair of many chances tells its own rate, not more of its grade's: its weight levels off at the shape
    previous = rates[buckets]
    share = weights / (1 + tried[:, None] * np.where(np.isnan(previous), 0.0, previous) / shape)
    events, chances = share * done[:, None], share * tried[:, None]
    pooled = _ordered(events.sum(axis=0) / np.maximum(chances.sum(axis=0), TINY), chances.sum(axis=0))
    number = len(rates)
    own_events = np.stack([np.bincount(buckets, events[:, grade], number) for grade in range(3)], axis=1)
    own_chances = np.stack([np.bincount(buckets, chances[:, grade], number) for grade in range(3)], axis=1)
    prior = POOLED_WEIGHT / pooled
    fitted = np.stack(
        [
            _ordered((own_events[bucket] + POOLED_WEIGHT) / (own_chances[bucket] + prior), own_chances[bucket] + prior)
            for bucket in range(number)
        ]
    )
    expected = tried[:, None] * fitted[buckets]
    damped = weights / (1 + expected / shape) ** 2
    spread = float((damped * ((done[:, None] - expected) ** 2 - expected)).sum())
    scale = float((damped * expected**2).sum())
    shape = scale / spread if spread > 0 else SPREAD[1]
    return fitted, float(np.clip(shape, *SPREAD))


def _ordered(rates: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(rising(rates, weights), 1e-9)


def _log_probability(done: NDArray[np.float64], mean: NDArray[np.float64], shape: float) -> NDArray[np.float64]:
    """Log of the gamma-Poisson probability of done [n] under means [n, 3], without the terms all grades share."""
    total = shape + mean
    return shape * np.log(shape / total) + done[:, None] * np.log(mean / total)
