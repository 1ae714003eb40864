"""Cross-batch negatives: vectors of past batches kept in a bank."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch, Rows
from motherlode.negatives.draws import frequencies_of, log_or_lowest, shared
from motherlode.negatives.sampler import Drawn, Floats, Negatives, Pool, Sampler


class CrossBatchSampler(Sampler):
    """In-batch negatives and a first-in-first-out bank of the vectors of past positives, which change slowly.

        L = -log e^{s_ii - log q_i} / ( sum_{batch} e^{s_ij - log q_j} + sum_{bank} e^{s_ij - log q_j} )

    q_j = (B + M) f_j / sum f, the expected occurrences among B positives and M banked ones. Bank vectors are
    frozen: no encoding and no gradient to them. Call `observe` after each step to fill the bank.

    Args:
        frequencies: float [N], training interactions of each item.
        size: vectors the bank holds.
        warm_up: steps before the bank is used, while vectors still move fast.
        eta: exponent on log q, of the positive too.

    Source: Wang et al., Cross-Batch Negative Sampling (arXiv 2110.15154).
    """

    def __init__(self, frequencies: ArrayLike, size: int, *, warm_up: int = 100, eta: float = 1.0) -> None:
        counts = frequencies_of(frequencies)
        if size < 1 or warm_up < 0:
            raise SettingError(f"size must be at least 1 and warm_up at least 0; got {size} and {warm_up}.")
        self.size, self.warm_up, self.eta = size, warm_up, eta
        self._log_share = log_or_lowest(counts / counts.sum())
        self._rows: Rows = np.zeros(0, dtype=np.int64)
        self._vectors: Floats = np.zeros((0, 0), dtype=np.float32)
        self._steps = 0

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:  # noqa: ARG002 - nothing is drawn
        """See `Sampler.draw`."""
        banked = len(self._rows) if self._steps >= self.warm_up else 0
        share = self._log_share + np.float32(np.log(len(batch) + banked))
        pools = [shared(batch, batch.positives, share.__getitem__, self.eta)]
        if banked:
            mask = batch.shared_mask(self._rows)
            pools.append(Pool(self._rows, mask, share[self._rows], self.eta, vectors=self._vectors))
        return Drawn(tuple(pools), self.eta * share[batch.positives], {"banked": float(banked)})

    def observe(self, batch: Batch, negatives: Negatives, item_vectors: Floats, losses: Floats) -> None:  # noqa: ARG002
        """See `Sampler.observe`: the batch's positives enter the bank, the oldest leave it."""
        fresh = item_vectors[negatives.positive].astype(np.float32)
        held = self._vectors if len(self._vectors) else fresh[:0]
        self._rows = np.concatenate([self._rows, batch.positives])[-self.size :]
        self._vectors = np.concatenate([held, fresh])[-self.size :]
        self._steps += 1

    def state(self) -> dict[str, NDArray[np.generic]]:
        """See `Sampler.state`."""
        return {"rows": self._rows, "vectors": self._vectors, "steps": np.array(self._steps)}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See `Sampler.load_state`."""
        self._rows = np.array(state["rows"], dtype=np.int64)
        self._vectors = np.array(state["vectors"], dtype=np.float32)
        self._steps = int(state["steps"])
