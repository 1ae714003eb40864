"""Several samplers at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch
from motherlode.negatives.sampler import Drawn, Floats, Negatives, Sampler


class CombinedSampler(Sampler):
    """The pools of several samplers side by side, such as in-batch with logQ and a few semantic hard ones an example.

    Facts and states are kept apart by the sampler's place in the row. What is taken from the positive's logit is
    what the first sampler that takes anything says.

    Args:
        samplers: at least one.

    Raises:
        SettingError: there is none.
    """

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        if not samplers:
            raise SettingError("Name at least one sampler to combine.")
        self.samplers = tuple(samplers)
        self.needs_vectors = any(sampler.needs_vectors for sampler in samplers)

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        drawn = [sampler.draw(rng, batch) for sampler in self.samplers]
        positive = next((part.positive_log_q for part in drawn if part.positive_log_q is not None), None)
        facts = {f"{place}/{name}": value for place, part in enumerate(drawn) for name, value in part.facts.items()}
        return Drawn(tuple(pool for part in drawn for pool in part.pools), positive, facts)

    def observe(self, batch: Batch, negatives: Negatives, item_vectors: Floats, losses: Floats) -> None:
        """See `Sampler.observe`."""
        for sampler in self.samplers:
            sampler.observe(batch, negatives, item_vectors, losses)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """See `Sampler.state`."""
        return {f"{k}/{name}": value for k, part in enumerate(self.samplers) for name, value in part.state().items()}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See `Sampler.load_state`."""
        for place, sampler in enumerate(self.samplers):
            start = f"{place}/"
            own = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
            if own:
                sampler.load_state(own)
