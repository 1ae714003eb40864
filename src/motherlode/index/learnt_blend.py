"""A blend learnt from grades: a linear model over what the legs and the words say of each candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged
from motherlode.index.blend_features import features, names
from motherlode.index.candidates import Candidates, best
from motherlode.index.pool import Pool
from motherlode.index.rank_fusion import RankFusion

FEWEST = 10  # queries with a relevant candidate, to learn from
TRAINED = 80  # candidates a query it learns from, the first by reciprocal rank fusion
BATCH, STEPS, RATE, DECAY = 32, 400, 0.05, 0.01
ARRAYS = ("mean", "scale", "weights")
CLIP = 5.0  # standard deviations beyond which a feature says nothing more


@dataclass(frozen=True, eq=False)
class LearntBlend:
    """score(d) = w . clip((x(d) - mean) / scale, -5, 5), x by `blend_features`.

    Learnt by LambdaLoss; a candidate that is not judged counts as grade 0, as it does in the metric. Ours; the
    objective from Wang et al., The LambdaLoss Framework (CIKM 2018). Cross entropy point by point and a hidden layer
    were tried and were no better.

    Attributes:
        legs: of the pools it takes.
        words: whether it needs `Pool.matches`.
        mean, scale, weights: float32[F].
    """

    kind: ClassVar[str] = "learnt"
    legs: tuple[str, ...]
    words: bool
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weights: NDArray[np.float32]

    @classmethod
    def fit(cls, pool: Pool, judged: Judged) -> Self:
        """Learn from these queries.

        The dense leg must not have been trained on them: its scores of what it has learnt by heart are better than
        of anything it will meet. Raises InputError with fewer than 10 queries that hold two gains.
        """
        grades = np.maximum(judged.grades_of(pool.rows), 0)
        varied = np.flatnonzero(np.where(pool.real, grades, 0).max(axis=1, initial=0) > 0)
        if len(varied) < FEWEST:
            raise InputError(
                f"Only {len(varied)} queries have a relevant candidate to learn a blend from: give it {FEWEST}."
            )
        values, first = features(pool), _first(pool, varied)
        x, y, real = values[varied[:, None], first], grades[varied[:, None], first], pool.real[varied[:, None], first]
        mean, scale = x[real].mean(axis=0), x[real].std(axis=0)
        scale = np.where(scale > 1e-6, scale, 1).astype(np.float32)
        weights = _learn(np.clip((x - mean) / scale, -CLIP, CLIP), y, real)
        return cls(pool.legs, pool.matches is not None, mean, scale, weights)

    def score(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of features [..., F] -> [...]; what is higher is likelier to be relevant."""
        return np.asarray(np.clip((values - self.mean) / self.scale, -CLIP, CLIP) @ self.weights, dtype=np.float32)

    def blend(self, pool: Pool, k: int) -> Candidates:
        """The k best candidates of each query. Raises InputError for a pool of other legs, or without its words."""
        if pool.legs != self.legs or (self.words and pool.matches is None):
            raise InputError(
                f"This blend was learnt from the legs {', '.join(self.legs)}{' with' if self.words else ' without'} "
                f"words, not from {', '.join(pool.legs)}{'' if pool.matches is None else ' with words'}."
            )
        if not self.words and pool.matches is not None:
            pool = Pool(pool.legs, pool.rows, pool.scores, pool.ranks)
        return best(self.score(features(pool)), pool.rows, k)

    @property
    def attention(self) -> dict[str, float]:
        """Weight of each feature in standard deviations: what it attends to."""
        return dict(zip(names(self.legs, self.words), self.weights.tolist(), strict=True))

    def to_json(self) -> dict[str, Any]:
        """JSON-able values from which `from_json` makes it again."""
        arrays = {name: getattr(self, name).tolist() for name in ARRAYS}
        columns = list(names(self.legs, self.words))
        return {"kind": self.kind, "legs": list(self.legs), "words": self.words, "features": columns, **arrays}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Of what `to_json` gave; ValueError where it was learnt from other features than these are."""
        legs, words = tuple(found["legs"]), bool(found["words"])
        if tuple(found["features"]) != names(legs, words):
            raise ValueError("the blend was learnt from other features")
        return cls(legs, words, *(np.array(found[name], dtype=np.float32) for name in ARRAYS))


def _first(pool: Pool, queries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the `TRAINED` first candidates of each query by reciprocal rank fusion: int64[n, at most 80]."""
    part = pool.part(queries)
    listed = RankFusion().blend(part, min(TRAINED, part.rows.shape[1])).rows
    # rows rise within a query, its pads stand last: a search in each finds the places again
    rows = np.where(part.rows < 0, np.iinfo(np.int64).max, part.rows)
    wanted = np.where(listed < 0, np.iinfo(np.int64).max, listed)
    places = np.stack([np.searchsorted(one, want) for one, want in zip(rows, wanted, strict=True)])
    return places.clip(max=rows.shape[1] - 1)


def _learn(x: NDArray[np.float32], grades: NDArray[np.int8], real: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Weights [F], from nothing: AdamW on batches of 32 queries, the rate falling to 0 along a cosine.

    On one thread: so small sums are no faster on more, far slower where cores are busy, and end in other last digits.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _descend(x, grades, real)
    finally:
        torch.set_num_threads(threads)


def _descend(x: NDArray[np.float32], grades: NDArray[np.int8], real: NDArray[np.bool_]) -> NDArray[np.float32]:
    import torch

    from motherlode.losses.lambda_loss import lambda_loss

    rng = torch.Generator().manual_seed(0)
    weights = torch.zeros(x.shape[-1], requires_grad=True)
    optimiser = torch.optim.AdamW([weights], RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    inputs, truth, mask = torch.from_numpy(x), torch.from_numpy(grades.astype(np.int64)), torch.from_numpy(real)
    for _ in range(STEPS):
        drawn = torch.randint(len(inputs), (min(BATCH, len(inputs)),), generator=rng)
        loss = lambda_loss(inputs[drawn] @ weights, truth[drawn], mask[drawn], 1.0, reduction="mean")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return weights.detach().numpy()
