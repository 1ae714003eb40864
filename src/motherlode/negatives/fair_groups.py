"""Fair groups: groups of items that are served badly are drawn less as negatives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motherlode.errors import SettingError
from motherlode.negatives.batch import Batch, Rows
from motherlode.negatives.draws import redrawn
from motherlode.negatives.sampler import Drawn, Floats, Negatives, Pool, Sampler


class FairGroupsSampler(Sampler):
    """Group first, item inside it second, where a group's probability falls while its positives' loss is above average.

        v_g <- momentum v_g + (L_g - mean L) over the groups of the batch
        p_g <- p_g - rate v_g, then clipped at `floor` and made to sum to 1
        item of a candidate set: uniform with probability 1 - hard_share, else by softmax(score / temperature)

    Args:
        groups: int [N], group of each item, 0..G-1 (categories, or primary clusters).
        n: negatives an example.
        candidates: items drawn for each negative, out of which one is taken.
        hard_share: how often the scores decide; 0 needs no vectors.
        rate, momentum, floor: of the update above. Call `observe` after each step.

    Source: FairNeg, Chen et al., WWW 2023 (arXiv 2302.08266), told second-hand; the exact update is ours.
    """

    needs_vectors = True

    def __init__(
        self,
        groups: ArrayLike,
        n: int,
        *,
        candidates: int = 8,
        hard_share: float = 0.1,
        temperature: float = 0.1,
        rate: float = 0.01,
        momentum: float = 0.9,
        floor: float = 1e-4,
    ) -> None:
        self._group: Rows = np.asarray(groups, dtype=np.int64)
        if n < 1 or candidates < 1 or not 0 <= hard_share <= 1 or not len(self._group) or self._group.min() < 0:
            raise SettingError(
                "Fair groups need groups >= 0 for every item, n and candidates >= 1, hard_share in [0, 1]."
            )
        self.n, self.candidates, self.hard_share, self.temperature = n, candidates, hard_share, temperature
        self.rate, self.momentum, self.floor = rate, momentum, floor
        self._order = np.argsort(self._group, kind="stable")
        self._size = np.bincount(self._group)
        self._start = np.cumsum(self._size) - self._size
        self.probability = self._size / len(self._group)
        self._velocity = np.zeros(len(self._size))

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        running = np.cumsum(self.probability)

        def item(owners: Rows) -> Rows:
            group = np.searchsorted(running, rng.random(len(owners)) * running[-1], side="right")
            group = np.minimum(group, len(running) - 1)
            return self._order[self._start[group] + (rng.random(len(owners)) * self._size[group]).astype(np.int64)]

        rows, mask = redrawn(item, batch, self.n * self.candidates)
        sets = (len(batch), self.n, self.candidates)
        if self.hard_share:
            noise = rng.gumbel(size=sets)  # the largest of score + Gumbel noise is a draw from the softmax
            scored = np.where(mask, batch.scores(rows), -np.inf).reshape(sets) / self.temperature
            chosen = np.where(rng.random(sets[:2]) < self.hard_share, (scored + noise).argmax(axis=2), 0)
        else:
            chosen = np.zeros(sets[:2], dtype=np.int64)
        place = chosen + np.arange(self.n) * self.candidates
        rows, mask = np.take_along_axis(rows, place, axis=1), np.take_along_axis(mask, place, axis=1)
        return Drawn((Pool(rows, mask, group=self._group[rows]),))

    def observe(self, batch: Batch, negatives: Negatives, item_vectors: Floats, losses: Floats) -> None:  # noqa: ARG002
        """See `Sampler.observe`: the groups' probabilities move by their positives' losses."""
        of = self._group[batch.positives]
        count = np.bincount(of, minlength=len(self._size))
        mean = np.bincount(of, weights=losses, minlength=len(self._size)) / np.maximum(count, 1)
        seen = count > 0
        gap = np.where(seen, mean - mean[seen].mean(), 0.0)
        self._velocity = np.where(seen, self.momentum * self._velocity + gap, self._velocity)
        moved = np.where(self._size > 0, np.maximum(self.probability - self.rate * self._velocity, self.floor), 0.0)
        self.probability = moved / moved.sum()

    def state(self) -> dict[str, NDArray[np.generic]]:
        """See `Sampler.state`."""
        return {"probability": self.probability, "velocity": self._velocity}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """See `Sampler.load_state`."""
        self.probability = np.array(state["probability"], dtype=np.float64)
        self._velocity = np.array(state["velocity"], dtype=np.float64)
