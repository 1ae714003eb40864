"""Batches of graded groups: distinct texts, each encoded once, and who is what to whom."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from motherlode.training.groups import Caps, GradedGroups, stratified_order

Unrelated = Literal["none", "random", "in_batch", "both"]


@dataclass(frozen=True)
class Batch:
    """B queries against the M distinct items of the batch.

    queries int64 [B] and items int64 [M]: text rows. grades int8 [B, M]. mask bool [B, M]: the item is in the
    query's instance. assumed bool [B, M]: it is there as grade 0 on assumption, not by a judgement.
    """

    queries: np.ndarray
    items: np.ndarray
    grades: np.ndarray
    mask: np.ndarray
    assumed: np.ndarray
    judged: int  # pairs of this batch's groups that were sampled with their judged grade


class GradedBatches:
    """All batches of a training run, each a pure function of (seed, epoch, step): resuming needs two numbers.

    Args:
        groups: training judgements.
        size: groups a batch (over all processes).
        caps: most items a grade in a group.
        unrelated: whose items join an instance as grade 0. "none" is the paper as printed; "random" draws
            `random_items` texts of `pool` shared by the batch; "in_batch" takes the items of the batch's other
            groups; "both" does both. A known judgement always wins over the assumption.
        pool: text rows that random items are drawn from, int64.
    """

    def __init__(
        self,
        groups: GradedGroups,
        *,
        size: int,
        caps: Caps,
        unrelated: Unrelated,
        random_items: int = 0,
        pool: np.ndarray | None = None,
        seed: int = 0,
    ) -> None:
        self.groups, self.size, self.caps, self.seed = groups, size, caps, seed
        self.unrelated = unrelated
        self.pool = pool if unrelated in ("random", "both") and pool is not None else np.zeros(0, np.int64)
        self.random_items = min(random_items, len(self.pool))
        trainable = groups.trainable(unrelated != "none")
        self.members = np.repeat(trainable, groups.repeats(caps)[trainable]) if len(trainable) else trainable
        self.strata = groups.formats()[self.members]

    def __len__(self) -> int:
        """Batches an epoch; the last, smaller one counts."""
        return -(-len(self.members) // self.size)

    def __call__(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Batch number `step` of an epoch, or the part of it that process `rank` of `world` works on."""
        order = stratified_order(self.strata, np.random.default_rng([self.seed, epoch, 0]))
        chosen = self.members[order[step * self.size : (step + 1) * self.size]]
        rng = np.random.default_rng([self.seed, epoch, 1 + step])
        # all processes draw the whole batch, so that together they hold what one process would
        sampled = [self.groups.sample(int(group), self.caps, rng) for group in chosen]
        drawn = rng.choice(self.pool, self.random_items, replace=False) if self.random_items else self.pool[:0]
        return self._batch(chosen[rank::world], sampled[rank::world], drawn)

    def _batch(self, chosen: np.ndarray, sampled: list[tuple[np.ndarray, np.ndarray]], drawn: np.ndarray) -> Batch:
        groups = self.groups
        own_items = np.concatenate([items for items, _ in sampled]) if sampled else np.zeros(0, np.int64)
        items = np.unique(np.concatenate([own_items, drawn]))
        shape = (len(chosen), len(items))
        grades = np.zeros(shape, dtype=np.int8)
        mask = np.zeros(shape, dtype=bool)
        known = np.zeros(shape, dtype=bool)
        if self.unrelated in ("in_batch", "both"):
            mask[:, np.searchsorted(items, np.unique(own_items))] = True
        if len(drawn):
            mask[:, np.searchsorted(items, drawn)] = True
        for row, (group, (own, own_grades)) in enumerate(zip(chosen, sampled, strict=True)):
            span = slice(groups.indptr[group], groups.indptr[group + 1])
            column = np.minimum(np.searchsorted(items, groups.items[span]), len(items) - 1)
            here = items[column] == groups.items[span]
            grades[row, column[here]] = groups.grades[span][here]
            known[row, column[here]] = True
            column = np.searchsorted(items, own)
            mask[row, column], grades[row, column] = True, own_grades
        return Batch(groups.queries[chosen], items, grades, mask, mask & ~known, len(own_items))
