"""Batches of pair numbers for whatever learns from graded pairs."""

import numpy as np


class PairBatches:
    """Every pair once an epoch, in an order that seed and epoch decide."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        self.count, self.size, self.seed = count, size, seed

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def __call__(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> np.ndarray:
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return order[step * self.size : (step + 1) * self.size][rank::world]
