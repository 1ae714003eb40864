"""Mixed negatives: the batch's positives and a uniform share of the catalogue, as one pool."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch
from motherlode.negatives.draws import frequencies_of, shared
from motherlode.negatives.sampler import Drawn, Sampler


class MixedSampler(Sampler):
    """In-batch negatives and n uniform ones, so that items nobody took are pushed as well.

    The pool is B + n draws from q_j = w f_j + (1 - w) / N with w = B / (B + n), so the expected number of draws
    of j is B f_j + n / N; eta = 1 takes the log of that from the logit.

    Args:
        frequencies: float [N], training interactions of each item.
        n: uniform items a batch, with replacement.
        eta: exponent on log q.
        correct_positive: whether the positive's logit loses its own log q as well.

    Source: Yang et al., Mixed Negative Sampling, WWW 2020.
    """

    def __init__(self, frequencies: ArrayLike, n: int, *, eta: float = 1.0, correct_positive: bool = True) -> None:
        counts = frequencies_of(frequencies)
        if n < 1:
            raise SettingError(f"n must be at least 1; got {n}.")
        self.n, self.eta, self.correct_positive = n, eta, correct_positive
        self._share = counts / counts.sum()

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        uniform = rng.integers(len(self._share), size=self.n)

        def log_q(items: np.ndarray) -> np.ndarray:
            return np.log(len(batch) * self._share[items] + self.n / len(self._share))

        pool = shared(batch, np.concatenate([batch.positives, uniform]), log_q, self.eta)
        own = (self.eta * log_q(batch.positives)).astype(np.float32) if self.correct_positive else None
        return Drawn((pool,), own)
