"""One training step of the user-item two-tower: negatives, both towers, the loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from motherlode.negatives.batch import Batch, Histories
from motherlode.negatives.rising_hardness import RisingHardness
from motherlode.negatives.sampler import Sampler
from motherlode.negatives.scored import Scored, score
from motherlode.negatives.virtual import Virtual
from motherlode.recommend.examples import Examples
from motherlode.recommend.towers import UserItemTwoTower

VirtualMaker = Callable[[torch.Generator, Scored], Virtual] | RisingHardness


class RetrievalObjective(nn.Module):
    """Sampled softmax over a batch; `forward(examples)` gives the loss and what to log.

    Each distinct item row of the step, negative or history, is read once and updated once. What is random is a
    function of (seed, number of the step), and what a sampler has learnt is part of the module's state, so a
    checkpoint resumes exactly.

    Args:
        model: the towers.
        sampler: names the negatives; it is told all that a user has in training, which is never a negative.
        owned: training items of every user.
        item_rate: step number -> learning rate of the item table.
        temperature: divides the cosines.
        virtual: makes virtual negatives out of the scored batch, weighted by `omega`; None for none. A
            `RisingHardness` is asked for the maker of each step.
    """

    def __init__(
        self,
        model: UserItemTwoTower,
        sampler: Sampler,
        owned: Histories,
        *,
        item_rate: Callable[[int], float],
        temperature: float = 0.1,
        virtual: VirtualMaker | None = None,
        omega: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.sampler, self.owned = model, sampler, owned
        self.item_rate, self.temperature = item_rate, temperature
        self.virtual, self.omega, self.seed = virtual, omega, seed
        self._place = np.zeros(model.n_items, dtype=np.int64)  # scratch: where an item row stands in the step

    def forward(self, examples: Examples) -> dict[str, Tensor | float]:
        rng = np.random.default_rng([self.seed, examples.number, 2])
        batch = Batch(examples.targets, self.owned.take(examples.users))
        if self.sampler.needs_vectors:
            batch = Batch(
                batch.positives,
                batch.histories,
                self.model.encode_users(examples.history),
                self.model.encode_items,
            )
        negatives = self.sampler(rng, batch)
        rows, local = self._distinct(negatives.items, examples.history)
        self.model.table.rate = self.item_rate(examples.number)
        device = self.model.device
        x = self.model.inputs(torch.from_numpy(rows).to(device))
        items = self.model.items(x[: len(negatives.items)])
        users = self.model.users(x, torch.from_numpy(local).to(device))
        scored = score(negatives, users, items)
        facts = dict(negatives.facts)
        made = None
        if self.virtual is not None:
            maker = self.virtual.at(examples.number) if isinstance(self.virtual, RisingHardness) else self.virtual
            made = maker(torch.Generator(device).manual_seed(int(rng.integers(2**62))), scored)
            facts |= made.facts
        losses = scored.loss(self.temperature, made, omega=self.omega, reduction="none")
        if self.training:
            self.sampler.observe(batch, negatives, items.detach().cpu().numpy(), losses.detach().cpu().numpy())
        return {"loss": losses.mean(), "encoded_items": float(len(items)), **facts}

    def _distinct(
        self, items: NDArray[np.int64], history: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The distinct rows of a step, `items` first and in their order, and the history's places among them.

        Linear in the batch and without sorting: each row writes its place into the scratch array, and who reads his
        own place back is the one that counts.
        """
        real = history >= 0
        asked = np.concatenate([items, history[real]])
        places = np.arange(len(asked))
        self._place[asked[::-1]] = places[::-1]  # of equal rows the first stays
        rows = asked[self._place[asked] == places]
        self._place[rows] = np.arange(len(rows))
        local = np.full(history.shape, -1, dtype=np.int64)
        local[real] = self._place[history[real]]
        return rows, local

    def get_extra_state(self) -> dict[str, Tensor]:
        """What the sampler has learnt, for the checkpoint."""
        return {name: torch.from_numpy(np.array(value)) for name, value in self.sampler.state().items()}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Hand the sampler what a checkpoint holds."""
        if state:
            self.sampler.load_state({name: value.numpy() for name, value in state.items()})
