"""In-batch negatives corrected for how often an item comes up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.negatives.batch import Batch
from motherlode.negatives.draws import frequencies_of, log_or_lowest, shared
from motherlode.negatives.frequency import StreamingFrequency
from motherlode.negatives.sampler import Drawn, Pool, Sampler


class InBatchLogQSampler(Sampler):
    """In-batch negatives whose logits lose log q, so that popular items are not punished for being in every batch.

    Known frequencies: q_j = B f_j / sum f, the expected number of the batch's B positives that are j, each distinct
    item counting as often as it occurs. Streaming: q_j is the estimated probability that a batch holds j, each
    distinct item counting once.

    Args:
        frequencies: float [N] of training interactions, or a `StreamingFrequency`, which then learns from
            every batch drawn.
        eta: exponent on log q; 1 is the full correction.
        correct_positive: whether the positive's logit loses its own log q as well, as Yi et al. have it. Without it
            the loss estimates the full softmax; with it rare positives count for less and popular ones for more.

    Source: Yi et al., Sampling-Bias-Corrected Neural Modeling, RecSys 2019.
    """

    def __init__(
        self, frequencies: ArrayLike | StreamingFrequency, *, eta: float = 1.0, correct_positive: bool = True
    ) -> None:
        self.eta, self.correct_positive = eta, correct_positive
        self._stream = frequencies if isinstance(frequencies, StreamingFrequency) else None
        if not isinstance(frequencies, StreamingFrequency):
            counts = frequencies_of(frequencies)
            self._log_share = log_or_lowest(counts / counts.sum())

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:  # noqa: ARG002 - nothing is drawn
        """See `Sampler.draw`."""
        if self._stream is None:
            pool = shared(batch, batch.positives, lambda items: self._log_share[items] + np.log(len(batch)), self.eta)
        else:
            rows = np.unique(batch.positives)
            self._stream.update(rows)
            log_q = np.log(self._stream.probability(rows)).astype(np.float32)
            pool = Pool(rows, batch.shared_mask(rows), log_q, self.eta)
        assert pool.log_q is not None
        own = pool.log_q[np.searchsorted(pool.rows, batch.positives)]
        return Drawn((pool,), self.eta * own if self.correct_positive else None)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """See `Sampler.state`."""
        return {} if self._stream is None else self._stream.state()

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See `Sampler.load_state`."""
        if self._stream is not None:
            self._stream.load_state(state)
