"""A small catalogue with codes, histories and frequencies, for the tests of negatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chisquare

from motherlode.negatives import Batch, Histories

LEAST_P = 1e-4


@dataclass(frozen=True)
class Catalogue:
    """N items with codes, and how often each was taken."""

    primary: np.ndarray
    secondary: np.ndarray
    centres: np.ndarray
    frequencies: np.ndarray

    @property
    def n(self) -> int:
        return len(self.primary)

    @property
    def codes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.primary, self.secondary, self.centres


def catalogue(n: int = 60, primaries: int = 5, secondaries: int = 3, seed: int = 0) -> Catalogue:
    rng = np.random.default_rng([seed, 1])
    centres = rng.normal(size=(primaries, 4))
    return Catalogue(
        rng.integers(primaries, size=n),
        rng.integers(secondaries, size=n),
        (centres / np.linalg.norm(centres, axis=1, keepdims=True)).astype(np.float32),
        rng.integers(1, 30, size=n).astype(np.float64),
    )


def batch_of(shop: Catalogue, examples: int, held: int = 6, seed: int = 0, copies: int = 1) -> Batch:
    """Examples with distinct histories; `copies` repeats the first one's positive and history."""
    rng = np.random.default_rng([seed, 2])
    positives = np.repeat(rng.integers(shop.n, size=examples), copies)
    histories = np.repeat(np.stack([rng.choice(shop.n, held, replace=False) for _ in range(examples)]), copies, axis=0)
    return Batch(positives, Histories.from_padded(histories.reshape(len(positives), held)))


def agrees(counts: np.ndarray, law: np.ndarray) -> bool:
    """Chi-square of draws against a law; an item of probability 0 must not occur at all."""
    if counts[law == 0].any():
        return False
    expected = law[law > 0] / law.sum() * counts.sum()
    return bool(chisquare(counts[law > 0], expected).pvalue > LEAST_P)
