"""In-batch negatives: the positives of the others."""

from __future__ import annotations

import numpy as np

from motherlode.negatives.batch import Batch
from motherlode.negatives.draws import shared
from motherlode.negatives.sampler import Drawn, Sampler


class InBatchSampler(Sampler):
    """The batch's positives as one shared pool, each distinct item counting as often as it occurs.

    An example never meets its own positive, also where another example has the same one (an accidental hit), nor
    an item of its history. Without a correction popular items are pushed down the most: see `InBatchLogQSampler`.
    """

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:  # noqa: ARG002 - nothing is drawn
        """See `Sampler.draw`."""
        return Drawn((shared(batch, batch.positives, None),))
