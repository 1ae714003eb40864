"""A blend learnt from grades: a small model over what the legs and the words say of each candidate."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import GAINS
from motherlode.index.blend_features import features, names
from motherlode.index.candidates import Candidates, best
from motherlode.index.pool import Pool
from motherlode.index.rank_fusion import CUTOFF, RankFusion, ndcg

if TYPE_CHECKING:
    from torch import Tensor

FOLDS = 5
TRAINED = 80  # candidates a query it learns from, the first by reciprocal rank fusion
BATCH, STEPS, RATE, DECAY = 32, 400, 0.02, 0.01
CLIP = 5.0  # standard deviations beyond which a feature says nothing more
# objective, hidden units; from the simplest: of equals the first wins
CHOICES: tuple[tuple[str, int], ...] = (("lambda", 0), ("pointwise", 0), ("lambda", 8))

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class LearntBlend:
    """score(d) = f(clip((x(d) - mean) / scale, -5, 5)), x by `blend_features`, f linear or with one hidden ReLU layer.

    Learnt by LambdaLoss, or point by point by the cross entropy of the gain (1/2 for grade 1, 1 for grade 2); a
    candidate that is not judged counts as grade 0, as it does in the metric. Ours; the objective from Wang et al.,
    The LambdaLoss Framework (CIKM 2018).

    Attributes:
        legs: of the pools it takes.
        words: whether it needs `Pool.matches`.
        mean, scale: float32[F].
        layers: weights [in, out] and biases [out].
        tried: cross-validated NDCG@10 of every choice.
    """

    kind: ClassVar[str] = "learnt"
    legs: tuple[str, ...]
    words: bool
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    layers: tuple[Layer, ...]
    tried: dict[str, float] = field(default_factory=dict)

    @classmethod
    def fit(cls, pool: Pool, judged: Judged) -> Self:
        """The choice of `CHOICES` of highest NDCG@10 in 5-fold cross-validation over queries, fitted on all of them.

        The dense leg must not have been trained on these queries: its scores of what it has learnt by heart are
        better than of anything it will meet. Raises InputError with fewer than 10 queries that hold two gains.
        """
        grades = np.maximum(judged.grades_of(pool.rows), 0)
        varied = np.flatnonzero(np.where(pool.real, grades, 0).max(axis=1, initial=0) > 0)
        if len(varied) < 2 * FOLDS:
            raise InputError(
                f"Only {len(varied)} queries have a relevant candidate to learn a blend from: give it {2 * FOLDS}."
            )
        values = features(pool)
        folds = np.random.default_rng([0, len(grades)]).permutation(len(grades)) % FOLDS
        tried = {}
        for choice in CHOICES:
            scores = np.zeros(pool.rows.shape, dtype=np.float32)
            for fold in range(FOLDS):
                held = folds == fold
                learnt = np.setdiff1d(varied, np.flatnonzero(held))
                scores[held] = cls._of(choice, pool, values, grades, learnt, {}).score(values[held])
            tried[choice] = ndcg(best(scores, pool.rows, CUTOFF), judged)
        found = {f"{objective}, {hidden} hidden": value for (objective, hidden), value in tried.items()}
        return cls._of(max(CHOICES, key=lambda choice: tried[choice]), pool, values, grades, varied, found)

    @classmethod
    def _of(
        cls,
        choice: tuple[str, int],
        pool: Pool,
        values: NDArray[np.float32],
        grades: NDArray[np.int8],
        queries: NDArray[np.int64],
        tried: dict[str, float],
    ) -> Self:
        """One choice, learnt from these queries."""
        first = _first(pool, queries)
        x, y = values[queries[:, None], first], grades[queries[:, None], first]
        real = pool.real[queries[:, None], first]
        mean, scale = x[real].mean(axis=0), x[real].std(axis=0)
        scale = np.where(scale > 1e-6, scale, 1).astype(np.float32)
        layers = _learn(choice, np.clip((x - mean) / scale, -CLIP, CLIP), y, real)
        return cls(pool.legs, pool.matches is not None, mean, scale, layers, tried)

    def score(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of features [..., F] -> [...]; what is higher is likelier to be relevant."""
        signal = np.clip((values - self.mean) / self.scale, -CLIP, CLIP)
        for number, (weights, biases) in enumerate(self.layers):
            signal = signal @ weights + biases
            if number + 1 < len(self.layers):
                signal = np.maximum(signal, 0)
        return np.asarray(signal[..., 0], dtype=np.float32)

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
    def weights(self) -> dict[str, float] | None:
        """Weight of each feature in standard deviations, of a linear blend alone: what it attends to."""
        if len(self.layers) > 1:
            return None
        found = self.layers[0][0][:, 0].tolist()
        return dict(zip(names(self.legs, self.words), found, strict=True))

    def to_json(self) -> dict[str, Any]:
        """JSON-able values from which `from_json` makes it again."""
        return {
            "kind": self.kind,
            "legs": list(self.legs),
            "words": self.words,
            "features": list(names(self.legs, self.words)),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "layers": [[weights.tolist(), biases.tolist()] for weights, biases in self.layers],
            "tried": self.tried,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Of what `to_json` gave; ValueError where it was learnt from other features than these are."""
        legs, words = tuple(found["legs"]), bool(found["words"])
        if tuple(found["features"]) != names(legs, words):
            raise ValueError("the blend was learnt from other features")
        mean, scale = (np.array(found[name], dtype=np.float32) for name in ("mean", "scale"))
        layers = tuple(
            (np.array(weights, dtype=np.float32), np.array(biases, dtype=np.float32))
            for weights, biases in found["layers"]
        )
        return cls(legs, words, mean, scale, layers, dict(found["tried"]))


def _first(pool: Pool, queries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the `TRAINED` first candidates of each query by reciprocal rank fusion: int64[n, at most 80]."""
    part = pool.part(queries)
    listed = RankFusion().blend(part, min(TRAINED, part.rows.shape[1])).rows
    # rows rise within a query, its pads stand last: a search in each finds the places again
    rows = np.where(part.rows < 0, np.iinfo(np.int64).max, part.rows)
    wanted = np.where(listed < 0, np.iinfo(np.int64).max, listed)
    places = np.stack([np.searchsorted(one, want) for one, want in zip(rows, wanted, strict=True)])
    return places.clip(max=rows.shape[1] - 1)


def _learn(
    choice: tuple[str, int], x: NDArray[np.float32], grades: NDArray[np.int8], real: NDArray[np.bool_]
) -> tuple[Layer, ...]:
    """Layers of the model: AdamW on batches of 32 queries, the rate falling to 0 along a cosine."""
    import torch

    from motherlode.losses.lambda_loss import lambda_loss

    objective, hidden = choice
    rng = torch.Generator().manual_seed(0)
    sizes = [x.shape[-1], *([hidden] if hidden else []), 1]
    layers = []
    for width, out in pairwise(sizes):
        # a linear model starts from nothing, a deeper one cannot
        start = torch.randn(width, out, generator=rng) * (width**-0.5 if hidden else 0.0)
        layers += [start.requires_grad_(), torch.zeros(out, requires_grad=True)]
    optimiser = torch.optim.AdamW(layers, RATE if not hidden else RATE / 4, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    inputs, truth, mask = torch.from_numpy(x), torch.from_numpy(grades.astype(np.int64)), torch.from_numpy(real)
    gains = torch.tensor(GAINS["linear"])

    def forward(signal: Tensor) -> Tensor:
        for at in range(0, len(layers), 2):
            signal = signal @ layers[at] + layers[at + 1]
            signal = signal.relu() if at + 2 < len(layers) else signal
        return signal[..., 0]

    for _ in range(STEPS):
        drawn = torch.randint(len(inputs), (min(BATCH, len(inputs)),), generator=rng)
        scores = forward(inputs[drawn])
        if objective == "lambda":
            loss = lambda_loss(scores, truth[drawn], mask[drawn], 1.0, reduction="mean")
        else:
            target = gains[truth[drawn][mask[drawn]]]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(scores[mask[drawn]], target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    arrays = [layer.detach().numpy() for layer in layers]
    return tuple((arrays[at], arrays[at + 1]) for at in range(0, len(arrays), 2))
